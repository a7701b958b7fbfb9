// Why a VF cannot be opened, as far as files show it before anything is opened: what is wrong, and
// what to do, one line each. `open` throws what `unusable` finds and then asks the kernel itself;
// `ixy list` and `ixy bind` say what `diagnose` finds, which looks at the files as well that the
// kernel would ask about. So all of them name the same cause and the same cure.

import { HYPERV_VF_DEVICES, VENDOR_INTEL, VF_DEVICES } from '../../hw/pci.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { notOpened } from './advice.ts';
import { groupFiles, waysTo } from './files.ts';
import {
  groupOthers,
  hasModule,
  linkName,
  type Machine,
  namesIn,
  type PciFacts,
  pciFolder,
  textOf,
} from './sysfs.ts';

const OPEN = 'open VF';
/** Linux IFF_UP, in net/IF/flags. */
const INTERFACE_UP = 0x1;
/**
 * The first thing in the way of using a VF.
 * @returns undefined where nothing is seen that is; the kernel may still refuse it
 */
export function diagnose(facts: PciFacts, machine: Machine): VfioError | undefined {
  return (
    unusable(facts, machine.sysfs) ??
    sharedGroup(facts, machine) ??
    closedFile(facts, machine) ??
    pfDown(facts, machine.sysfs)
  );
}

/** What no open can get around, in the order in which one has to put things right. */
export function unusable(facts: PciFacts, sysfs: string): VfioError | undefined {
  const { vendorId, deviceId, driver } = facts;
  if (vendorId !== VENDOR_INTEL || !(deviceId in VF_DEVICES)) return notOfFamily(facts);
  return noIsolation(facts, sysfs) ?? (isVfioDriver(driver) ? undefined : notBound(facts, sysfs));
}

/** Whether the IOMMU keeps the device from memory that is not its own. */
export function noIsolation(facts: PciFacts, sysfs: string): VfioError | undefined {
  const { pci, groupName, cdev, group } = facts;
  if (groupName === 'vfio-noiommu' || cdev.startsWith('noiommu')) return noIommuMode(pci);
  return group < 0 ? noIommu(pci, sysfs) : undefined;
}

/** No function at this address. */
export function noSuchDevice(pci: string): VfioError {
  const detail =
    'there is no PCI device at this address; `ixy list` shows the VFs there are, and a PF makes them with `sudo ixy bind --vfs N PF` or `echo N | sudo tee /sys/class/net/PF/device/sriov_numvfs`';
  return new VfioError(OPEN, ERRNO.ENODEV, pci, detail);
}

/** A device that this driver does not know, or knows not to work. */
export function notOfFamily(facts: PciFacts): VfioError {
  const { pci, vendorId, deviceId } = facts;
  const known = Object.entries(VF_DEVICES).map(
    ([id, { name }]) => `${name} ${idText(VENDOR_INTEL, Number(id))}`,
  );
  const hyperv =
    vendorId === VENDOR_INTEL && HYPERV_VF_DEVICES.includes(deviceId)
      ? ', a Hyper-V VF, whose mailbox is not in hardware'
      : '';
  const detail = `expected a VF of the 82599 family (${known.join(', ')}), got ${idText(vendorId, deviceId)}${hyperv}; \`ixy list\` shows the VFs there are`;
  return new VfioError(OPEN, ERRNO.ENODEV, pci, detail);
}

/** Without an IOMMU group there is no VFIO. */
function noIommu(pci: string, sysfs: string): VfioError {
  const why =
    namesIn(`${sysfs}/class/iommu`).length > 0
      ? "the device has no IOMMU group, since the machine's IOMMU does not cover it; give it a slot, or a virtual machine's configuration, in which it does"
      : 'the device has no IOMMU group, so the IOMMU is off; turn on VT-d or AMD-Vi in the firmware, put intel_iommu=on (or amd_iommu=on) on the kernel command line, reboot; in a VM give it a virtual IOMMU';
  return new VfioError(OPEN, ERRNO.ENODEV, pci, why);
}

/** A group of VFIO's no-IOMMU mode is refused. */
function noIommuMode(pci: string): VfioError {
  const detail =
    'the device is in VFIO no-IOMMU mode, which this driver refuses: nothing would keep the device from overwriting any memory of the machine; turn the IOMMU on (intel_iommu=on or amd_iommu=on on the kernel command line) and enable_unsafe_noiommu_mode off';
  return new VfioError(OPEN, ERRNO.EPERM, pci, detail);
}

/** Bound to a driver that is not VFIO's, or to none. */
function notBound({ pci, driver, interfaces }: PciFacts, sysfs: string): VfioError {
  const net = interfaces.length === 0 ? '' : ` as network interface ${interfaces.join(', ')}`;
  const got = driver === '' ? 'one bound to no driver' : `one that ${driver} has${net}`;
  const load = hasModule(sysfs, 'vfio-pci') ? '' : '`sudo modprobe vfio-pci`, then ';
  const detail = `expected a device bound to vfio-pci, got ${got}; run ${load}\`sudo ixy bind ${pci}\``;
  return new VfioError(OPEN, driver === '' ? ERRNO.ENODEV : ERRNO.EBUSY, pci, detail);
}

/** Other functions of the group are in other hands. @param others of the group, which block it */
export function notViable(path: string, pci: string, others: readonly PciFacts[]): VfioError {
  const named = others.map((one) => `${one.pci} is bound to ${one.driver}`).join(', ');
  const vfs = others.filter(({ deviceId }) => deviceId in VF_DEVICES).map((one) => one.pci);
  const cure =
    vfs.length === others.length
      ? `run \`sudo ixy bind ${vfs.join(' ')}\` (or unbind it)`
      : 'bind that to vfio-pci too, or use a slot with ACS';
  const which =
    others.length === 0
      ? 'another device of the group, which sysfs does not show, is in use'
      : `${named}; ${cure}`;
  const detail = `the IOMMU group of ${pci} is not viable: ${which}; the group is shared because its PCIe slot has no ACS`;
  return new VfioError(OPEN, ERRNO.EBUSY, path, detail);
}

/** The functions of a group that keep VFIO from having it: those that another driver has and does DMA with. */
export function blockersOf(facts: PciFacts, sysfs: string): readonly PciFacts[] {
  return groupOthers(facts, sysfs).filter(({ driver }) => driver !== '' && !isHarmless(driver));
}

/** VFIO's own drivers, stubs, and bridges', which do no DMA of their own (driver_managed_dma in Linux). */
function isHarmless(driver: string): boolean {
  return isVfioDriver(driver) || ['pci-stub', 'pcieport', 'shpchp'].includes(driver);
}

/** vfio-pci, or one of its vendor variants. */
export function isVfioDriver(driver: string): boolean {
  return /^vfio[-_]pci$|[-_]vfio[-_]pci$/.test(driver);
}

function sharedGroup(facts: PciFacts, { sysfs, dev }: Machine): VfioError | undefined {
  const blockers = blockersOf(facts, sysfs);
  if (blockers.length === 0) return undefined;
  return notViable(groupFiles(facts, dev)[0].path, facts.pci, blockers);
}

/** What keeps this process from both ABIs. A file that is there but closed is nearer to working than one that is not. */
function closedFile(facts: PciFacts, machine: Machine): VfioError | undefined {
  const faults: VfioError[] = [];
  for (const files of waysTo(facts, machine.dev)) {
    const file = files.find(({ path }) => machine.access(path) !== 'usable');
    if (file === undefined) return undefined;
    const errno = machine.access(file.path) === 'denied' ? ERRNO.EACCES : ERRNO.ENOENT;
    faults.push(notOpened(file, errno, facts.pci, hasModule(machine.sysfs, file.module)));
  }
  return faults.find(({ errno }) => errno === ERRNO.EACCES) ?? faults[0];
}

/** A PF whose interface is down answers no VF. */
function pfDown({ pci }: PciFacts, sysfs: string): VfioError | undefined {
  const pf = linkName(`${pciFolder(sysfs, pci)}/physfn`);
  const net = `${pciFolder(sysfs, pf)}/net`;
  const names = pf === '' ? [] : namesIn(net);
  const isUp = (name: string) => (Number(textOf(`${net}/${name}/flags`)) & INTERFACE_UP) !== 0;
  if (names.length === 0 || names.some(isUp)) return undefined;
  const detail = `its PF ${pf} is down and answers no VF; run \`sudo ip link set ${names[0]} up\``;
  return new VfioError(OPEN, ERRNO.ENODEV, pci, detail);
}

function idText(vendorId: number, deviceId: number): string {
  return [vendorId, deviceId].map((id) => id.toString(16).padStart(4, '0')).join(':');
}
