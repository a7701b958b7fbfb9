// Runs a built bench as a user would, in a folder of its own for whatever it leaves behind.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { processesWith } from '../system/processes.ts';

/** How a bench ended, and what it left. */
export interface BenchEnd {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What it wrote to --json, undefined where it wrote nothing. */
  readonly json: unknown;
  /** Names of files it left in the temporary folder. */
  readonly left: readonly string[];
  /** Processes that still live and have that folder in their command line. */
  readonly alive: readonly number[];
}

/**
 * Runs a case of the benches.
 * @param options interruptAt: a SIGINT is sent interruptAfterMs (default 500) after stdout matches, when children are at work
 */
export async function runBench(
  name: string,
  argv: readonly string[],
  options: {
    readonly interruptAt?: RegExp;
    readonly interruptAfterMs?: number;
    readonly env?: NodeJS.ProcessEnv;
  } = {},
): Promise<BenchEnd> {
  const { interruptAt, interruptAfterMs = 500, env = {} } = options;
  const home = mkdtempSync(join(tmpdir(), 'ixy-bench-test-'));
  const temporary = mkdtempSync(join(home, 'tmp-'));
  const file = join(home, 'result.json');
  const program = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url));
  try {
    const child = spawn(process.execPath, [program, name, '--json', file, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: temporary, ...env },
    });
    let interrupted = false;
    const text = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (part: string) => {
        text[stream] += part;
        if (interrupted || interruptAt?.test(text.stdout) !== true) return;
        interrupted = true;
        setTimeout(() => child.kill('SIGINT'), interruptAfterMs);
      });
    }
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return {
      status,
      ...text,
      json: existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined,
      left: readdirSync(temporary),
      alive: processesWith(temporary),
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
