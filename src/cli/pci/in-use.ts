// Who is using a function right now: a network interface that carries addresses
// or other interfaces, or a process that holds its VFIO node. Taking the driver
// away cuts the first off, and in the second case the kernel waits for the process.

import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { interfacesOf, type PciFunction } from './functions.ts';
import type { Host } from './host.ts';
import { vfioNodes } from './missing.ts';
import { iommuGroupOf, namesIn, textOf } from './sysfs-read.ts';

/** Every interface that is up has such an address without anybody's doing. */
const LINK_LOCAL = /^fe[89ab][0-9a-f]:/i;

/**
 * Why a function's network interface looks used; undefined where it does not. An address is seen
 * only while the interface has a carrier: without one it carries nothing that could be cut off.
 */
export function networkUse(fn: PciFunction, host: Host): string | undefined {
  const interfaces = interfacesOf(fn.address, host);
  if (fn.driver === 'ixgbevf' && interfaces.length === 0) {
    return 'is bound to ixgbevf, but its interface is not here: it is in another network namespace';
  }
  for (const { name, up, uppers } of interfaces) {
    if (!up) continue;
    const addresses = host.interfaceAddresses(name).filter((one) => !LINK_LOCAL.test(one));
    if (addresses.length > 0) return `is ${name}, which is up with ${addresses.join(', ')}`;
    if (uppers.length > 0) return `is ${name}, which is up and part of ${uppers.join(', ')}`;
  }
  return undefined;
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

/**
 * Processes that hold a function's VFIO nodes open, as "4711 (node)". Found are those this user
 * may look into: for root all of them in this PID namespace.
 */
export function vfioHolders(address: string, host: Host): string[] {
  const group = iommuGroupOf(address, host.sysfs);
  if (group === undefined) return [];
  const { legacy, cdev } = vfioNodes(address, group.number, host);
  return namesIn(host.proc)
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      const folder = join(host.proc, pid, 'fd');
      return namesIn(folder)
        .map((fd) => targetOf(join(folder, fd)))
        .some((target) => target === legacy || target === cdev);
    })
    .map((pid) => `${pid} (${textOf(join(host.proc, pid, 'comm')) ?? '?'})`);
}
