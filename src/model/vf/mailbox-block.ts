// The mailbox hardware of one VF: the 16 words both sides see, VFMAILBOX as the
// VF sees it, and what the PF finds in MBVFICR and PFMAILBOX. docs/82599-vf.md sec 4.1;
// reactions from QEMU's model of the 82576. Knows nothing of messages.

import { MAILBOX_WORDS } from '../../hw/mailbox.ts';
import { VFMAILBOX, VFMAILBOX_READ_TO_CLEAR } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { Silicon } from '../silicon.ts';
import type { PfMailbox } from '../types.ts';

const { REQ, ACK, VFU, PFSTS, PFACK, RSTI, RSTD } = VFMAILBOX.mask;

/** What the block tells its surroundings. */
export interface MailboxEvents {
  /** PFSTS, PFACK, RSTI or RSTD was set: the VF's cause in VTIVAR_MISC. */
  interrupt(): void;
  /** The VF broke the protocol in a way that silicon would let pass. */
  violation(detail: string): void;
}

/** One VF's mailbox. */
export class MailboxBlock implements PfMailbox {
  /** VFMBMEM. */
  readonly words = new Uint32Array(MAILBOX_WORDS);
  /** VFMAILBOX without REQ and ACK, which read as 0. */
  private flags = 0;
  /** MBVFICR bits of this VF. */
  private requestPending = false;
  private ackPending = false;
  /** When the PF gets to see what the VF signalled last. */
  private pfSeesAtUs = 0;
  /** When RSTD of the VF's own reset is to show. */
  private rstdAtUs = Number.POSITIVE_INFINITY;
  private readonly events: MailboxEvents;
  private readonly clock: Clock;
  private readonly silicon: Pick<Silicon, 'rstdUs' | 'mailboxLagUs'>;

  /** @param silicon how late RSTD shows after the VF's own reset, and how late the PF looks at what the VF sent */
  constructor(
    events: MailboxEvents,
    clock: Clock,
    silicon: Pick<Silicon, 'rstdUs' | 'mailboxLagUs'>,
  ) {
    this.events = events;
    this.clock = clock;
    this.silicon = silicon;
  }

  // ---- the VF's side ----

  /** Read of VFMAILBOX: PFSTS, PFACK and RSTD clear. */
  readControl(): number {
    this.tick();
    const value = this.flags;
    this.flags &= ~VFMAILBOX_READ_TO_CLEAR;
    return value;
  }

  /** Write of VFMAILBOX: REQ and ACK act on 1, VFU takes the value written, the rest has no effect. */
  writeControl(value: number): void {
    const owned = (this.flags & VFU) !== 0;
    if ((value & REQ) !== 0) {
      if (!owned) this.events.violation('VFMAILBOX.REQ written without holding VFU');
      if ((value & VFU) !== 0) {
        this.events.violation('VFMAILBOX.REQ written with VFU kept: the PF cannot lock the buffer');
      }
    }
    if ((this.flags & RSTI) !== 0 && (value & (REQ | ACK)) !== 0) {
      this.events.violation('message sent while RSTI is set: the mailbox is dead');
    } else {
      if ((value & REQ) !== 0) this.requestPending = true;
      if ((value & ACK) !== 0) this.ackPending = true;
      if ((value & (REQ | ACK)) !== 0) this.callPf();
    }
    this.flags = (this.flags & ~VFU) | (value & VFU);
  }

  writeWord(index: number, value: number): void {
    if ((this.flags & VFU) === 0) {
      this.events.violation(`VFMBMEM(${index}) written without holding VFU`);
    }
    this.words[index] = value;
  }

  /** VFCTRL.RST or FLR: the VF's half of the block starts anew; RSTD shows when and if the chip's mode says so. */
  functionReset(): void {
    const { rstdUs } = this.silicon;
    this.flags &= RSTI;
    this.requestPending = false;
    this.ackPending = false;
    this.callPf();
    const shows = rstdUs >= 0 && this.flags === 0;
    this.rstdAtUs = shows ? this.clock.nowUs() + rstdUs : Number.POSITIVE_INFINITY;
    this.tick();
  }

  /** Lets RSTD show when its time has come; called at each step of the NIC. */
  tick(): void {
    if (this.rstdAtUs === Number.POSITIVE_INFINITY || this.clock.nowUs() < this.rstdAtUs) return;
    this.rstdAtUs = Number.POSITIVE_INFINITY;
    this.flags |= RSTD;
    this.events.interrupt();
  }

  // ---- the PF's side ----

  /** False while the PF has not got round to what the VF signalled last. */
  get attended(): boolean {
    return this.pfSeesAtUs === 0 || this.clock.nowUs() >= this.pfSeesAtUs;
  }

  /** A request waits and can be read, which it cannot while the VF holds the buffer. */
  get hasRequest(): boolean {
    return this.requestPending && (this.flags & VFU) === 0 && this.attended;
  }

  takeRequest(): Uint32Array {
    this.requestPending = false;
    const copy = this.words.slice();
    this.flags |= PFACK;
    this.events.interrupt();
    return copy;
  }

  takeAck(): boolean {
    if (!this.ackPending || !this.attended) return false;
    this.ackPending = false;
    return true;
  }

  post(message: readonly number[]): boolean {
    if ((this.flags & VFU) !== 0) return false;
    this.requestPending = false;
    this.ackPending = false;
    this.words.set(message);
    this.flags |= PFSTS;
    this.events.interrupt();
    return true;
  }

  /** CTRL.RST of the port. PFSTS stays, so that a ping sent just before can still be seen. */
  portReset(): void {
    this.rstdAtUs = Number.POSITIVE_INFINITY;
    this.flags = (this.flags & (PFSTS | PFACK)) | RSTI;
    this.requestPending = false;
    this.ackPending = false;
    this.events.interrupt();
  }

  /** CTRL_EXT.PFRSTD. */
  portResetDone(): void {
    this.flags = (this.flags & ~RSTI) | RSTD;
    this.events.interrupt();
  }

  private callPf(): void {
    const { mailboxLagUs } = this.silicon;
    if (mailboxLagUs > 0) this.pfSeesAtUs = this.clock.nowUs() + mailboxLagUs;
  }
}
