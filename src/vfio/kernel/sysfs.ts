// What sysfs says of a PCI function and its IOMMU group. Reads only; decides nothing. Source:
// linux Documentation/ABI/testing/sysfs-bus-pci, sysfs-kernel-iommu_groups, driver-api/vfio.rst.

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** A PCI function as sysfs shows it. */
export interface PciFacts {
  /** "0000:03:10.0" */
  readonly pci: string;
  /** Vendor and device id; of a VF those that the kernel took from its PF. */
  readonly vendorId: number;
  readonly deviceId: number;
  /** Bound driver, '' for none. */
  readonly driver: string;
  /** Network interfaces that a bound network driver made of it. */
  readonly interfaces: readonly string[];
  /** Number of its IOMMU group; -1 where it has none. */
  readonly group: number;
  /** The group's name: 'vfio-noiommu' in no-IOMMU mode, else mostly ''. */
  readonly groupName: string;
  /** Its VFIO character device, "vfio3"; '' where the kernel offers none. */
  readonly cdev: string;
}

/** Another function of the same IOMMU group. */
export interface GroupMember {
  readonly pci: string;
  readonly driver: string;
}

/**
 * Looks a function up.
 * @param sysfs where sysfs is mounted, "/sys"
 * @returns undefined where there is none at this address
 */
export function readPciFacts(sysfs: string, pci: string): PciFacts | undefined {
  const folder = pciFolder(sysfs, pci);
  if (!existsSync(folder)) return undefined;
  const groupText = linkName(`${folder}/iommu_group`);
  const group = /^\d+$/.test(groupText) ? Number(groupText) : -1;
  return {
    pci,
    vendorId: Number(text(`${folder}/vendor`)),
    deviceId: Number(text(`${folder}/device`)),
    driver: linkName(`${folder}/driver`),
    interfaces: names(`${folder}/net`),
    group,
    groupName: group < 0 ? '' : text(`${sysfs}/kernel/iommu_groups/${group}/name`),
    cdev: names(`${folder}/vfio-dev`)[0] ?? '',
  };
}

/** The functions of an IOMMU group, by address. */
export function groupMembers(sysfs: string, group: number): readonly GroupMember[] {
  return names(`${sysfs}/kernel/iommu_groups/${group}/devices`)
    .sort()
    .map((pci) => ({ pci, driver: linkName(`${pciFolder(sysfs, pci)}/driver`) }));
}

/** Whether the kernel knows a module, loaded or built in with parameters. */
export function hasModule(sysfs: string, name: string): boolean {
  return existsSync(`${sysfs}/module/${name}`);
}

/** The folder of a function. */
export function pciFolder(sysfs: string, pci: string): string {
  return `${sysfs}/bus/pci/devices/${pci}`;
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function linkName(path: string): string {
  try {
    return basename(readlinkSync(path));
  } catch {
    return '';
  }
}

function names(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
