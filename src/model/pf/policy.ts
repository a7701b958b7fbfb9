// What tells one PF driver from another: how it answers RESET and the requests
// after it. The machinery around it is pf.ts. Types only.

import type { PfPersonality } from '../types.ts';
import type { PortContext, VfRecord } from './records.ts';

/** The answer to a request: ACK or NACK, and how many words are written back. */
export interface Verdict {
  readonly ok: boolean;
  /** 1..16; a short reply leaves older words in the buffer. */
  readonly words: number;
}

/** One PF driver's answers. */
export interface PfPolicy {
  readonly personality: PfPersonality;
  /** Requests before a RESET are answered with NACK and without CTS. */
  readonly needsReset: boolean;
  /** Registers the VF again. @returns the reply's words */
  reset(port: PortContext, record: VfRecord): number[];
  /**
   * Carries out any other request.
   * @param words the message, 16 words; payload of the reply is written into it, word 0 is left alone
   */
  handle(port: PortContext, record: VfRecord, words: Uint32Array): Verdict;
}
