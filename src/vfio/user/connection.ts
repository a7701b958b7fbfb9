// One connection to a vfio-user server: message ids, one request at a time with a deadline, and
// the check of every reply before anybody uses it. Whatever breaks the protocol (a foreign reply,
// a wrong size, a silent or vanished server) loses the connection for good: it is hung up at once
// and every later request throws. An error reply loses nothing.

import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';
import { HELD_BY_HOST } from '../events.ts';
import type { Exchange } from './exchange.ts';
import { checkReply, commandName, isRefusal, type Refusal } from './wire.ts';

/** Bytes of the largest message in either direction. */
export const BUFFER_BYTES = 8192;
/** Fds this client takes in one message; what it says in VERSION. */
export const MAX_RECEIVED_FDS = 8;
/** How long a request waits for its reply unless told otherwise. */
export const DEFAULT_TIMEOUT_MS = 5000;

/** A connection that checks what its server says. Owns its Exchange. */
export class Connection {
  /** The server's socket, for messages. */
  readonly path: string;
  readonly timeoutMs: number;
  /** The message to send. Word and DataView are over the same bytes. */
  readonly sendWords: Uint32Array;
  readonly sendView: DataView;
  /** The message received last. */
  readonly replyWords: Uint32Array;
  readonly replyView: DataView;
  /** [0] fds that came with it, [1..] they. */
  readonly replyFds = new Int32Array(1 + MAX_RECEIVED_FDS);
  /** Called once, when the connection is lost or closed. */
  onEnd: () => void = () => {};
  private readonly exchange: Exchange;
  private readonly sendBytes: Uint8Array;
  private readonly replyBytes: Uint8Array;
  private lastId = 0;
  /** When all requests have to be done, by performance.now(), where there is such a time; and what takes until then. */
  private limit: { readonly endMs: number; readonly ms: number; readonly phase: string } | null =
    null;
  /** Why nothing can be sent any more; empty while it can. */
  private ended = '';

  /** @param timeoutMs 1 to 2**31-1 */
  constructor(exchange: Exchange, path: string, timeoutMs: number) {
    this.exchange = exchange;
    this.path = path;
    this.timeoutMs = timeoutMs;
    const send = new ArrayBuffer(BUFFER_BYTES);
    const reply = new ArrayBuffer(BUFFER_BYTES);
    this.sendBytes = new Uint8Array(send);
    this.sendWords = new Uint32Array(send);
    this.sendView = new DataView(send);
    this.replyBytes = new Uint8Array(reply);
    this.replyWords = new Uint32Array(reply);
    this.replyView = new DataView(reply);
  }

  /** True until `close`, or until the server broke the protocol or went away. */
  get usable(): boolean {
    return this.ended === '';
  }

  /**
   * Gives all requests from now on one deadline, besides that of each, until `unlimited`: many slow answers are no
   * better than none.
   * @param ms more than 0
   * @param phase what the requests are for, in messages: "start"
   */
  limited(phase: string, ms: number): void {
    this.limit = { endMs: performance.now() + ms, ms, phase };
  }

  /** Each request has its own deadline only. */
  unlimited(): void {
    this.limit = null;
  }

  /** Id for the next message, 0..65535; other than the one before. */
  nextId(): number {
    this.lastId = (this.lastId + 1) & 0xffff;
    return this.lastId;
  }

  /**
   * Sends the first `length` bytes of the send buffer and receives the reply, unchecked.
   * @returns bytes received, or -errno; the caller hands either to `judge` unless it knows the reply to be right
   */
  exchangeRaw(length: number, fds: Int32Array | null, fdCount: number): number {
    this.replyFds[0] = 0;
    if (this.ended !== '') return -ERRNO.ENOTCONN;
    const leftMs = this.leftMs();
    if (leftMs <= 0) return -ERRNO.ETIMEDOUT;
    return this.exchange.request(
      this.sendBytes,
      length,
      fds,
      fdCount,
      this.replyBytes,
      this.replyFds,
      Math.min(this.timeoutMs, leftMs),
    );
  }

  /**
   * Sends what `encode` wrote and gives back what `decode` made of the reply's payload.
   * @param operation verb phrase for messages: "map DMA"
   * @param encode writes the command with the given id, returns its length
   * @param decode checks the payload of a good reply; fds it accepted are the caller's, in `replyFds`
   * @throws VfioError for an error reply (its errno), a lost connection, or a reply that is not right
   */
  request<T>(
    operation: string,
    command: number,
    encode: (out: DataView, id: number) => number,
    decode: (reply: DataView, fdCount: number) => T | Refusal,
    fds: Int32Array | null = null,
    fdCount = 0,
  ): T {
    const id = this.nextId();
    const length = encode(this.sendView, id);
    const received = this.exchangeRaw(length, fds, fdCount);
    this.judge(operation, command, id, received);
    const value = decode(this.replyView, this.replyFds[0]);
    if (typeof value === 'object' && value !== null && isRefusal(value)) {
      this.lose(operation, ERRNO.EPROTO, `reply to ${commandName(command)}: ${value.refused}`);
    }
    return value;
  }

  /**
   * Returns when the reply received last is a good one to command `id` by its header; else throws.
   * @param received what exchangeRaw returned
   * @throws VfioError; the connection is lost too unless it was an error reply
   */
  judge(operation: string, command: number, id: number, received: number): void {
    if (this.ended !== '') throw new VfioError(operation, ERRNO.ENOTCONN, this.path, this.ended);
    const name = commandName(command);
    if (received < 0) this.lose(operation, -received, this.transportDetail(-received, name));
    const verdict = checkReply(this.replyView, received, id, command);
    if (typeof verdict === 'object') {
      this.lose(operation, ERRNO.EPROTO, `reply to ${name}: ${verdict.refused}`);
    }
    if (verdict === 0) return;
    if (this.replyFds[0] !== 0) {
      this.lose(
        operation,
        ERRNO.EPROTO,
        `error reply to ${name}: expected no file descriptors, got some`,
      );
    }
    const cure = verdict === ERRNO.EAGAIN ? `: ${HELD_BY_HOST}` : '';
    const detail =
      verdict < 0 ? `the server refused ${name} without an errno` : `refused ${name}${cure}`;
    throw new VfioError(operation, Math.max(0, verdict), this.path, detail);
  }

  /** Gives up on the server: closes fds that came, hangs up, throws. */
  lose(operation: string, errno: number, detail: string): never {
    this.closeReplyFds();
    this.end(`connection lost earlier, at "${operation}": ${detail}`);
    throw new VfioError(operation, errno, this.path, detail);
  }

  /** Gives away the one fd of the reply received last. @returns it, now the caller's to close; -1 where none came */
  takeReplyFd(): number {
    if (this.replyFds[0] !== 1) return -1;
    this.replyFds[0] = 0;
    return this.replyFds[1];
  }

  /** Closes the fds of the reply received last. */
  closeReplyFds(): void {
    const count = this.replyFds[0];
    this.replyFds[0] = 0;
    for (let i = 1; i <= count; i++) native().close(this.replyFds[i]);
  }

  /** Hangs up. Idempotent. */
  close(): void {
    this.end('the device is closed');
  }

  private end(why: string): void {
    if (this.ended !== '') return;
    this.ended = why;
    this.exchange.close();
    this.onEnd();
  }

  /** Milliseconds until the limit, whole ones. */
  private leftMs(): number {
    if (this.limit === null) return Number.POSITIVE_INFINITY;
    return Math.ceil(this.limit.endMs - performance.now());
  }

  private transportDetail(errno: number, name: string): string {
    switch (errno) {
      case ERRNO.ETIMEDOUT:
        if (this.limit !== null && this.leftMs() <= 1) {
          const { phase, ms } = this.limit;
          return `${name}: expected the whole ${phase} to take at most ${ms} ms, got more; the server hangs or is overloaded`;
        }
        return `${name}: expected a reply within ${this.timeoutMs} ms, got none; the server hangs or is overloaded`;
      case ERRNO.ECONNRESET:
        return `${name}: expected a reply, got the end of the stream; the server ended or refused this client`;
      case ERRNO.EMSGSIZE:
        return `reply to ${name}: expected at most ${BUFFER_BYTES} bytes and ${MAX_RECEIVED_FDS} file descriptors, got more than that or than this process may open (\`ulimit -n\`)`;
      case ERRNO.EPROTO:
        return `reply to ${name}: expected a size of 16 bytes or more, got less`;
      default:
        return `${name}: the connection broke`;
    }
  }
}

/** @returns the deadline of a request, ms. @throws RangeError */
export function checkedTimeout(timeoutMs: number = DEFAULT_TIMEOUT_MS): number {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= 2 ** 31 - 1) return timeoutMs;
  throw new RangeError(`timeoutMs: expected an integer from 1 to 2**31-1, got ${timeoutMs}`);
}
