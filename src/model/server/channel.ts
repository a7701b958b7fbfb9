// One accepted socket as a stream of vfio-user messages, never blocking: a message that is not
// whole yet waits in its buffer, a reply that the client does not take waits in another, and
// while one waits nothing more is read, so both stay bounded. Knows sizes, no commands.

import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';
import { HEADER_BYTES, messageSize } from '../../vfio/user/protocol.ts';

/** Bytes that a REGION_READ or REGION_WRITE may carry: as much as the largest region has. */
export const MAX_TRANSFER_BYTES = 0x4000;
/** Bytes of the largest message in either direction. */
export const MAX_MESSAGE_BYTES = HEADER_BYTES + 16 + MAX_TRANSFER_BYTES;

/** What `receive` found. */
export const RECEIVED = {
  /** A whole message: `message` and `fds`. */
  MESSAGE: 0,
  /** Nothing more for now. */
  NOTHING: 1,
  /** The client hung up, or the socket broke. */
  END: 2,
  /** A size that no message can have, or more fds than one call can carry: what follows cannot be told apart. */
  DAMAGED: 3,
} as const;

/** SCM_MAX_FD: what one sendmsg can carry. */
const MAX_FDS = 253;

/** A connection as a stream of messages. Owns its socket. */
export class Channel {
  readonly fd: number;
  /** The message received last: a view of the buffer, good until the next `receive`. */
  message: DataView;
  /** The fds that came with it; whoever keeps one takes it out, `receive` closes the rest. */
  readonly fds: number[] = [];
  private readonly inbox = new Uint8Array(MAX_MESSAGE_BYTES);
  private readonly header = new DataView(this.inbox.buffer, 0, HEADER_BYTES);
  private readonly arrived = new Int32Array(1 + MAX_FDS);
  private have = 0;
  private need = HEADER_BYTES;
  /** The reply that waits, from byte `sent` on. */
  private outbox: Uint8Array | null = null;
  private outboxFd = -1;
  private sent = 0;
  private closed = false;

  /** @param fd an accepted socket, from here on this object's */
  constructor(fd: number) {
    this.fd = fd;
    this.message = this.header;
    native().setNonBlocking(fd, true);
  }

  /** A reply waits for room in the socket: poll for POLLOUT, then `flush`. */
  get blocked(): boolean {
    return this.outbox !== null;
  }

  /** Reads on. @returns one of RECEIVED */
  receive(): number {
    if (this.closed) return RECEIVED.END;
    if (this.have === this.need) this.startMessage();
    for (;;) {
      const result = native().recvMsg(
        this.fd,
        this.inbox,
        this.have,
        this.need - this.have,
        this.arrived,
      );
      if (result === -ERRNO.EAGAIN) return RECEIVED.NOTHING;
      for (let i = 1; i <= this.arrived[0]; i++) this.fds.push(this.arrived[i]);
      if (result <= 0) return result === 0 || result === -104 ? RECEIVED.END : RECEIVED.DAMAGED;
      this.have += result;
      if (this.have < this.need) continue;
      const size = messageSize(this.header);
      if (size < HEADER_BYTES || size > MAX_MESSAGE_BYTES) return RECEIVED.DAMAGED;
      if (this.have === size) {
        this.message = new DataView(this.inbox.buffer, 0, size);
        return RECEIVED.MESSAGE;
      }
      this.need = size;
    }
  }

  /**
   * Sends a reply, or keeps a copy of what the socket does not take. Not called while `blocked`.
   * @param fd goes along; stays the caller's, and open for as long as this channel; -1 for none
   * @returns false where the client is gone
   */
  send(reply: Uint8Array, length: number, fd: number): boolean {
    const fds = fd < 0 ? null : Int32Array.of(fd);
    const result = native().sendMsg(this.fd, reply, 0, length, fds, fds === null ? 0 : 1);
    if (result === length) return true;
    if (result < 0 && result !== -ERRNO.EAGAIN) return false;
    this.outbox = reply.slice(0, length);
    this.sent = Math.max(0, result);
    this.outboxFd = this.sent > 0 ? -1 : fd;
    return true;
  }

  /** Sends more of the reply that waits. @returns false where the client is gone */
  flush(): boolean {
    const { outbox } = this;
    if (outbox === null) return true;
    this.outbox = null;
    const rest = outbox.subarray(this.sent);
    return this.send(rest, rest.length, this.outboxFd);
  }

  /** Hangs up; fds not taken out are closed. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.closeFds();
    this.outbox = null;
    native().close(this.fd);
  }

  private startMessage(): void {
    this.closeFds();
    this.have = 0;
    this.need = HEADER_BYTES;
  }

  private closeFds(): void {
    for (const fd of this.fds.splice(0)) native().close(fd);
  }
}
