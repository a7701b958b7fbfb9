// A child process of a bench: pinned to a CPU where that can be had, its lines waited for with a
// deadline, ended with the bench.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { atEnd, BenchError } from './life.ts';

/** How to start it. */
export interface ChildOptions {
  /** For messages. */
  readonly name: string;
  /** CPU to pin it to, or null. */
  readonly cpu?: number | null;
  readonly env?: Readonly<Record<string, string>>;
  /** A file descriptor of this process that it finds as number 3. */
  readonly fd?: number;
}

const KILL_MS = 4000;

/** A running child process. It ends with the bench at the latest. */
export class Child {
  /** Lines of stdout so far. */
  readonly lines: string[] = [];
  /** The last 4,096 characters of stderr. */
  stderr = '';
  private readonly name: string;
  private readonly child: ChildProcess;
  private readonly gone: Promise<number>;
  private readonly cancel: () => void;
  private over = false;
  private wake = (): void => {};

  constructor(command: string, args: readonly string[], options: ChildOptions) {
    this.name = options.name;
    const { cpu = null } = options;
    const argv = cpu === null ? [command, ...args] : ['taskset', '-c', `${cpu}`, command, ...args];
    this.child = spawn(argv[0], argv.slice(1), {
      stdio: ['pipe', 'pipe', 'pipe', ...(options.fd === undefined ? [] : [options.fd])],
      env: { ...process.env, ...options.env },
    });
    this.child.stdin?.on('error', () => {});
    this.child.stderr?.on('data', (text: Buffer) => {
      this.stderr = (this.stderr + text.toString()).slice(-4096);
    });
    if (this.child.stdout !== null) {
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        this.lines.push(line);
        this.wake();
      });
    }
    this.gone = new Promise((resolve) => {
      const end = (status: number): void => {
        this.over = true;
        this.wake();
        resolve(status);
      };
      this.child.once('error', (error) => {
        this.stderr += error.message;
        end(127);
      });
      this.child.once('close', (status, signal) => end(signal === null ? (status ?? 1) : 128));
    });
    this.cancel = atEnd(() => this.stop('SIGTERM'));
  }

  get ended(): boolean {
    return this.over;
  }

  /** Writes a line to its stdin. */
  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /**
   * The first line from `from` on that matches, waited for.
   * @returns its index
   * @throws BenchError with the last of what it said, where it ends before or says nothing in time
   */
  async line(matches: (line: string) => boolean, from: number, timeoutMs: number): Promise<number> {
    const end = performance.now() + timeoutMs;
    for (let i = from; ; i++) {
      while (i >= this.lines.length) {
        const left = end - performance.now();
        if (this.over || left <= 0) {
          const why = this.over ? 'ended by itself' : `said nothing more in ${timeoutMs} ms`;
          throw new BenchError(`${this.name} ${why}: ${this.lastWords()}`);
        }
        await this.something(left);
      }
      if (matches(this.lines[i])) return i;
    }
  }

  /** Waits for its end. @returns its status */
  async end(timeoutMs: number): Promise<number> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const status = await this.gone;
    clearTimeout(timer);
    this.cancel();
    return status;
  }

  /** Ends it: by the end of its input, and a signal where one is given. @returns its status */
  stop(signal?: NodeJS.Signals): Promise<number> {
    this.child.stdin?.end();
    if (signal !== undefined) this.child.kill(signal);
    return this.end(KILL_MS);
  }

  private lastWords(): string {
    const text = this.stderr.trim() || (this.lines.at(-1) ?? '');
    return text.split('\n').slice(-3).join('; ') || 'no output';
  }

  private something(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
