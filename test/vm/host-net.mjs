// A network namespace of our own on the host, held by a program that dies with us: when it goes,
// the namespace and its TAP interfaces go too, and nothing of the host's own network was touched.

import { once } from 'node:events';
import { spawnGuarded } from './qemu.mjs';

const COMMAND_MS = 300_000;

/** Why there can be no TAP interfaces here, or undefined. */
export function noTapReason() {
  return process.getuid() === 0 ? undefined : 'TAP interfaces and network namespaces need root';
}

export class HostNet {
  #holder;
  #busybox;

  /** Makes the namespace. */
  static async make(tools) {
    const net = new HostNet();
    net.#busybox = tools.busybox;
    // cat ends when its stdin does.
    net.#holder = spawnGuarded('unshare', ['--net', '--', 'sh', '-c', 'echo ready; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [text] = await Promise.race([
      once(net.#holder.stdout, 'data'),
      once(net.#holder, 'exit').then(() => ['']),
    ]);
    if (!String(text).startsWith('ready')) throw new Error('no network namespace can be made here');
    await net.ok('ip', ['link', 'set', 'lo', 'up']);
    return net;
  }

  /** Starts a program inside. */
  spawn(command, args, options) {
    return spawnGuarded('nsenter', ['-t', `${this.#holder.pid}`, '-n', command, ...args], options);
  }

  /** Runs a program inside to its end. @returns { status, output } */
  async run(command, args, timeoutMs = COMMAND_MS) {
    const child = this.spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const [status] = await once(child, 'close');
    clearTimeout(timer);
    return { status: status ?? -1, output };
  }

  /** The same; another status than 0 is an error. */
  async ok(command, args, timeoutMs) {
    const { status, output } = await this.run(command, args, timeoutMs);
    if (status !== 0)
      throw new Error(`${[command, ...args].join(' ')}: status ${status}: ${output.trim()}`);
    return output.trim();
  }

  /** Busybox of the guest, for what a host may lack. */
  async busybox(args, timeoutMs) {
    return this.ok(this.#busybox, args, timeoutMs);
  }

  /** `ip ARGS`, split at spaces. */
  async ip(text) {
    return this.ok('ip', text.split(' '));
  }

  /** A counter of an interface. */
  async counter(name, counter) {
    // sysfs shows the namespace in which it was mounted; /proc/net/dev that of the reader.
    const text = await this.ok('cat', ['/proc/self/net/dev']);
    const row = text.split('\n').find((line) => line.trim().startsWith(`${name}:`));
    const numbers = row.split(':')[1].trim().split(/\s+/).map(Number);
    return numbers[{ rx_packets: 1, tx_packets: 9, rx_dropped: 3, tx_dropped: 11 }[counter]];
  }

  async close() {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    this.#holder.stdin.destroy();
    await once(this.#holder, 'exit');
  }
}
