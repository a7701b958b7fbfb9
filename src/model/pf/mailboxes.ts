// The mailboxes of one port as its PF serves them: takes VF resets, requests and ACKs out, and has the policy of
// the PF's driver (linux.ts, dpdk.ts) answer. docs/82599-vf.md sec 4.2, 4.3, 4.6. Moves only by `step`.

import { MESSAGE, PF_CONTROL_PING, REQUEST } from '../../hw/mailbox.ts';
import type { PfPolicy } from './policy.ts';
import { type PfPort, type VfRecord, vfResetEvent } from './records.ts';
import type { MailboxTrace } from './types.ts';

const { ACK, NACK, CTS } = MESSAGE.mask;

/** The PF's end of all mailboxes of a port. */
export class Mailboxes {
  private readonly port: PfPort;
  private readonly policy: PfPolicy;
  private readonly trace: (message: MailboxTrace) => void;

  /** @param trace sees every message */
  constructor(port: PfPort, policy: PfPolicy, trace: (message: MailboxTrace) => void) {
    this.port = port;
    this.policy = policy;
    this.trace = trace;
  }

  /**
   * Handles what is pending.
   * @returns messages and events handled
   */
  step(): number {
    let handled = 0;
    const { records } = this.port;
    for (let i = 0; i < records.length; i++) {
      const record = records[i];
      // In the order of linux ixgbe_msg_task: reset events, then requests, then ACKs.
      if (record.hardware.takeResetEvent()) {
        this.trace({ vf: record.vf, kind: 'reset', words: [] });
        vfResetEvent(this.port, record);
        handled++;
      }
      if (record.hardware.mailbox.hasRequest) {
        this.answer(record);
        handled++;
      }
      if (record.hardware.mailbox.takeAck()) {
        if (!record.clearToSend) this.post(record, 'reply', [NACK]);
        handled++;
      }
    }
    return handled;
  }

  /** Sends a VF PF_CONTROL, with CTS where it is registered. */
  ping(record: VfRecord): void {
    this.post(record, 'ping', [PF_CONTROL_PING | (record.clearToSend ? CTS : 0)]);
  }

  private answer(record: VfRecord): void {
    const words = record.hardware.mailbox.takeRequest();
    this.trace({ vf: record.vf, kind: 'request', words: [...words] });
    const message = words[0];
    // Already an answer, the VF's or a stale one of ours: nothing to do.
    if ((message & (ACK | NACK)) !== 0) return;
    if (message === REQUEST.RESET) {
      vfResetEvent(this.port, record);
      this.post(record, 'reply', this.policy.reset(this.port, record));
      return;
    }
    if (this.policy.needsReset && !record.clearToSend) {
      this.post(record, 'reply', [(message | NACK) >>> 0]);
      return;
    }
    const opcode = message & MESSAGE.mask.OPCODE;
    const ok = this.policy.answers[opcode]?.(this.port, record, words) ?? false;
    words[0] = message | (ok ? ACK : NACK) | CTS;
    this.post(record, 'reply', [...words.subarray(0, this.policy.replyWords(opcode))]);
  }

  /** A message that finds the buffer held by the VF is lost, as in linux, which tries once. */
  private post(record: VfRecord, kind: 'reply' | 'ping', words: number[]): void {
    const message = words.map((word) => word >>> 0);
    if (record.hardware.mailbox.post(message)) this.trace({ vf: record.vf, kind, words: message });
  }
}
