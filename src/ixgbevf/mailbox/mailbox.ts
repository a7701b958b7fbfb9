// The VF's end of the mailbox: one buffer of 16 words shared with the PF, and
// VFMAILBOX, three bits of which vanish on any read. linux ixgbevf/mbx.c, the
// "legacy" transport that every PF speaks up to API 1.4 and from 1.6 on.
// What the messages say is in requests.ts. Not spoken: the ESX transport of API 1.5.

import { MAILBOX_WORDS, MESSAGE, PF_CONTROL_PING, REQUEST } from '../../hw/mailbox.ts';
import { VFMAILBOX, VFMAILBOX_READ_TO_CLEAR, VFMBMEM } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import { DeviceError, MailboxError } from '../../support/errors.ts';
import { pollUntil } from '../../support/poll.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { readRegister, writeRegister } from '../access.ts';

const { REQ, ACK, VFU, PFSTS, PFACK, RSTI, RSTD } = VFMAILBOX.mask;

/** Linux and DPDK look every 500 us; a PF that is awake answers sooner, and a device is opened with ten requests. */
const POLL_US = 50;
/** As long as linux ixgbevf and DPDK. */
const TIMEOUT_US = 1_000_000;
/** A PF message that crosses a request destroys it in the shared buffer: how long to wait before sending again. */
const RESEND_US = 100_000;

/** Name of a request as in the PF's headers, from message word 0. */
function requestName(word0: number): string {
  const opcode = word0 & MESSAGE.mask.OPCODE;
  const found = Object.entries(REQUEST).find(([, code]) => code === opcode);
  return found === undefined ? hex(opcode) : found[0];
}

/** Requests to the PF and their replies, one at a time. Keeps what the PF said unasked. */
export class Mailbox {
  /** Why the PF no longer knows this VF: a full re-initialisation is due. Empty while all is well. */
  lost = '';
  private readonly device: VfioDevice;
  private readonly clock: Clock;
  /** Read-to-clear bits that were read and not consumed yet. */
  private saved = 0;
  private pinged = false;
  private lastControl = 0;
  /** From restart() to registered(): RSTD says nothing, since it may be late word of the VF's own reset. */
  private registering = false;
  /** So may the first RSTD after restart(), whenever it comes: on some chips there may be none. */
  private awaitingRstd = false;
  /** Such an RSTD was seen, and may have been the PF's all the same. */
  private rstdSeen = false;

  constructor(device: VfioDevice, clock: Clock) {
    this.device = device;
    this.clock = clock;
  }

  /**
   * Sends a request and waits for its reply, at most 1 s.
   * @param words message, 1..16 words, word 0 without ACK, NACK and CTS
   * @param replyWords words of the reply wanted, 1..16
   * @param advice what to do about a NACK
   * @returns the reply, which carries ACK
   * @throws MailboxError nack, timeout, or reset where the PF lost this VF; DeviceError when the device is gone
   */
  request(words: readonly number[], replyWords: number, advice = ''): number[] {
    const reply = this.exchange(words, replyWords);
    if ((reply[0] & MESSAGE.mask.NACK) !== 0) {
      const detail = `PF answered ${hex(reply[0])}`;
      const why = advice === '' ? detail : `${advice} (${detail})`;
      throw new MailboxError(requestName(words[0]), 'nack', why);
    }
    return reply;
  }

  /**
   * As `request`, but hands a NACK back like any reply: for RESET, which a PF that assigned no MAC answers so.
   * @throws MailboxError timeout or reset; DeviceError when the device is gone
   */
  exchange(words: readonly number[], replyWords: number): number[] {
    const name = requestName(words[0]);
    if (this.lost !== '') throw this.resetError(name);
    this.send(name, words);
    let reply: number[] = [];
    let lastWord = 'no message';
    let resendAtUs = Number.POSITIVE_INFINITY;
    this.poll(
      name,
      () => {
        const control = this.readControl();
        // The port may have been reset, and then the request is lost: a PF that does not know this VF any more says so.
        if ((control & RSTD) !== 0) resendAtUs = this.clock.nowUs() + RESEND_US;
        if (this.noteReset(control)) throw this.resetError(name);
        if ((control & PFSTS) !== 0) {
          const message = this.receive(name, replyWords);
          lastWord = hex(message[0]);
          if (isReplyTo(message[0], words[0])) reply = message;
          else if (isPing(message[0])) resendAtUs = this.clock.nowUs() + RESEND_US;
        } else if (this.clock.nowUs() >= resendAtUs) {
          resendAtUs = Number.POSITIVE_INFINITY;
          this.send(name, words);
        }
        return reply.length > 0;
      },
      (waitedMs) =>
        `no reply in ${waitedMs / 1000} s; VFMAILBOX ${hex(this.lastControl)}, PF last sent ${lastWord}; is the PF's interface up on the host?`,
    );
    return reply;
  }

  /**
   * Looks for what the PF may have said or done unasked, with one or a few register accesses; never waits.
   * Afterwards `lost` and `takePing()` tell.
   */
  look(): void {
    const control = this.readControl();
    this.noteReset(control);
    if ((control & PFSTS) !== 0 && this.tryLock()) {
      this.saved &= ~PFSTS;
      this.release(this.note(this.readWord(0)));
    }
  }

  /**
   * Word 0 as it stands in the buffer, whoever wrote it last; unread messages are noted as by `look`.
   * @returns the word, or -1 while the PF holds the buffer
   */
  peek(): number {
    if (!this.tryLock()) return -1;
    const fresh = (this.saved & PFSTS) !== 0;
    this.saved &= ~PFSTS;
    const word = this.readWord(0);
    const pinged = this.pinged;
    this.note(word);
    // A ping that was taken before still lies in the buffer.
    if (!fresh) this.pinged = pinged;
    // Nothing new was read: leave without ACK, which would only cost the PF an interrupt.
    this.release(fresh ? word : 0);
    return word;
  }

  /** True once after the PF pinged a VF that it still knows: the link may have changed. */
  takePing(): boolean {
    const pinged = this.pinged;
    this.pinged = false;
    return pinged;
  }

  /** Forgets all that came before: the VF registers anew. Until `registered` RSTD is no sign of a lost registration. */
  restart(): void {
    this.lost = '';
    this.saved = 0;
    this.pinged = false;
    this.registering = true;
    this.awaitingRstd = true;
    this.rstdSeen = false;
  }

  /** The VF runs: from now on RSTD means that the PF's port was reset and has forgotten it, unless it is the VF's own. */
  registered(): void {
    this.registering = false;
  }

  /** True while the port's reset is under way: nobody answers. The end of one that was signalled is left to others. */
  get inReset(): boolean {
    return (this.readControl() & RSTI) !== 0;
  }

  /** True while the port's reset is under way or its end was signalled since the last look; consumes the signal. */
  resetIndicated(): boolean {
    const control = this.readControl();
    this.saved &= ~RSTD;
    if ((control & RSTD) !== 0) this.awaitingRstd = false;
    return (control & (RSTI | RSTD)) !== 0;
  }

  /** VFMAILBOX with the bits that earlier reads took from it. */
  private readControl(): number {
    const value = (readRegister(this.device, VFMAILBOX) | this.saved) >>> 0;
    this.saved |= value & VFMAILBOX_READ_TO_CLEAR;
    this.lastControl = value;
    return value;
  }

  /** Writes a message and rings the PF. REQ alone, without VFU, hands the buffer over in the same store. */
  private send(name: string, words: readonly number[]): void {
    if (words.length < 1 || words.length > MAILBOX_WORDS) {
      throw new RangeError(
        `mailbox message: expected 1 to ${MAILBOX_WORDS} words, got ${words.length}`,
      );
    }
    this.lock(name);
    // A message nobody fetched is about to be overwritten; it may be the PF's farewell.
    if ((this.saved & PFSTS) !== 0) this.note(this.readWord(0));
    if (this.lost !== '' && name !== 'RESET') {
      this.release(0);
      throw this.resetError(name);
    }
    this.lost = '';
    this.saved &= ~(PFSTS | PFACK);
    for (let i = 0; i < words.length; i++) writeRegister(this.device, VFMBMEM, words[i], i);
    writeRegister(this.device, VFMAILBOX, REQ);
  }

  /** Takes the message that PFSTS announced. */
  private receive(name: string, replyWords: number): number[] {
    this.lock(name);
    this.saved &= ~PFSTS;
    const message = [this.readWord(0)];
    for (let i = 1; i < replyWords; i++) message.push(this.readWord(i));
    this.release(this.note(message[0]));
    if (this.lost !== '') throw this.resetError(name);
    return message;
  }

  /** Takes note of what word 0 says apart from being a reply, and returns it. */
  private note(word: number): number {
    const registered = (word & MESSAGE.mask.CTS) !== 0;
    if (isPing(word)) {
      if (registered) this.pinged = true;
      else if (this.lost === '') {
        const why = this.rstdSeen
          ? "the PF's port was reset"
          : "PF withdrew this VF's registration";
        this.lost = `${why} (message ${hex(word)})`;
      }
    } else if (
      (word & MESSAGE.mask.NACK) !== 0 &&
      !registered &&
      (word & MESSAGE.mask.OPCODE) !== REQUEST.RESET
    ) {
      if (this.lost === '') this.lost = `PF does not know this VF (message ${hex(word)})`;
    }
    return word;
  }

  /** @returns true where the port is, or was, reset: then the registration is lost */
  private noteReset(control: number): boolean {
    this.saved &= ~RSTD;
    const own = this.registering || this.awaitingRstd;
    if ((control & RSTD) !== 0) {
      this.rstdSeen = own;
      this.awaitingRstd = false;
    }
    if ((control & (own ? RSTI : RSTI | RSTD)) === 0) return false;
    this.lost = `the PF's port was reset (VFMAILBOX ${hex(control)})`;
    return true;
  }

  private resetError(name: string): MailboxError {
    return new MailboxError(name, 'reset', `${this.lost}; restart the VF`);
  }

  /** One attempt to own the buffer: VFU sets only while the PF does not own it. */
  private tryLock(): boolean {
    writeRegister(this.device, VFMAILBOX, VFU);
    return (this.readControl() & VFU) !== 0;
  }

  private lock(name: string): void {
    this.poll(
      name,
      () => {
        const locked = this.tryLock();
        if (!this.noteReset(this.lastControl)) return locked;
        if (locked) this.release(0);
        throw this.resetError(name);
      },
      (waitedMs) =>
        `message buffer not free in ${waitedMs / 1000} s; VFMAILBOX ${hex(this.lastControl)}`,
    );
  }

  /**
   * Gives the buffer up, acknowledging a message that counts. What comes from a PF that does not know this VF
   * stays unacknowledged: a Linux PF answers each such ACK with another refusal.
   */
  private release(word: number): void {
    const counts = (word & MESSAGE.mask.CTS) !== 0 || isReplyTo(word, REQUEST.RESET);
    writeRegister(this.device, VFMAILBOX, counts ? ACK : 0);
  }

  private readWord(index: number): number {
    return readRegister(this.device, VFMBMEM, index);
  }

  private poll(name: string, done: () => boolean, lastSeen: (waitedMs: number) => string): void {
    const what = `mailbox ${name}`;
    const spec = { what, wanted: '1', intervalUs: POLL_US, timeoutUs: TIMEOUT_US };
    try {
      pollUntil(
        this.clock,
        spec,
        () => (done() ? 1 : 0),
        (value) => value === 1,
      );
    } catch (error) {
      // Only this poll's own time-out: a device that is gone is named after a register.
      if (error instanceof DeviceError && error.register === what) {
        throw new MailboxError(name, 'timeout', lastSeen(error.waitedMs));
      }
      throw error;
    }
  }
}

function isPing(word: number): boolean {
  return (word & MESSAGE.mask.OPCODE) === PF_CONTROL_PING;
}

function isReplyTo(word: number, request: number): boolean {
  const answered = (word & (MESSAGE.mask.ACK | MESSAGE.mask.NACK)) !== 0;
  return answered && ((word ^ request) & MESSAGE.mask.OPCODE) === 0;
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
