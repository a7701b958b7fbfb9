// From a PCI address to a VfioDevice over the kernel's VFIO: looks the device up, refuses with the
// reason what cannot work, picks the ABI. Changes nothing in sysfs: binding is the commands' business.

import { accessSync, constants } from 'node:fs';
import { VENDOR_INTEL, VF_DEVICES } from '../../hw/pci.ts';
import { type Log, silentLog } from '../../support/log.ts';
import type { VfioDevice } from '../device.ts';
import type { WindowArena } from '../user/bar-window.ts';
import {
  isVfioDriver,
  noCdev,
  noIommu,
  noIommuMode,
  noSuchDevice,
  notBound,
  notOfFamily,
  openedTwice,
} from './advice.ts';
import type { Roots } from './attachment.ts';
import { KernelDevice } from './device.ts';
import { attachByCdev } from './iommufd.ts';
import { type PciFacts, readPciFacts } from './sysfs.ts';
import { attachByGroup } from './type1.ts';

/** `group`: group and container; `cdev`: the device's own file and iommufd. */
export type KernelAbi = 'group' | 'cdev';

/** How to open a device. */
export interface KernelOptions {
  /** Which ABI. Default: environment variable IXY_VFIO, else what the system offers, cdev first. */
  readonly abi?: KernelAbi;
  /** Where sysfs is mounted. Default /sys. */
  readonly sysfs?: string;
  /** Where device files are. Default /dev. */
  readonly dev?: string;
  readonly log?: Log;
}

/** Addresses this process has open, so that a second open is refused with a plain reason. */
const opened = new Set<string>();

/**
 * Opens a VF that is bound to vfio-pci. Opening resets it. Devices of one process share one
 * container or IOAS, so what several of them map is pinned once. Main thread only.
 * @param address "0000:03:10.0" or "03:10.0"
 * @throws RangeError for another form of address or ABI
 * @throws VfioError that says what is wrong and what to do; nothing stays open then
 */
export function openKernelDevice(
  address: string,
  arena: WindowArena,
  options: KernelOptions = {},
): VfioDevice {
  const pci = fullAddress(address);
  const wanted = wantedAbi(options.abi);
  const log = options.log ?? silentLog;
  const roots: Roots = { sysfs: options.sysfs ?? '/sys', dev: options.dev ?? '/dev' };
  const facts = readPciFacts(roots.sysfs, pci);
  if (facts === undefined) throw noSuchDevice(pci);
  checkUsable(facts);
  const key = `${roots.sysfs} ${pci}`;
  if (opened.has(key)) throw openedTwice(pci);
  const abi = wanted ?? offeredAbi(roots, facts);
  if (abi === 'cdev' && facts.cdev === '') throw noCdev(pci);
  const attachment = abi === 'cdev' ? attachByCdev(roots, facts) : attachByGroup(roots, facts);
  const device = new KernelDevice(pci, facts.deviceId, attachment, arena, log, () => {
    opened.delete(key);
  });
  opened.add(key);
  const how = abi === 'cdev' ? 'iommufd' : `container, group ${facts.group}`;
  log.info(`${pci}: opened through ${attachment.file.path} (${how})`);
  return device;
}

/** In the order in which one has to put things right. */
function checkUsable(facts: PciFacts): void {
  const { pci, vendorId, deviceId } = facts;
  if (vendorId !== VENDOR_INTEL || !(deviceId in VF_DEVICES)) throw notOfFamily(facts);
  if (facts.groupName === 'vfio-noiommu' || facts.cdev.startsWith('noiommu')) {
    throw noIommuMode(pci);
  }
  if (facts.group < 0) throw noIommu(pci);
  if (!isVfioDriver(facts.driver)) throw notBound(facts);
}

/**
 * cdev where its files are there and ours to open, so that a user who was given only the group's file
 * gets the group; where neither can be opened, the one that exists, whose error then says why.
 */
function offeredAbi(roots: Roots, facts: PciFacts): KernelAbi {
  if (facts.cdev === '') return 'group';
  const cdev = [`${roots.dev}/vfio/devices/${facts.cdev}`, `${roots.dev}/iommu`];
  const group = [`${roots.dev}/vfio/${facts.group}`, `${roots.dev}/vfio/vfio`];
  const { F_OK, R_OK, W_OK } = constants;
  if (allow(cdev, R_OK | W_OK)) return 'cdev';
  if (allow(group, R_OK | W_OK)) return 'group';
  return allow(cdev, F_OK) ? 'cdev' : 'group';
}

function allow(paths: readonly string[], mode: number): boolean {
  try {
    for (const path of paths) accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function fullAddress(address: string): string {
  const parts = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i.exec(address);
  if (parts === null) {
    throw new RangeError(`PCI address: expected 0000:03:10.0 or 03:10.0, got '${address}'`);
  }
  return `${parts[1] ?? '0000'}:${parts[2]}`.toLowerCase();
}

function wantedAbi(option: string | undefined): KernelAbi | undefined {
  const wanted = option ?? process.env.IXY_VFIO;
  if (wanted === undefined || wanted === '') return undefined;
  if (wanted === 'group' || wanted === 'cdev') return wanted;
  throw new RangeError(`IXY_VFIO: expected group or cdev, got '${wanted}'`);
}
