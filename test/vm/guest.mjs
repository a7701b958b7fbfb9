// A guest that obeys: boots, then runs shell commands one by one and gives back their output and
// status. The agent is the init of initramfs.mjs; a command or a boot that takes too long is an
// error that shows the end of the console.

import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { initramfs } from './initramfs.mjs';
import { machineArguments, Qemu, workFolder } from './qemu.mjs';
import { Qmp } from './qmp.mjs';

const COMMAND_LINE = 'console=ttyS0 panic=-1 intel_iommu=on iommu=nopt no_timer_check';
const MEMORY_MB = 1024;
/** An emulated CPU that shares two real ones with the model needs a quarter of this. */
const BOOT_MS = 240_000;
const COMMAND_MS = 300_000;
/** After so long an empty line is sent, which the agent skips: an emulated UART may miss an interrupt until the next one. */
const NUDGE_MS = 20_000;
/** How long the guest may take to come to a state. */
const UNTIL_S = 120;
const CONSOLE_LINES = 25;

/** A guest did not do what was asked. */
export class GuestError extends Error {}

export class Guest {
  /** Milliseconds from the start to the first command. */
  bootMs = 0;
  #qemu;
  #server;
  #folder;
  #socket;
  #received = '';
  #wake = () => {};
  #commands = 0;

  /**
   * Boots a guest.
   * @param what { tools, kernel, accel, devices, share, append, limitMs, logFile }
   */
  static async boot(what) {
    const guest = new Guest();
    try {
      await guest.#start(what);
    } catch (error) {
      await guest.close();
      throw error;
    }
    return guest;
  }

  get console() {
    return this.#qemu.console;
  }

  /** What QEMU itself complained about. */
  get complaints() {
    return this.#qemu.stderr;
  }

  async #start({
    tools,
    kernel,
    accel,
    devices = [],
    share,
    append = '',
    limitMs,
    logFile,
    bootMs,
  }) {
    const begin = performance.now();
    this.#folder = workFolder('guest');
    const agent = join(this.#folder, 'agent.sock');
    const initrd = join(this.#folder, 'initrd');
    writeFileSync(initrd, initramfs(tools, kernel));
    this.#server = createServer((socket) => {
      this.#socket = socket;
      socket.setEncoding('latin1').on('data', (text) => {
        this.#received += text;
        this.#wake();
      });
      socket.on('error', () => {});
    });
    await new Promise((resolve) => this.#server.listen(agent, resolve));
    const args = machineArguments({
      accel,
      memoryMb: MEMORY_MB,
      kernel: join(kernel.folder, 'vmlinuz'),
      initrd,
      append: `${COMMAND_LINE} ${append}`,
      devices,
      share,
      agent,
      qmp: join(this.#folder, 'qmp.sock'),
    });
    this.#qemu = new Qemu(tools, args, limitMs, logFile ?? join(this.#folder, 'console'));
    await this.#until(/@ready\n/, bootMs ?? BOOT_MS, `Linux ${kernel.release} to boot (${accel})`);
    this.bootMs = performance.now() - begin;
  }

  /** The control socket of its QEMU; the caller closes it. */
  controls() {
    return Qmp.connect(join(this.#folder, 'qmp.sock'));
  }

  /** Runs shell text. @returns { status, output } */
  async run(text, timeoutMs = COMMAND_MS) {
    const id = ++this.#commands;
    this.#received = '';
    this.#socket.write(`${id} ${Buffer.from(text).toString('base64')}\n`);
    const match = await this.#until(
      new RegExp(`^([^@]*)@done ${id} (\\d+)\n`),
      timeoutMs,
      `'${text}'`,
    );
    return { status: Number(match[2]), output: Buffer.from(match[1], 'base64').toString('utf8') };
  }

  /** The same; another status than 0 is an error. @returns the output, trimmed */
  async ok(text, timeoutMs) {
    const { status, output } = await this.run(text, timeoutMs);
    if (status !== 0) throw new GuestError(`'${text}': status ${status}: ${output.trim()}`);
    return output.trim();
  }

  /** Waits until shell text is true, for 120 s; else an error that shows `evidence`'s output. */
  async until(text, evidence = 'true') {
    const now = '$(cut -d . -f 1 /proc/uptime)';
    const loop = `end=$((${now} + ${UNTIL_S})); until { ${text}; }; do test ${now} -lt $end || { ${evidence}; exit 1; }; sleep 0.1; done`;
    await this.ok(loop, COMMAND_MS);
  }

  /** Kernel messages since the last call of this. */
  async kernelMessages() {
    return this.ok('dmesg -c');
  }

  async close() {
    await this.#qemu?.close();
    this.#socket?.destroy();
    await new Promise((resolve) =>
      this.#server?.listening ? this.#server.close(resolve) : resolve(),
    );
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Waits for a pattern in what the agent says. */
  async #until(pattern, timeoutMs, what) {
    let timer;
    let gone = false;
    void this.#qemu.ended.then(() => {
      gone = true;
      this.#wake();
    });
    let late = false;
    timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, timeoutMs);
    const nudges = setInterval(() => this.#socket?.write('\n'), NUDGE_MS);
    try {
      for (;;) {
        const match = pattern.exec(this.#received);
        if (match !== null) return match;
        if (gone || late) break;
        await new Promise((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
      clearInterval(nudges);
    }
    const why = gone ? this.#qemu.ending : `nothing within ${timeoutMs / 1000} s`;
    const tail = this.#qemu.console.trimEnd().split('\n').slice(-CONSOLE_LINES).join('\n');
    throw new GuestError(`waited for ${what}: ${why}\n${this.#qemu.stderr}${tail}`);
  }
}
