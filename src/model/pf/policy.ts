// What tells one PF driver from another: how it answers RESET and the requests after it; and the answers
// in which Linux and DPDK agree. The machinery around it is pf.ts. docs/82599-vf.md sec 4.3 to 4.7, 7.5 to 7.7.

import {
  API_CODE,
  type ApiVersion,
  apiAtLeast,
  MAX_LPE,
  MESSAGE,
  REQUEST,
} from '../../hw/mailbox.ts';
import { addMulticastHashes, hasClasses, joinVlan, type PfPort, type VfRecord } from './records.ts';

/** Longest standard frame, CRC included. */
const STANDARD_FRAME = 1518;

/**
 * Carries out a request.
 * @param words the message, 16 words; payload of the reply is written into it, word 0 is left alone
 * @returns true for ACK, false for NACK
 */
export type Answer = (port: PfPort, record: VfRecord, words: Uint32Array) => boolean;

/** One PF driver's answers. */
export interface PfPolicy {
  /** Requests before a RESET are answered with NACK and without CTS. */
  readonly needsReset: boolean;
  /** Anti-spoofing where the administrator has not said. */
  readonly spoofCheck: boolean;
  /** Words written back, 1..16; a short reply leaves older words in the buffer. */
  replyWords(opcode: number): number;
  /** Registers the VF again. @returns the reply's words */
  reset(port: PfPort, record: VfRecord): number[];
  /** By opcode; what is not here gets a NACK. */
  readonly answers: Readonly<Record<number, Answer>>;
}

/** An answer that is NACK before the VF has agreed on this version. */
export function since(version: ApiVersion, answer: Answer): Answer {
  return (port, record, words) => apiAtLeast(record.api, version) && answer(port, record, words);
}

/** The argument that word 0 carries beside the opcode. */
export function infoOf(words: Uint32Array): number {
  return (words[0] & MESSAGE.mask.INFO) >>> MESSAGE.shift.INFO;
}

/** API_NEGOTIATE: accepts a version that the PF knows. */
export function negotiate(apis: readonly ApiVersion[]): Answer {
  return (_port, record, words) => {
    const version = apis.find((known) => API_CODE[known] === words[1]);
    if (version === undefined) return false;
    record.api = version;
    return true;
  };
}

/** SET_LPE by the 82599's jumbo rules; its successors take any size. @param least bytes with CRC; @param refused what a refusal does besides */
export function setMaxFrame(least: number, refused: (record: VfRecord) => void): Answer {
  return (port, record, words) => {
    const maxFrame = words[1];
    if (maxFrame < least || maxFrame > MAX_LPE) return false;
    const pfJumbo = port.pfMtu > 1500;
    const ok =
      port.macType !== '82599' ||
      (pfJumbo ? apiAtLeast(record.api, '1.1') : maxFrame <= STANDARD_FRAME);
    if (ok) {
      record.pool.rxEnable = true;
      port.tables.maxFrame = Math.max(port.tables.maxFrame, maxFrame);
    } else {
      refused(record);
    }
    port.tables.changed();
    return ok;
  };
}

/** The requests that both answer alike. */
export const COMMON_ANSWERS: PfPolicy['answers'] = {
  [REQUEST.SET_MULTICAST](port, record, words) {
    addMulticastHashes(port, words, infoOf(words));
    record.pool.acceptance.rompe = true;
    return true;
  },
  [REQUEST.SET_VLAN](port, record, words) {
    const vid = words[1] & 0xfff;
    if (infoOf(words) !== 0) return joinVlan(port, record, vid);
    // VID 0 stays: without it untagged traffic would end.
    if (vid !== 0) port.tables.removeVlan(record.vf, vid);
    return true;
  },
  // Word 3 tells a VF to expect tags: the number of classes, or 1 with a port VLAN or priority.
  [REQUEST.GET_QUEUES]: since('1.1', (port, record, words) => {
    words[1] = record.pool.queues;
    words[2] = record.pool.queues;
    if (hasClasses(port)) words[3] = port.tables.trafficClasses;
    else words[3] = record.portVlan !== 0 || record.portPriority !== 0 ? 1 : 0;
    words[4] = port.defaultClass;
    return true;
  }),
};
