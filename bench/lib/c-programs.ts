// The C programs of bench/: compiled when first needed, into dist/bench.

import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.ts';
import { BenchError } from './life.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Compiles bench/NAME.c as the baselines are. @returns the program's path @throws BenchError */
export function compileC(name: string): string {
  const output = at(`../${name}`);
  const draft = `${output}.${process.pid}`;
  mkdirSync(dirname(output), { recursive: true });
  const args = ['-O3', '-march=native', '-pthread', '-o', draft, at(`../../../bench/${name}.c`)];
  const { status, error, stderr } = spawnSync(process.env.CC || 'cc', args, { encoding: 'utf8' });
  if (status !== 0) {
    throw new BenchError(`bench/${name}.c did not compile: ${error?.message ?? stderr.trim()}`);
  }
  // A rename, since another bench may run it at this moment.
  renameSync(draft, output);
  return output;
}

/** Longest that a program of compileC runs. */
const RUN_MS = 120_000;

/** Runs a program of compileC. @returns what it printed @throws BenchError */
export function runC(program: string, args: readonly (string | number)[]): string {
  const { status, signal, stdout, stderr } = spawnSync(program, args.map(String), {
    encoding: 'utf8',
    timeout: RUN_MS,
  });
  if (status === 0) return stdout.trim();
  throw new BenchError(`${program}: ${signal ?? `status ${status}`}: ${stderr.trim()}`);
}

/** As runC, beside what else goes on. */
export async function startC(program: string, args: readonly (string | number)[]): Promise<string> {
  const child = new Child(program, args.map(String), { name: program });
  const status = await child.end(RUN_MS);
  if (status === 0) return child.lines.join('\n');
  throw new BenchError(`${program}: status ${status}: ${child.stderr.trim()}`);
}
