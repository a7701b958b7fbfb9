// The other end of a model's DIR/control.sock: one connection, a line of JSON there, a line back. Every wait is
// bounded. What the lines mean is told by model/server/control.ts.

import { join } from 'node:path';
import type { PortState } from '../../model/host/state.ts';
import { systemClock } from '../../support/clock.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO, POLL } from '../../support/linux.ts';
import { native } from '../../support/native.ts';

const CONNECT_MS = 2000;
/** How long a model may take to answer: its loop comes by every few milliseconds. */
const REPLY_MS = 5000;
const POLL_MS = 50;

const ADVICE: Readonly<Record<number, string>> = {
  [ERRNO.ENOENT]:
    'no model serves this directory; start one with `ixy model --dir DIR`, or name the directory of yours with --dir',
  [ERRNO.ECONNREFUSED]:
    'the model that made this socket is gone; start one with `ixy model --dir DIR`',
  [ERRNO.EACCES]: 'the model belongs to another user; run as that user, or as root',
};

/** What a model says. */
interface Reply {
  readonly error?: string;
  /** With "show". */
  readonly ports?: readonly PortState[];
}

/** A connection to a running model. */
export class ControlClient {
  private readonly path: string;
  private readonly fd: number;

  /** @throws VfioError where no model listens, or this user may not speak to it */
  constructor(directory: string) {
    this.path = join(directory, 'control.sock');
    this.fd = native().unixConnect(this.path, CONNECT_MS);
    if (this.fd < 0) throw new VfioError('reach the model', -this.fd, this.path, ADVICE[-this.fd]);
    native().setNonBlocking(this.fd, true);
  }

  /** The ports as they are. @throws VfioError */
  show(): readonly PortState[] {
    return this.ask(['show']).ports ?? [];
  }

  /**
   * Says words.
   * @throws VfioError where the model refuses them, with its reason; or does not answer
   */
  say(words: readonly string[]): void {
    const { error } = this.ask(words);
    if (error !== undefined) throw new VfioError(words.join(' '), 0, this.path, error);
  }

  /** Hangs up. */
  close(): void {
    native().close(this.fd);
  }

  private ask(words: readonly string[]): Reply {
    const request = Buffer.from(`${JSON.stringify({ words })}\n`);
    const sent = native().sendMsg(this.fd, request, 0, request.length, null, 0);
    if (sent !== request.length) throw this.failure(sent < 0 ? -sent : ERRNO.EAGAIN);
    const pieces: Buffer[] = [];
    const endUs = systemClock.nowUs() + REPLY_MS * 1000;
    for (;;) {
      const piece = Buffer.alloc(65_536);
      const result = native().recvMsg(this.fd, piece, 0, piece.length, null);
      if (result === 0) throw this.failure(ERRNO.ECONNRESET);
      if (result > 0) {
        pieces.push(piece.subarray(0, result));
        if (piece[result - 1] === 10) return JSON.parse(Buffer.concat(pieces).toString()) as Reply;
        continue;
      }
      if (result !== -ERRNO.EAGAIN) throw this.failure(-result);
      if (systemClock.nowUs() > endUs) throw this.failure(ERRNO.ETIMEDOUT);
      native().poll(Int32Array.of(this.fd, POLL.IN, 0), 1, POLL_MS);
    }
  }

  private failure(errno: number): VfioError {
    return new VfioError('ask the model', errno, this.path, 'the model ended, or hangs');
  }
}
