// The model under test as users start it: `ixy model --json`, in a process of its own that ends
// with us. Keeps its last counters and what it logged.

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnGuarded, workFolder } from './qemu.mjs';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const READY_MS = 60_000;
const STOP_MS = 20_000;

export class Model {
  /** Lines on stderr: rules of the hardware that a driver broke, clients that came and went. */
  log = [];
  #child;
  #folder;
  #rows = [];
  #wake = () => {};

  /**
   * Starts a model and waits until it is ready.
   * @param args of `ixy model`, without --dir
   * @param net a HostNet in which its TAP interfaces are made
   */
  static async start(args, net) {
    const model = new Model();
    await model.#start(args, net);
    return model;
  }

  async #start(args, net) {
    this.#folder = workFolder('model');
    const fixed = ['--dir', this.#folder, '--json', '--verbose', '--exit-with-stdin'];
    // Hardware does not wait for its turn on a CPU, and a forwarder gives frames up that a full ring
    // has not taken for a millisecond: before the guests, where we may say so (nice only warns).
    const all = ['-n', '-10', process.execPath, CLI, 'model', ...args, ...fixed];
    const options = { stdio: ['pipe', 'pipe', 'pipe'] };
    this.#child =
      net === undefined ? spawnGuarded('nice', all, options) : net.spawn('nice', all, options);
    let ready = false;
    let rest = '';
    this.#child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        const message = JSON.parse(line);
        if (message.ready === true) ready = true;
        if (message.ports !== undefined) this.#rows = message.ports;
      }
      this.#wake();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.log.push(...text.trimEnd().split('\n'));
    });
    this.#child.once('exit', () => this.#wake());
    const end = performance.now() + READY_MS;
    const timer = setTimeout(() => this.#wake(), READY_MS);
    while (!ready && this.#child.exitCode === null && performance.now() < end)
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    clearTimeout(timer);
    if (ready) return;
    await this.close();
    throw new Error(`the model does not start: ${this.log.join('\n')}`);
  }

  socket(port, vf) {
    return join(this.#folder, `p${port}v${vf}.sock`);
  }

  /** The newest counters; brought about once a second. */
  counters(port, vf) {
    return this.#rows.find((row) => row.port === port && row.vf === vf);
  }

  /** Resolves after the next counters came. */
  async nextCounters() {
    const before = this.#rows;
    const timer = setTimeout(() => this.#wake(), STOP_MS);
    while (this.#rows === before && this.#child.exitCode === null) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
      if (this.#rows === before) break;
    }
    clearTimeout(timer);
  }

  /** What drivers did that the hardware's rules forbid; each once. */
  get violations() {
    const lines = this.log.map((line) => /\b(port \d+ vf \d+: [a-z-]+: .*)/.exec(line)?.[1]);
    return new Set(lines.filter((line) => line !== undefined));
  }

  /** IOMMU faults of all VFs. */
  get faults() {
    return this.#rows.reduce((sum, row) => sum + row.iommuFaults, 0);
  }

  /** Frames that went to VFs, and frames that the wire gave to the port. */
  get delivered() {
    return this.#rows.reduce((sum, row) => sum + row.delivered, 0);
  }

  /** Ends it; its last counters stay. Idempotent. */
  async close() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = once(this.#child, 'exit');
      this.#child.stdin.destroy();
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      await exit;
      clearTimeout(timer);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
