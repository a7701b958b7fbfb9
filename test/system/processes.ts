// Processes of a system test, and a folder for their sockets and temporary files. Whatever a test
// starts here is ended by `close`, also where the test failed; and where nobody comes to that, a
// model ends with its standard input and a forwarder after its duration.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The built command. */
export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** Longest that a forwarder of a test lives, whatever becomes of the test. */
export const LIFE_SECONDS = '60';

/** How a process ended. */
export interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** A running program whose lines of output can be waited for. */
export class Program {
  readonly child: ChildProcess;
  /** Lines of stdout so far. */
  readonly lines: string[] = [];
  /** What it said on stderr so far. */
  stderr = '';
  private readonly ending: Promise<Ending>;
  private ended = false;
  private readonly waiting = new Set<() => void>();

  constructor(command: string, argv: readonly string[], options: SpawnOptions) {
    this.child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.child.stdin?.on('error', () => {});
    this.child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text.toString();
    });
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        this.lines.push(line);
        this.wake();
      });
    }
    this.ending = new Promise((resolve) => {
      const done = (status: number | null, signal: NodeJS.Signals | null): void => {
        this.ended = true;
        resolve({ status, signal, stderr: this.stderr });
        this.wake();
      };
      this.child.once('error', (error) => {
        this.stderr += error.message;
        done(null, null);
      });
      // Not 'exit': output may come after that.
      this.child.once('close', done);
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Writes a line to its stdin. */
  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /**
   * The first line that matches, from line `from` on.
   * @throws Error with what it said where it ends without
   */
  async line(matches: (line: string) => boolean, from = 0): Promise<string> {
    for (let next = from; ; next++) {
      while (next >= this.lines.length) {
        if (this.ended) throw new Error(`${this.child.spawnargs.join(' ')} ended: ${this.stderr}`);
        await new Promise<void>((resolve) => this.waiting.add(resolve));
      }
      if (matches(this.lines[next])) return this.lines[next];
    }
  }

  /** The same for JSON lines. */
  async json<T>(matches: (value: T) => boolean, from = 0): Promise<T> {
    return JSON.parse(await this.line((line) => matches(JSON.parse(line) as T), from)) as T;
  }

  /** The last line, as JSON. */
  lastJson<T>(): T {
    return JSON.parse(this.lines.at(-1) ?? '') as T;
  }

  /** Waits for its end. */
  end(): Promise<Ending> {
    return this.ending;
  }

  /** Sends a signal and waits for the end. */
  kill(signal: NodeJS.Signals): Promise<Ending> {
    this.child.kill(signal);
    return this.ending;
  }

  private wake(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const resolve of woken) resolve();
  }
}

/** See the head of this file. */
export class Processes {
  readonly folder = mkdtempSync(join(tmpdir(), 'ixy-system-'));
  private readonly programs: Program[] = [];

  /** Starts any program. What it makes in the temporary folder, it makes in this object's. */
  start(command: string, argv: readonly string[], options: SpawnOptions = {}): Program {
    const env = { ...process.env, TMPDIR: this.folder };
    const program = new Program(command, argv, { env, ...options });
    this.programs.push(program);
    return program;
  }

  /** Starts a Node.js program of this folder. */
  node(name: string, ...argv: string[]): Program {
    const file = fileURLToPath(new URL(name, import.meta.url));
    return this.start(process.execPath, [file, ...argv]);
  }

  /** Starts `ixy`. */
  ixy(...argv: string[]): Program {
    return this.start(process.execPath, [MAIN, ...argv]);
  }

  /** Starts `ixy model` on this object's folder and waits until it serves. */
  async model(...argv: string[]): Promise<Program> {
    const program = this.ixy('model', '--dir', this.folder, '--json', '--exit-with-stdin', ...argv);
    await program.json<{ ready?: boolean }>(({ ready }) => ready === true);
    return program;
  }

  /** Starts `ixy l2fwd`. */
  forwarder(...argv: string[]): Program {
    return this.ixy('l2fwd', '--duration', LIFE_SECONDS, ...argv);
  }

  /** Address of a VF that `model` serves. */
  address(port: number, vf: number): string {
    return `vfio-user:${join(this.folder, `p${port}v${vf}.sock`)}`;
  }

  /** Ends everything, last started first, and removes the folder. */
  async close(): Promise<void> {
    for (const program of this.programs.splice(0).reverse()) await program.kill('SIGKILL');
    // Models that those had started: no command line but theirs has this folder in it.
    for (const pid of processesWith(this.folder)) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a process takes of the machine. */
export interface Footprint {
  readonly fds: number;
  readonly rssMiB: number;
  readonly sizeMiB: number;
}

/** Reads it from /proc. */
export function footprint(pid: number): Footprint {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return {
    fds: readdirSync(`/proc/${pid}/fd`).length,
    rssMiB: Math.round(mib('VmRSS')),
    sizeMiB: Math.round(mib('VmSize')),
  };
}

/** Children of a process, in any of its threads. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  );
}

/** Processes whose command line has an argument with this text in it. */
export function processesWith(text: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}
