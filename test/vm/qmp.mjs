// QEMU's own control socket (docs/interop/qmp-spec.rst): commands one at a time, and the events that come meanwhile.

import { once } from 'node:events';
import { connect } from 'node:net';

const ANSWER_MS = 60_000;

export class Qmp {
  #socket;
  #rest = '';
  #messages = [];
  #wake = () => {};

  /** Connects to a QEMU that listens at `path`. */
  static async connect(path) {
    const qmp = new Qmp();
    qmp.#socket = connect(path);
    qmp.#socket.setEncoding('utf8').on('data', (text) => qmp.#take(text));
    qmp.#socket.on('error', () => {});
    await once(qmp.#socket, 'connect');
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) if (line.trim() !== '') this.#messages.push(JSON.parse(line));
    this.#wake();
  }

  /** Waits for a message that `wanted` is true of, and takes it and those before it. */
  async #next(wanted, what) {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, ANSWER_MS);
    try {
      for (;;) {
        const at = this.#messages.findIndex(wanted);
        if (at >= 0) return this.#messages.splice(0, at + 1)[at];
        if (late) throw new Error(`waited ${ANSWER_MS / 1000} s for ${what}`);
        await new Promise((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a command. @throws Error where QEMU refuses it */
  async execute(command, args = {}) {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await this.#next((one) => 'return' in one || 'error' in one, command);
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Takes a device out of the machine; returns when the guest has let go of it. */
  async unplug(id) {
    await this.execute('device_del', { id });
    const gone = (one) => one.event === 'DEVICE_DELETED' && one.data.device === id;
    await this.#next(gone, `the guest to let go of ${id}`);
  }

  close() {
    this.#socket.destroy();
  }
}
