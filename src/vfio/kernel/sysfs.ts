// What sysfs says of a PCI function and its IOMMU group, and what this process may do with the files
// of VFIO. Looks only; decides nothing, and nothing throws for what is absent. Source: linux
// Documentation/ABI/testing/sysfs-bus-pci, sysfs-kernel-iommu_groups, driver-api/vfio.rst.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { basename } from 'node:path';

/** No attribute of sysfs is longer than a page; files of /proc, which are read here too, say that they have 0 bytes. */
const MOST_BYTES = 4096;

/** What this process may do with a device file. */
export type FileAccess = 'usable' | 'denied' | 'absent';

/** Where a machine's files are; a test has others. */
export interface Machine {
  /** Where sysfs is mounted: "/sys". */
  readonly sysfs: string;
  /** Where the device files are: "/dev". */
  readonly dev: string;
  /** Whether this process may open a file for reading and writing. */
  access(path: string): FileAccess;
}

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

/**
 * Looks a function up.
 * @param sysfs where sysfs is mounted, "/sys"
 * @returns undefined where there is none at this address
 */
export function readPciFacts(sysfs: string, pci: string): PciFacts | undefined {
  const folder = pciFolder(sysfs, pci);
  if (!existsSync(folder)) return undefined;
  const groupText = linkName(`${folder}/iommu_group`);
  const group = /^\d{1,9}$/.test(groupText) ? Number(groupText) : -1;
  return {
    pci,
    vendorId: Number(textOf(`${folder}/vendor`)),
    deviceId: Number(textOf(`${folder}/device`)),
    driver: linkName(`${folder}/driver`),
    interfaces: namesIn(`${folder}/net`),
    group,
    groupName: group < 0 ? '' : textOf(`${sysfs}/kernel/iommu_groups/${group}/name`),
    cdev: namesIn(`${folder}/vfio-dev`)[0] ?? '',
  };
}

/** The other functions of a function's IOMMU group, by address; none where it has no group. */
export function groupOthers({ pci, group }: PciFacts, sysfs: string): readonly PciFacts[] {
  return namesIn(`${sysfs}/kernel/iommu_groups/${group}/devices`)
    .filter((name) => name !== pci)
    .flatMap((name) => readPciFacts(sysfs, name) ?? []);
}

/** Machine.access of the machine that this process runs on. */
export function fileAccess(path: string): FileAccess {
  if (!existsSync(path)) return 'absent';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return 'usable';
  } catch {
    return 'denied';
  }
}

/** Whether the kernel knows a module, such as vfio-pci, loaded or built in with parameters. */
export function hasModule(sysfs: string, name: string): boolean {
  return existsSync(`${sysfs}/module/${name.replaceAll('-', '_')}`);
}

/** The folder of a function. */
export function pciFolder(sysfs: string, pci: string): string {
  return `${sysfs}/bus/pci/devices/${pci}`;
}

/**
 * Text of a file without the blanks around it; '' where it cannot be read, or is no regular file: what is given out
 * as sysfs may be any tree of files, and a FIFO in it would be waited for without end.
 */
export function textOf(path: string): string {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    return stat.isFile() && stat.size <= MOST_BYTES ? readFileSync(fd, 'utf8').trim() : '';
  } catch {
    return '';
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Last part of what a link points to; '' where there is no link. */
export function linkName(path: string): string {
  try {
    return basename(readlinkSync(path));
  } catch {
    return '';
  }
}

/** Names in a folder, sorted; none where there is no such folder. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}
