// What sysfs says of PCI functions beyond what opening one needs (that is
// vfio/kernel/sysfs.ts): which there are, SR-IOV relations, NUMA node, drivers.
// Linux Documentation/ABI/testing/sysfs-bus-pci. Reads only, and nothing throws
// for what is absent. The root of sysfs comes last, "/sys" by default.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { groupMembers, pciFolder, readPciFacts } from '../../vfio/kernel/sysfs.ts';

/** Where Linux mounts sysfs. */
export const SYSFS = '/sys';

/** The driver that hands a function to VFIO. */
export const VFIO_PCI = 'vfio-pci';

/** Name of the group that the kernel gives a device in VFIO's no-IOMMU mode. */
const NO_IOMMU_GROUP = 'vfio-noiommu';

/**
 * A PCI address in full and lower case: "3:10.0" is not one, "03:10.0" gets domain 0000.
 * @returns undefined where the text is no PCI address
 */
export function pciAddress(text: string): string | undefined {
  const match = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i.exec(text);
  return match === null ? undefined : `${match[1] ?? '0000'}:${match[2]}`.toLowerCase();
}

/** Folder of a PCI function. `address` in full, as `pciAddress` returns it. */
export function pciPath(address: string, root = SYSFS): string {
  return pciFolder(root, address);
}

/** Text of a file without the blanks around it; undefined where it cannot be read. */
export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** A number as sysfs writes it: "0x8086", "-1", "63"; undefined where there is none. */
export function numberOf(path: string): number | undefined {
  const text = textOf(path);
  return text !== undefined && /^(0x[0-9a-f]+|-?\d+)$/i.test(text) ? Number(text) : undefined;
}

/** Names in a folder, sorted; none where there is no such folder. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** Last part of what a link points to; undefined where there is no link. */
function linkName(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

/** Addresses of all PCI functions, sorted. */
export function pciFunctions(root = SYSFS): string[] {
  return namesIn(join(root, 'bus/pci/devices'));
}

/** Vendor and device id; undefined where no such function exists. */
export function pciIds(
  address: string,
  root = SYSFS,
): { readonly vendor: number; readonly device: number } | undefined {
  const facts = readPciFacts(root, address);
  return facts === undefined ? undefined : { vendor: facts.vendorId, device: facts.deviceId };
}

/** Name of the driver bound to a function: "vfio-pci"; undefined where none is. */
export function driverOf(address: string, root = SYSFS): string | undefined {
  return readPciFacts(root, address)?.driver || undefined;
}

/** True where a PCI driver of that name is loaded or built in. */
export function driverLoaded(name: string, root = SYSFS): boolean {
  return namesIn(join(root, 'bus/pci/drivers')).includes(name);
}

/** A device of an IOMMU group and the driver that holds it. */
export interface Member {
  readonly address: string;
  readonly driver: string | undefined;
}

/** The IOMMU group of a device. */
export interface IommuGroup {
  /** Its number; the node of the legacy interface is /dev/vfio/NUMBER. */
  readonly number: number;
  /** The other devices in it, by address. */
  readonly others: readonly Member[];
  /** VFIO's no-IOMMU mode: a group in name only, no translation, no protection. */
  readonly noIommu: boolean;
}

/** The IOMMU group of a function; undefined where no IOMMU covers it. */
export function iommuGroupOf(address: string, root = SYSFS): IommuGroup | undefined {
  const facts = readPciFacts(root, address);
  if (facts === undefined || facts.group < 0) return undefined;
  return {
    number: facts.group,
    others: groupMembers(root, facts.group)
      .filter((member) => member.pci !== address)
      .map((member) => ({ address: member.pci, driver: member.driver || undefined })),
    noIommu: facts.groupName === NO_IOMMU_GROUP,
  };
}

/** True where the machine runs any IOMMU at all, whatever it covers. */
export function hasIommu(root = SYSFS): boolean {
  return namesIn(join(root, 'class/iommu')).length > 0;
}

/**
 * Name of a function's device cdev: "vfio0", for /dev/vfio/devices/vfio0. Present while it is
 * bound to a VFIO driver and the kernel has CONFIG_VFIO_DEVICE_CDEV (Linux 6.6).
 */
export function vfioCdevOf(address: string, root = SYSFS): string | undefined {
  return readPciFacts(root, address)?.cdev || undefined;
}

/** Address of the PF a VF belongs to; undefined for a PF, and in a guest that holds the VF only. */
export function physicalFunctionOf(address: string, root = SYSFS): string | undefined {
  return linkName(join(pciPath(address, root), 'physfn'));
}

/** Addresses of a PF's VFs; the index is the VF's number. */
export function virtualFunctionsOf(address: string, root = SYSFS): string[] {
  const path = pciPath(address, root);
  const rows = namesIn(path).flatMap((name) => {
    const index = /^virtfn(\d+)$/.exec(name)?.[1];
    const target = index === undefined ? undefined : linkName(join(path, name));
    return target === undefined ? [] : [{ index: Number(index), target }];
  });
  return rows.sort((a, b) => a.index - b.index).map((row) => row.target);
}

/** NUMA node a function hangs at; undefined where the firmware names none (-1). */
export function numaNodeOf(address: string, root = SYSFS): number | undefined {
  const node = numberOf(join(pciPath(address, root), 'numa_node'));
  return node === undefined || node < 0 ? undefined : node;
}
