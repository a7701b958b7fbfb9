// Runs the built `ixy` command as a process, for tests of what it prints and how it ends.

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** How a command ended. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Lines of stderr. */
  readonly errors: readonly string[];
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess;
  /** Waits for a line of stdout or stderr that matches. */
  line(pattern: RegExp): Promise<string>;
  /** Waits for the end. */
  end(): Promise<Ended>;
}

/** All that `start` started and that has not ended. */
const running = new Set<ChildProcess>();

/** Kills what a failed test left; for afterEach. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts `ixy argv`; nobody reads its output yet. */
export function startUnread(...argv: string[]): ChildProcessByStdio<null, Readable, Readable> {
  const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

/** Starts `ixy argv`. */
export function start(...argv: string[]): Running {
  const child = startUnread(...argv);
  const text = { stdout: '', stderr: '' };
  const lines: string[] = [];
  let look = (): void => {};
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('latin1').on('data', (data: string) => {
      text[name] += data;
    });
    createInterface({ input: child[name] }).on('line', (line) => {
      lines.push(line);
      look();
    });
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (status) => {
      resolve({ status, ...text, errors: text.stderr.split('\n').filter((line) => line !== '') });
    });
  });
  return {
    child,
    end: () => ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        look = () => {
          const found = lines.find((line) => pattern.test(line));
          if (found !== undefined) resolve(found);
        };
        look();
        void ended.then(() => reject(new Error(`ended before ${pattern}: ${text.stderr}`)));
      }),
  };
}

/** Runs `ixy argv` to its end. */
export function run(...argv: string[]): Promise<Ended> {
  return start(...argv).end();
}

/** The JSON object of a line. */
export function parseLine(line: string): Record<string, unknown> {
  return JSON.parse(line) as Record<string, unknown>;
}

/** Processes whose parent is `pid`. */
export function childrenOf(pid: number | undefined): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((process) => {
      try {
        const stat = readFileSync(`/proc/${process}/stat`, 'latin1');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false;
      }
    });
}

/** Whether a process exists. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The folder of the model that a process `pid` is: its --dir. */
export function modelFolder(pid: number): string {
  const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return argv[argv.indexOf('--dir') + 1];
}
