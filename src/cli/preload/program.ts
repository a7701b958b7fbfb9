// Runs a program under the preload library, in a private mount namespace with a small /sys for its
// devices. Whoever is not root gets a user namespace too, in which the program believes to be root.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDevice } from '../../open.ts';
import { VfioError } from '../../support/errors.ts';
import { silentLog } from '../../support/log.ts';
import { type FakeDevice, SHADOW_SCRIPT, writeFakeSysfs } from './fake-sysfs.ts';
import type { PreloadedDevice, PreloadPlan } from './plan.ts';

/** unshare(1)'s options that work here: as root without a user namespace, else with one. */
function namespaceOptions(): readonly string[] {
  const plain = ['--mount', '--propagation', 'private'];
  const candidates = [
    ...(process.getuid?.() === 0 ? [plain] : []),
    [...plain, '--user', '--map-root-user'],
  ];
  let why = '';
  for (const options of candidates) {
    const { status, stderr, error } = spawnSync('unshare', [...options, 'true'], {
      encoding: 'utf8',
    });
    if (status === 0) return options;
    why = error?.message ?? stderr.trim();
  }
  throw new Error(
    `no private mount namespace to be had (${why}): allow user namespaces, or run as root`,
  );
}

/** @throws VfioError where none can be made */
function temporaryFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'ixy-preload-'));
  } catch (error) {
    const { errno = 0 } = error as NodeJS.ErrnoException;
    throw new VfioError('make temporary folder', -errno, tmpdir());
  }
}

/** Asks the server which chip it serves. @throws VfioError where nobody answers */
async function identify({ address, socket }: PreloadedDevice): Promise<FakeDevice> {
  const device = await openDevice(`vfio-user:${socket}`, undefined, silentLog);
  device.close();
  return { address, deviceId: device.deviceId };
}

/** Runs the program to its end; signals sent to this process go on to it. @returns its status, 128 + N for signal N; @throws VfioError */
export async function runProgram({ devices, program, environment }: PreloadPlan): Promise<number> {
  const known = await Promise.all(devices.map(identify));
  const options = namespaceOptions();
  const folder = temporaryFolder();
  try {
    writeFakeSysfs(folder, known);
    // Only the program itself gets the library: what mounts the tree has no use for it.
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const child = spawn(
      'unshare',
      [...options, 'sh', '-c', SHADOW_SCRIPT, 'sh', folder, 'env', ...settings, ...program],
      { stdio: 'inherit' },
    );
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
      process.on(signal, () => {
        // A terminal's Ctrl-C went to the program, too.
        if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
      });
    }
    return await new Promise((done, failed) => {
      child.on('error', failed);
      child.on('exit', (status, signal) => {
        done(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
