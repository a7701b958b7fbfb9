// An administrator on the control socket of a model in the same thread: what it asks makes the model answer.

import { native } from '../../../src/support/native.ts';
import type { Fixture } from './fixture.ts';

const STEPS = 2000;
const EAGAIN = 11;

/** One connection to DIR/control.sock. */
export class AdminClient {
  readonly fd: number;
  private readonly model: Fixture;
  private text = '';

  constructor(model: Fixture) {
    this.model = model;
    this.fd = native().unixConnect(`${model.directory}/control.sock`);
    if (this.fd < 0) throw new Error(`connect: ${this.fd}`);
    native().setNonBlocking(this.fd, true);
  }

  /** Sends text as it is. @returns bytes that the socket took, or -errno */
  write(text: string | Uint8Array): number {
    const bytes = Buffer.from(text);
    return native().sendMsg(this.fd, bytes, 0, bytes.length, null, 0);
  }

  /** The next line, 'hung up', or 'silent' where none comes. */
  line(): string {
    const bytes = Buffer.alloc(65_536);
    for (let i = 0; i < STEPS; i++) {
      const end = this.text.indexOf('\n');
      if (end >= 0) {
        const line = this.text.slice(0, end);
        this.text = this.text.slice(end + 1);
        return line;
      }
      const result = native().recvMsg(this.fd, bytes, 0, bytes.length, null);
      if (result > 0) this.text += bytes.subarray(0, result).toString();
      else if (result !== -EAGAIN) return 'hung up';
      else this.model.server.serve(0);
    }
    return 'silent';
  }

  /** Says words. @returns the reply */
  ask(words: string): unknown {
    this.write(`${JSON.stringify({ words: words.split(' ') })}\n`);
    return JSON.parse(this.line());
  }

  /** Says words that the model shall do. */
  say(words: string): void {
    const reply = JSON.stringify(this.ask(words));
    if (reply !== '{"ok":true}') throw new Error(`${words}: ${reply}`);
  }

  close(): void {
    native().close(this.fd);
  }
}
