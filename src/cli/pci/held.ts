// Whether the kernel holds a device for somebody: while VFs are removed and a program has one open, whatever needs
// the lock of the device waits, without an end and past every signal. So a program of its own looks first.
// Linux drivers/pci/iov.c (sriov_numvfs_show) and pci-sysfs.c (driver_override_show).

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { pciFolder } from '../../vfio/kernel/sysfs.ts';
import type { Host } from './host.ts';

/** An attribute is shown at once; starting the program takes some time on a busy machine. */
const ANSWER_MS = 5000;
/** Attributes that are shown under the device's lock. */
const LOCKED_ATTRIBUTES: readonly string[] = ['sriov_numvfs', 'driver_override'];

/**
 * Makes sure that the kernel would take a change to these devices.
 * @throws Error where one of them is held for longer than 5 s
 */
export async function expectNotHeld(addresses: readonly string[], { sysfs }: Host): Promise<void> {
  for (const address of addresses) {
    for (const name of LOCKED_ATTRIBUTES) {
      const path = `${pciFolder(sysfs, address)}/${name}`;
      if (!existsSync(path) || (await answers(path))) continue;
      throw new Error(
        `${address}: expected the kernel to show ${name} within ${ANSWER_MS / 1000} s, got no answer: it removes VFs and waits for a program that has one open; \`sudo fuser -v /dev/vfio/* /dev/vfio/devices/*\` names it, end that one`,
      );
    }
  }
}

/** Whether a file can be read in time. A reader that cannot is left behind: the kernel lets it end when it lets go. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const reader = spawn('cat', ['--', path], { stdio: 'ignore' });
    const timer = setTimeout(() => {
      reader.kill('SIGKILL');
      reader.unref();
      resolve(false);
    }, ANSWER_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    reader.once('error', done);
    reader.once('exit', done);
  });
}
