// DPDK's testpmd as a child, run by `ixy preload` and driven by its command line. Used by the tests
// of test/dpdk and by bench/peers.ts; works from the sources and from dist.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout: the nearest folder above that has a package.json. */
function checkout(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
const at = (path: string) => join(checkout(), path);
const UNAVAILABLE = 77;

/** What test/dpdk/fetch.mjs prints. */
export interface Dpdk {
  readonly version: string;
  readonly testpmd: string;
  readonly loader: string;
  readonly libraries: readonly string[];
  readonly plugins: readonly string[];
}

/**
 * DPDK from the cache or the network.
 * @param suite of Debian; undefined: as apt is set up
 * @returns why there is none, where packages cannot be had
 */
export function fetchDpdk(suite: string | undefined): Dpdk | string {
  const args = [at('test/dpdk/fetch.mjs'), ...(suite === undefined ? [] : [suite])];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  if (status === UNAVAILABLE) return reason;
  if (status !== 0) throw new Error(`test/dpdk/fetch.mjs: status ${status}: ${reason}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Dpdk;
}

/** How to start testpmd. */
export interface TestpmdOptions {
  /** CPU that both of its threads run on; the first one only waits for commands. Default 0. */
  readonly cpu?: number;
  /** Further options of testpmd itself. */
  readonly options?: readonly string[];
}

/** A running testpmd. */
export class Testpmd {
  /** All it has said. */
  text = '';
  private seen = 0;
  private readonly child: ChildProcess;
  private readonly folder = mkdtempSync(join(tmpdir(), 'ixy-testpmd-'));
  private readonly ended: Promise<unknown>;

  /** @param sockets directory of the model's */
  constructor(dpdk: Dpdk, sockets: string, { cpu = 0, options = [] }: TestpmdOptions = {}) {
    const environment = ['--no-huge', '-m', '256', '--no-shconf', '--no-telemetry'];
    const program = [
      dpdk.loader,
      '--library-path',
      dpdk.libraries.join(':'),
      // DPDK refuses -d for plug-ins below a folder that others may write to, as a cache may be.
      '--preload',
      dpdk.plugins.join(' '),
      dpdk.testpmd,
      ...environment,
      '--iova-mode=va',
      `--lcores=0@${cpu},1@${cpu}`,
      '--',
      '-i',
      '--total-num-mbufs=32768',
      // What arrived before `start` is to be forwarded, too.
      '--no-flush-rx',
      '--eth-peer=0,02:00:00:00:00:01',
      '--eth-peer=1,02:00:00:00:00:02',
      ...options,
    ];
    const ixy = at('dist/cli/main.js');
    this.child = spawn(process.execPath, [ixy, 'preload', '--dir', sockets, '--', ...program], {
      stdio: 'pipe',
      env: { ...process.env, RUNTIME_DIRECTORY: this.folder },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (part: string) => {
        this.text += part;
      });
    }
    // A write to one that has ended is no error of the test's.
    this.child.stdin?.on('error', () => {});
    this.ended = once(this.child, 'close');
  }

  /** Waits until it says something, from where the last wait ended. @throws Error after timeoutMs, with what it said */
  async says(pattern: RegExp, timeoutMs = 20_000): Promise<string> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const rest = this.text.slice(this.seen);
      const match = pattern.exec(rest);
      if (match !== null) {
        this.seen += match.index + match[0].length;
        return rest.slice(0, match.index + match[0].length);
      }
      const gone = this.over;
      if (gone || performance.now() > end) {
        throw new Error(`testpmd: awaited ${pattern}, ${gone ? 'it ended' : 'in vain'}:\n${rest}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Gives a command and waits for the next prompt. What it prints may come later: it goes through a buffer. */
  async command(text: string): Promise<void> {
    this.seen = this.text.length;
    this.child.stdin?.write(`${text}\n`);
    await this.says(/testpmd> /);
  }

  get over(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    const { pid } = this.child;
    // `ixy preload` has one child, which became testpmd.
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    if (children !== '') process.kill(Number(children.split(' ')[0]), 'SIGKILL');
    await this.ended;
  }

  /** Ends it, in order where it still listens. @returns all that it has said */
  async close(): Promise<string> {
    this.child.stdin?.end('quit\n');
    const timer = setTimeout(() => void this.kill().catch(() => {}), 10_000);
    await this.ended;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true, force: true });
    return this.text;
  }
}
