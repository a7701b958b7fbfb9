// Making the VFs of a PF, for `ixy bind --vfs N PF`: what is refused, the writes
// to sriov_numvfs, and the VFs' addresses. PCIe SR-IOV (routing ids),
// Linux Documentation/ABI/testing/sysfs-bus-pci and PCI/pci-iov-howto.rst.

import { addRoutingId } from '../../vfio/address.ts';
import { pciFolder, textOf } from '../../vfio/kernel/sysfs.ts';
import { numberOf, type PciFunction, pciFunction, virtualFunctionsOf } from './functions.ts';
import type { Host } from './host.ts';
import { networkUse, vfioHolders } from './in-use.ts';
import { settles, type Write, writeSysfs } from './sysfs-write.ts';

/** Attribute of a PF: whether new VFs get a driver at once. */
const AUTOPROBE = 'sriov_drivers_autoprobe';

/**
 * Refuses what cannot be done or would cut somebody off.
 * @param count VFs wanted, 1 and more
 * @param force take VFs away although their interfaces are in use
 * @throws Error with the reason
 */
export function checkVfCount(pf: PciFunction, count: number, force: boolean, host: Host): void {
  if (pf.driver === '') {
    throw new Error(`${pf.pci}: no driver bound, so it makes no VFs; modprobe ixgbe`);
  }
  if (count > pf.vfLimit) {
    throw new Error(
      `--vfs: ${pf.pci} makes at most ${pf.vfLimit} VFs, got ${count}${pf.vfLimit === 0 ? '; SR-IOV is off, see the firmware settings' : ''}`,
    );
  }
  if (pf.vfs.length === 0 || pf.vfs.length === count) return;
  const why = `changing ${pf.pci} from ${pf.vfs.length} to ${count} VFs removes them all first`;
  for (const address of pf.vfs) {
    const vf = pciFunction(address, host.sysfs, true);
    if (vf === undefined) continue;
    // Not even by force: the kernel would wait for the process for as long as it runs.
    const [holder] = vfioHolders(vf, host);
    if (holder !== undefined) {
      throw new Error(`${why}, and ${address} is in use by process ${holder}; end it first`);
    }
    const use = networkUse(vf, host);
    if (use !== undefined && !force) {
      throw new Error(`${why}, and ${address} ${use}; --force does it all the same`);
    }
  }
}

/** Writes that leave a PF with `count` VFs and no driver on new ones; none where it has that many. */
export function vfCountWrites(pf: PciFunction, count: number, host: Host): Write[] {
  if (pf.vfs.length === count) return [];
  const path = pciFolder(host.sysfs, pf.pci);
  const number = (n: number): Write => ({ path: `${path}/sriov_numvfs`, text: `${n}` });
  const writes = [number(count)];
  // The kernel takes a new number only from 0.
  if (pf.vfs.length > 0) writes.unshift(number(0));
  if (!autoprobes(pf, host)) return writes;
  // Without this each VF would first become a network interface, which udev and network
  // managers then rename and bring up while it is taken away again.
  const autoprobe = (on: string): Write => ({ path: `${path}/${AUTOPROBE}`, text: on });
  return [autoprobe('0'), ...writes, autoprobe('1')];
}

/** Whether new VFs get a driver at once; since Linux 4.12 that can be switched off. */
function autoprobes(pf: PciFunction, host: Host): boolean {
  return textOf(`${pciFolder(host.sysfs, pf.pci)}/${AUTOPROBE}`) === '1';
}

/**
 * Makes the VFs.
 * @returns their addresses, by number
 * @throws VfioError for a refused write, Error where the kernel made fewer
 */
export function makeVfs(pf: PciFunction, count: number, host: Host): string[] {
  const writes = vfCountWrites(pf, count, host);
  const restore = autoprobes(pf, host) ? writes.at(-1) : undefined;
  try {
    for (const write of writes) writeSysfs(write, host);
  } catch (error) {
    if (restore !== undefined && writes.length > 0) {
      try {
        writeSysfs(restore, host);
      } catch {}
    }
    throw error;
  }
  const found = (): string[] => virtualFunctionsOf(pf.pci, host.sysfs);
  if (!settles(`${pf.pci} VFs`, () => found().length === count, host)) {
    throw new Error(
      `${pf.pci}: expected ${count} VFs, got ${found().length}; the kernel log (dmesg) may say why`,
    );
  }
  return found();
}

/**
 * Addresses the VFs will have, without a driver: PF's routing id + offset + n * stride.
 * @returns undefined where an older kernel tells no offset and stride, or lets drivers take them at once
 */
export function futureVfs(pf: PciFunction, count: number, host: Host): string[] | undefined {
  const path = pciFolder(host.sysfs, pf.pci);
  const offset = numberOf(`${path}/sriov_offset`);
  const stride = numberOf(`${path}/sriov_stride`);
  const autoprobe = textOf(`${path}/${AUTOPROBE}`);
  if (autoprobe === '' || offset === undefined || stride === undefined) return undefined;
  return Array.from({ length: count }, (_, n) => addRoutingId(pf.pci, offset + n * stride));
}
