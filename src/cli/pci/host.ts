// The machine as `ixy list`, `bind` and `unbind` see it: three trees of files,
// the addresses of its interfaces, a clock, and the one way to write to sysfs.
// An object, so that the same commands run on trees in a folder.

import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Clock, systemClock } from '../../support/clock.ts';
import { fileAccess, type Machine } from '../../vfio/kernel/sysfs.ts';

/** Where and how the commands look at a machine and change it. */
export interface Host extends Machine {
  /** Where the processes are: "/proc". */
  readonly proc: string;
  readonly clock: Clock;
  /** IP addresses of a network interface, as far as it is up and running. */
  interfaceAddresses(name: string): readonly string[];
  /** Writes a whole text to an existing file in one call; throws what the system call throws. */
  write(path: string, text: string): void;
}

// No O_CREAT: a file that sysfs does not have is an error, not a new file. No O_RDWR: the
// kernel refuses to open a write-only attribute (unbind, drivers_probe) for reading, root or not.
// O_NONBLOCK: a FIFO in a tree that is no sysfs is an error too, not a wait for its reader.
function writeExisting(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
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
export function systemHost(sysfs = '/sys'): Host {
  return {
    sysfs,
    dev: '/dev',
    proc: '/proc',
    clock: systemClock,
    access: fileAccess,
    interfaceAddresses: (name) => (networkInterfaces()[name] ?? []).map((row) => row.address),
    write: writeExisting,
  };
}
