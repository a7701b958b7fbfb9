// The machine as `ixy list`, `bind` and `unbind` see it: three trees of files,
// the addresses of its interfaces, a clock, and the one way to write to sysfs.
// An object, so that the same commands run on trees in a folder.

import { accessSync, closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Clock, systemClock } from '../../support/clock.ts';
import { SYSFS } from './sysfs-read.ts';

/** What this process may do with a device node. */
export type Access = 'usable' | 'denied' | 'absent';

/** Where and how the commands look at a machine and change it. */
export interface Host {
  /** Root of sysfs: "/sys". */
  readonly sysfs: string;
  /** Where the device nodes are: "/dev". */
  readonly dev: string;
  /** Where the processes are: "/proc". */
  readonly proc: string;
  readonly clock: Clock;
  /** Whether this process may open a node for reading and writing. */
  access(path: string): Access;
  /** IP addresses of a network interface, as far as it is up and running. */
  interfaceAddresses(name: string): readonly string[];
  /** Writes a whole text to an existing file in one call; throws what the system call throws. */
  write(path: string, text: string): void;
}

function accessOf(path: string): Access {
  if (!existsSync(path)) return 'absent';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return 'usable';
  } catch {
    return 'denied';
  }
}

// No O_CREAT: a file that sysfs does not have is an error, not a new file. No O_RDWR: the
// kernel refuses to open a write-only attribute (unbind, drivers_probe) for reading, root or not.
function writeExisting(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

/**
 * This machine.
 * @param sysfs root of sysfs, where it is not mounted at /sys
 */
export function systemHost(sysfs = SYSFS): Host {
  return {
    sysfs,
    dev: '/dev',
    proc: '/proc',
    clock: systemClock,
    access: accessOf,
    interfaceAddresses: (name) => (networkInterfaces()[name] ?? []).map((row) => row.address),
    write: writeExisting,
  };
}
