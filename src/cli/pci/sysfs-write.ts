// Changing drivers through sysfs: the writes as data, so that --dry-run prints
// exactly what would be done, the one function that does them, and the bounded
// waits for the kernel to follow. Linux Documentation/ABI/testing/sysfs-bus-pci.

import { join } from 'node:path';
import { VfioError } from '../../support/errors.ts';
import { pollUntil } from '../../support/poll.ts';
import type { Host } from './host.ts';
import { driverOf, pciPath, textOf, VFIO_PCI } from './sysfs-read.ts';

/** A driver's probe is done when the write returns; what may lag behind is udev and slow machines. */
const KERNEL_TIMEOUT_MS = 2000;
const LOOK_INTERVAL_MS = 10;

/** One write to sysfs. An empty text clears the attribute. */
export interface Write {
  readonly path: string;
  readonly text: string;
}

/** The write as a shell does it. */
export function shellLine(write: Write): string {
  return write.text === '' ? `echo > ${write.path}` : `echo ${write.text} > ${write.path}`;
}

/**
 * Does one write. Every change that `ixy` makes to sysfs goes through here.
 * @throws VfioError with the path and the errno
 */
export function writeSysfs(write: Write, host: Host): void {
  try {
    // The newline makes the empty text a write at all: the kernel is not told of one of 0 bytes.
    host.write(write.path, `${write.text}\n`);
  } catch (error) {
    const { errno = 0, code = '' } = error as NodeJS.ErrnoException;
    const advice =
      code === 'EACCES' || code === 'EPERM'
        ? 'run this as root'
        : code === 'EROFS'
          ? 'sysfs is read-only here: run this outside the container'
          : 'the kernel log (dmesg) may say why';
    throw new VfioError(`write '${write.text}'`, Math.abs(errno), write.path, advice);
  }
}

/**
 * Writes that hand a function to vfio-pci; none where it already is.
 * @param driver the one that has it, undefined for none
 */
export function bindWrites(address: string, driver: string | undefined, host: Host): Write[] {
  if (driver === VFIO_PCI) return [];
  const path = pciPath(address, host.sysfs);
  const unbind = { path: join(path, 'driver/unbind'), text: address };
  return [
    { path: join(path, 'driver_override'), text: VFIO_PCI },
    ...(driver === undefined ? [] : [unbind]),
    probe(address, host),
  ];
}

/** Writes that hand a function back to whatever driver the kernel picks; none where that is done. */
export function unbindWrites(address: string, host: Host): Write[] {
  const driver = driverOf(address, host.sysfs);
  const path = pciPath(address, host.sysfs);
  const override = textOf(join(path, 'driver_override')) ?? '';
  const clear = { path: join(path, 'driver_override'), text: '' };
  return [
    ...(override === '' || override === '(null)' ? [] : [clear]),
    ...(driver === VFIO_PCI ? [{ path: join(path, 'driver/unbind'), text: address }] : []),
    ...(driver === VFIO_PCI || driver === undefined ? [probe(address, host)] : []),
  ];
}

function probe(address: string, host: Host): Write {
  return { path: join(host.sysfs, 'bus/pci/drivers_probe'), text: address };
}

/**
 * Waits for a state of sysfs.
 * @returns false where it did not come about in 2 s
 */
export function settles(what: string, reached: () => boolean, host: Host): boolean {
  try {
    pollUntil(
      host.clock,
      {
        what,
        wanted: '1',
        intervalUs: LOOK_INTERVAL_MS * 1000,
        timeoutUs: KERNEL_TIMEOUT_MS * 1000,
      },
      () => (reached() ? 1 : 0),
      (value) => value === 1,
    );
    return true;
  } catch {
    return false;
  }
}

/**
 * Binds a function to vfio-pci and makes sure of it. What fails half way is undone: the function
 * goes back to the driver the kernel picks.
 * @throws VfioError for a refused write, Error where the kernel does not follow
 */
export function bindToVfio(address: string, host: Host): void {
  try {
    const driver = driverOf(address, host.sysfs);
    for (const write of bindWrites(address, driver, host)) writeSysfs(write, host);
    if (!settles(`${address} driver`, () => driverOf(address, host.sysfs) === VFIO_PCI, host)) {
      const last = driverOf(address, host.sysfs) ?? 'no driver';
      throw new Error(
        `${address}: expected driver ${VFIO_PCI} within ${KERNEL_TIMEOUT_MS} ms, got ${last}; the kernel log (dmesg) may say why`,
      );
    }
  } catch (error) {
    giveBack(address, host);
    throw error;
  }
}

/** The undoing: as far as it goes, since what went wrong is already on its way to the user. */
function giveBack(address: string, host: Host): void {
  for (const write of unbindWrites(address, host)) {
    try {
      writeSysfs(write, host);
    } catch {}
  }
}

/**
 * Takes a function from vfio-pci.
 * @returns the driver that took it then; undefined where none did
 * @throws VfioError for a refused write, Error where vfio-pci keeps it
 */
export function unbindFromVfio(address: string, host: Host): string | undefined {
  for (const write of unbindWrites(address, host)) writeSysfs(write, host);
  if (!settles(`${address} driver`, () => driverOf(address, host.sysfs) !== VFIO_PCI, host)) {
    throw new Error(
      `${address}: expected another driver than ${VFIO_PCI} within ${KERNEL_TIMEOUT_MS} ms, still bound; a new_id of ${VFIO_PCI} may claim it`,
    );
  }
  return driverOf(address, host.sysfs);
}
