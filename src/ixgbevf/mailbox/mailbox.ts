// The VF's end of the mailbox: one request at a time and its reply, and what the PF said unasked. The buffer behind it is
// buffer.ts, what the messages say is in requests.ts.

import { MAILBOX_WORDS, MESSAGE, REQUEST } from '../../hw/mailbox.ts';
import { VFMAILBOX } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import { DeviceError, MailboxError } from '../../support/errors.ts';
import { pollSteps } from '../../support/poll.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { MessageBuffer } from './buffer.ts';
import { hex, isPing, isReplyTo, requestName } from './words.ts';

const { PFSTS, PFACK, RSTI, RSTD } = VFMAILBOX.mask;

/** Linux and DPDK look every 500 us; a PF that is awake answers sooner, and a device is opened with ten requests. */
const POLL_US = 50;
/** As long as linux ixgbevf and DPDK. */
export const REPLY_US = 1_000_000;
/** A PF message that crosses a request destroys it in the shared buffer: how long to wait before sending again. */
const RESEND_US = 100_000;

/** Requests to the PF and their replies, one at a time. Keeps what the PF said unasked. */
export class Mailbox {
  /** Why the PF no longer knows this VF: a full re-initialisation is due. Empty while all is well. */
  lost = '';
  /** How long a request waits for the buffer, and then for its reply, microseconds. */
  timeoutUs = REPLY_US;
  private readonly buffer: MessageBuffer;
  private readonly clock: Clock;
  private pinged = false;
  /** From restart() to registered(): RSTD says nothing, since it may be late word of the VF's own reset. */
  private registering = false;
  /** So may the first RSTD after restart(), whenever it comes: on some chips there may be none. */
  private awaitingRstd = false;
  /** Such an RSTD was seen, and may have been the PF's all the same. */
  private rstdSeen = false;
  /** From the first word of a request to its reply: nobody else may touch the buffer, which may hold that reply. */
  private exchanging = false;

  constructor(device: VfioDevice, clock: Clock) {
    this.buffer = new MessageBuffer(device);
    this.clock = clock;
  }

  /**
   * Sends a request and waits for its reply, at most `timeoutUs`. May be left for a while wherever it yields; whoever
   * leaves it for good must call `restart()` before the next request.
   * @param words message, 1..16 words, word 0 without ACK, NACK and CTS
   * @param replyWords words of the reply wanted, 1..16
   * @param advice what to do about a NACK
   * @returns the reply, which carries ACK
   * @throws MailboxError nack, timeout, or reset where the PF lost this VF; DeviceError when the device is gone
   */
  *request(words: readonly number[], replyWords: number, advice = ''): Generator<void, number[]> {
    const reply = yield* this.exchange(words, replyWords);
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
  *exchange(words: readonly number[], replyWords: number): Generator<void, number[]> {
    const name = requestName(words[0]);
    if (words.length < 1 || words.length > MAILBOX_WORDS) {
      throw new RangeError(
        `mailbox message: expected 1 to ${MAILBOX_WORDS} words, got ${words.length}`,
      );
    }
    if (this.lost !== '') throw this.resetError(name);
    if (this.exchanging) {
      throw new MailboxError(name, 'reset', 'the VF is being restarted; try again when it runs');
    }
    this.exchanging = true;
    try {
      yield* this.lock(name);
      this.send(name, words);
      yield;
      return yield* this.reply(name, words, replyWords);
    } finally {
      this.exchanging = false;
    }
  }

  /** Waits for the reply to a request that was sent, and sends it again where it was destroyed. */
  private *reply(
    name: string,
    words: readonly number[],
    replyWords: number,
  ): Generator<void, number[]> {
    let reply: number[] = [];
    let lastWord = 'no message';
    let resendAtUs = Number.POSITIVE_INFINITY;
    yield* this.poll(
      name,
      () => {
        const control = this.buffer.readControl();
        if (this.noteReset(control)) throw this.resetError(name);
        const nowUs = this.clock.nowUs();
        // The port may have been reset, and then the request is lost: a PF that does not know this VF any more says so.
        if ((control & RSTD) !== 0) resendAtUs = nowUs + RESEND_US;
        if ((control & PFSTS) === 0 && nowUs < resendAtUs) return false;
        if (!this.tryLockFor(name)) return false;
        if (this.buffer.holds(PFSTS)) {
          const message = this.receive(name, replyWords);
          lastWord = hex(message[0]);
          if (isReplyTo(message[0], words[0])) reply = message;
          else if (isPing(message[0])) resendAtUs = nowUs + RESEND_US;
        } else {
          resendAtUs = Number.POSITIVE_INFINITY;
          this.send(name, words);
        }
        return reply.length > 0;
      },
      (waitedMs) =>
        `no reply in ${waitedMs / 1000} s; VFMAILBOX ${hex(this.buffer.control)}, PF last sent ${lastWord}; is the PF's interface up on the host?`,
    );
    return reply;
  }

  /**
   * Looks for what the PF may have said or done unasked, with one or a few register accesses; never waits.
   * Afterwards `lost` and `takePing()` tell.
   */
  look(): void {
    // Whoever waits for a reply sees everything that comes meanwhile.
    if (this.exchanging) return;
    const control = this.buffer.readControl();
    this.noteReset(control);
    if ((control & PFSTS) !== 0 && this.buffer.tryLock()) {
      this.buffer.forget(PFSTS);
      this.release(this.note(this.buffer.readWord(0)));
    }
  }

  /**
   * Word 0 as it stands in the buffer, whoever wrote it last; unread messages are noted as by `look`.
   * @returns the word, or -1 while the PF holds the buffer, or a request is under way
   */
  peek(): number {
    if (this.exchanging || !this.buffer.tryLock()) return -1;
    const fresh = this.buffer.holds(PFSTS);
    this.buffer.forget(PFSTS);
    const word = this.buffer.readWord(0);
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
    this.buffer.forget(PFSTS | PFACK | RSTD);
    this.pinged = false;
    this.registering = true;
    this.awaitingRstd = true;
    this.rstdSeen = false;
    this.exchanging = false;
  }

  /** The VF runs: from now on RSTD means that the PF's port was reset and has forgotten it, unless it is the VF's own. */
  registered(): void {
    this.registering = false;
  }

  /** True while the port's reset is under way: nobody answers. The end of one that was signalled is left to others. */
  get inReset(): boolean {
    return (this.buffer.readControl() & RSTI) !== 0;
  }

  /** True while the port's reset is under way or its end was signalled since the last look; consumes the signal. */
  resetIndicated(): boolean {
    const control = this.buffer.readControl();
    this.buffer.forget(RSTD);
    if ((control & RSTD) !== 0) this.awaitingRstd = false;
    return (control & (RSTI | RSTD)) !== 0;
  }

  /** Writes a message into the locked buffer and rings the PF, unless the PF has lost this VF. */
  private send(name: string, words: readonly number[]): void {
    // A message nobody fetched is about to be overwritten; it may be the PF's farewell.
    if (this.buffer.holds(PFSTS)) this.note(this.buffer.readWord(0));
    if (this.lost !== '' && name !== 'RESET') {
      this.release(0);
      throw this.resetError(name);
    }
    this.lost = '';
    this.buffer.forget(PFSTS | PFACK);
    this.buffer.send(words);
  }

  /** Takes the message that PFSTS announced out of the locked buffer, and gives the buffer up. */
  private receive(name: string, replyWords: number): number[] {
    this.buffer.forget(PFSTS);
    const message = [this.buffer.readWord(0)];
    for (let i = 1; i < replyWords; i++) message.push(this.buffer.readWord(i));
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
    this.buffer.forget(RSTD);
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

  /** One attempt to own the buffer. @throws MailboxError where the port was reset */
  private tryLockFor(name: string): boolean {
    const locked = this.buffer.tryLock();
    if (!this.noteReset(this.buffer.control)) return locked;
    if (locked) this.release(0);
    throw this.resetError(name);
  }

  private *lock(name: string): Generator<void> {
    yield* this.poll(
      name,
      () => this.tryLockFor(name),
      (waitedMs) =>
        `message buffer not free in ${waitedMs / 1000} s; VFMAILBOX ${hex(this.buffer.control)}`,
    );
  }

  /**
   * Gives the buffer up, acknowledging a message that counts. What comes from a PF that does not know this VF
   * stays unacknowledged: a Linux PF answers each such ACK with another refusal.
   */
  private release(word: number): void {
    const counts = (word & MESSAGE.mask.CTS) !== 0 || isReplyTo(word, REQUEST.RESET);
    this.buffer.release(counts);
  }

  private *poll(
    name: string,
    done: () => boolean,
    lastSeen: (waitedMs: number) => string,
  ): Generator<void> {
    const what = `mailbox ${name}`;
    const spec = { what, wanted: '1', intervalUs: POLL_US, timeoutUs: this.timeoutUs };
    try {
      yield* pollSteps(
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
