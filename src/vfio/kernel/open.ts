// From a PCI address to a VfioDevice over the kernel's VFIO: looks the device up, refuses with the
// reason what cannot work, picks the ABI. Changes nothing in sysfs: binding is the commands' business.

import { type Log, silentLog } from '../../support/log.ts';
import { pciAddress } from '../address.ts';
import type { WindowArena } from '../bar-pages.ts';
import type { VfioDevice } from '../device.ts';
import { noCdev, openedTwice, type VfioFile } from './advice.ts';
import { KernelDevice } from './device.ts';
import { noSuchDevice, unusable } from './diagnose.ts';
import { cdevFiles, groupFiles } from './files.ts';
import { attachByCdev } from './iommufd.ts';
import { fileAccess, type Machine, type PciFacts, readPciFacts } from './sysfs.ts';
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
  const pci = pciAddress(address);
  if (pci === undefined) {
    throw new RangeError(`PCI address: expected 0000:03:10.0 or 03:10.0, got '${address}'`);
  }
  const wanted = wantedAbi(options.abi);
  const log = options.log ?? silentLog;
  const { sysfs = '/sys', dev = '/dev' } = options;
  const machine: Machine = { sysfs, dev, access: fileAccess };
  const facts = readPciFacts(sysfs, pci);
  if (facts === undefined) throw noSuchDevice(pci);
  const fault = unusable(facts, sysfs);
  if (fault !== undefined) throw fault;
  const key = `${sysfs} ${pci}`;
  if (opened.has(key)) throw openedTwice(pci);
  const abi = wanted ?? offeredAbi(machine, facts);
  if (abi === 'cdev' && facts.cdev === '') throw noCdev(pci);
  const attachment = abi === 'cdev' ? attachByCdev(machine, facts) : attachByGroup(machine, facts);
  const device = new KernelDevice(pci, facts.deviceId, attachment, arena, log, () => {
    opened.delete(key);
  });
  opened.add(key);
  const how = abi === 'cdev' ? 'iommufd' : `container, group ${facts.group}`;
  log.info(`${pci}: opened through ${attachment.file.path} (${how})`);
  return device;
}

/**
 * cdev where its files are there and ours to open, so that a user who was given only the group's file
 * gets the group; where neither can be opened, the one that exists, whose error then says why.
 */
function offeredAbi({ dev, access }: Machine, facts: PciFacts): KernelAbi {
  if (facts.cdev === '') return 'group';
  const cdev = cdevFiles(facts, dev);
  const isUsable = ({ path }: VfioFile): boolean => access(path) === 'usable';
  if (cdev.every(isUsable)) return 'cdev';
  if (groupFiles(facts, dev).every(isUsable)) return 'group';
  return cdev.every(({ path }) => access(path) !== 'absent') ? 'cdev' : 'group';
}

function wantedAbi(option: string | undefined): KernelAbi | undefined {
  const wanted = option ?? process.env.IXY_VFIO;
  if (wanted === undefined || wanted === '') return undefined;
  if (wanted === 'group' || wanted === 'cdev') return wanted;
  throw new RangeError(`IXY_VFIO: expected group or cdev, got '${wanted}'`);
}
