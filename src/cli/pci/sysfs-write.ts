// Changing drivers through sysfs: the writes as data, so that --dry-run prints
// exactly what would be done, the one function that does them, and the bounded
// waits for the kernel to follow. Linux Documentation/ABI/testing/sysfs-bus-pci.

import { VfioError } from '../../support/errors.ts';
import { pollUntil } from '../../support/poll.ts';
import { pciFolder, readPciFacts, textOf } from '../../vfio/kernel/sysfs.ts';
import type { Host } from './host.ts';

/** A driver's probe is done when the write returns; what may lag behind is udev and slow machines. */
const KERNEL_TIMEOUT_MS = 2000;
const LOOK_INTERVAL_MS = 10;

/** The driver that hands a function to VFIO. */
export const VFIO_PCI = 'vfio-pci';

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

/** The driver bound to a function now, '' for none. */
function driverOf(address: string, host: Host): string {
  return readPciFacts(host.sysfs, address)?.driver ?? '';
}

/**
 * Writes that hand a function to vfio-pci; none where it already is.
 * @param driver the one that has it, '' for none
 */
export function bindWrites(address: string, driver: string, host: Host): Write[] {
  if (driver === VFIO_PCI) return [];
  const path = pciFolder(host.sysfs, address);
  const unbind = { path: `${path}/driver/unbind`, text: address };
  return [
    { path: `${path}/driver_override`, text: VFIO_PCI },
    ...(driver === '' ? [] : [unbind]),
    probe(address, host),
  ];
}

/** Writes that hand a function back to whatever driver the kernel picks; none where that is done. */
export function unbindWrites(address: string, host: Host): Write[] {
  const driver = driverOf(address, host);
  const path = pciFolder(host.sysfs, address);
  const override = textOf(`${path}/driver_override`);
  const clear = { path: `${path}/driver_override`, text: '' };
  return [
    ...(override === '' || override === '(null)' ? [] : [clear]),
    ...(driver === VFIO_PCI ? [{ path: `${path}/driver/unbind`, text: address }] : []),
    ...(driver === VFIO_PCI || driver === '' ? [probe(address, host)] : []),
  ];
}

function probe(address: string, host: Host): Write {
  return { path: `${host.sysfs}/bus/pci/drivers_probe`, text: address };
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
    const driver = driverOf(address, host);
    for (const write of bindWrites(address, driver, host)) writeSysfs(write, host);
    if (!settles(`${address} driver`, () => driverOf(address, host) === VFIO_PCI, host)) {
      const last = driverOf(address, host) || 'no driver';
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
 * @returns the driver that took it then; '' where none did
 * @throws VfioError for a refused write, Error where vfio-pci keeps it
 */
export function unbindFromVfio(address: string, host: Host): string {
  for (const write of unbindWrites(address, host)) writeSysfs(write, host);
  if (!settles(`${address} driver`, () => driverOf(address, host) !== VFIO_PCI, host)) {
    throw new Error(
      `${address}: expected another driver than ${VFIO_PCI} within ${KERNEL_TIMEOUT_MS} ms, still bound; a new_id of ${VFIO_PCI} may claim it`,
    );
  }
  return driverOf(address, host);
}
