// Runs child.mjs: steps on a kernel device in a process of its own, since what stands in for the
// kernel is an LD_PRELOAD library. And a model in another process for it to reach.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const CHILD = at('child.mjs');
const IXY = at('../../../dist/cli/main.js');
/** What answers group and container from vfio-user sockets; native/preload/preload.h. */
const PRELOAD = at('../../../dist/native/preload.so');

/** Name of a step in child.mjs and its arguments. */
export type Step = readonly [string, ...(string | number | readonly (string | number)[])[]];

/** What came of a step. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly errno?: number; readonly message: string };
}

/** Where and as whom. */
export interface ChildOptions {
  readonly sysfs: string;
  readonly dev?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  /** RLIMIT_MEMLOCK, KiB. */
  readonly memlockKiB?: number;
}

/** Does the steps in order, each whatever came of the one before. */
export async function runSteps(
  options: ChildOptions,
  steps: readonly Step[],
): Promise<readonly Outcome[]> {
  const { sysfs, dev = '/dev', env = {}, uid, memlockKiB } = options;
  const given = JSON.stringify({ sysfs, dev, steps });
  const limit = memlockKiB === undefined ? '' : `ulimit -l ${memlockKiB} && `;
  // env(1) sets them for node alone: a preloaded library is not for the shell before it.
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const command = [...settings, process.execPath, CHILD, given];
  const child = spawn('/bin/sh', ['-c', `${limit}exec env "$@"`, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let output = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const status = await new Promise((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal)),
  );
  if (status !== 0) throw new Error(`child.mjs ended with ${status}: ${complaints}`);
  return JSON.parse(output) as Outcome[];
}

/** An `ixy model` with two ports of one VF each. */
export interface RunningModel {
  /** Value of IXY_PRELOAD_DEVICES: the VFs as 0000:03:10.1 in group 1 and 0000:03:10.2 in group 2. */
  readonly devices: string;
  stop(): Promise<void>;
}

/** Starts it and waits until it serves. */
export async function startModel(...options: readonly string[]): Promise<RunningModel> {
  const dir = mkdtempSync(join(tmpdir(), 'ixy-kernel-model-'));
  const given = ['model', '--ports', '2', '--vfs', '1', '--dir', dir, '--exit-with-stdin'];
  const child = spawn(process.execPath, [IXY, ...given, ...options], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let output = '';
  const ready = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (/^ready$/m.test(output)) resolve();
    });
  });
  await Promise.race([ready, gone]);
  if (!/^ready$/m.test(output)) throw new Error(`ixy model did not start: ${output}`);
  return {
    devices: `0000:03:10.1=${dir}/p0v0.sock,0000:03:10.2=${dir}/p1v0.sock`,
    async stop() {
      child.stdin.end();
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** runSteps under the preload library, in front of a model. @param injected IXY_PRELOAD_ERRNO */
export function runOnModel(
  model: RunningModel,
  sysfs: string,
  steps: readonly Step[],
  injected = '',
  memlockKiB?: number,
): Promise<readonly Outcome[]> {
  const env = {
    LD_PRELOAD: PRELOAD,
    IXY_PRELOAD_DEVICES: model.devices,
    IXY_PRELOAD_ERRNO: injected,
  };
  return runSteps({ sysfs, env, ...(memlockKiB === undefined ? {} : { memlockKiB }) }, steps);
}
