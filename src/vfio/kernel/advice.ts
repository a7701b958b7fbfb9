// What a user meets before the first packet, as one line each: what is wrong, and what to do. The
// causes are those of linux vfio.rst, vfio_iommu_type1.c, vfio_main.c and iommufd (82599-vf.md 9);
// each function here is one of them. Decides nothing: open.ts, type1.ts and iommufd.ts find out.

import { HYPERV_VF_DEVICES, VENDOR_INTEL, VF_DEVICES } from '../../hw/pci.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from './abi.ts';
import type { GroupMember, PciFacts } from './sysfs.ts';

const OPEN = 'open VF';
const { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENXIO, EPERM } = ERRNO;

/** No function at this address. */
export function noSuchDevice(pci: string): VfioError {
  const detail =
    'there is no PCI device at this address; `ixy list` shows the VFs there are, and a PF makes them with `echo N | sudo tee /sys/class/net/PF/device/sriov_numvfs`';
  return new VfioError(OPEN, ENODEV, pci, detail);
}

/** A device that this driver does not know, or knows not to work. */
export function notOfFamily(facts: PciFacts): VfioError {
  const known = Object.entries(VF_DEVICES).map(([id, { name }]) => `${name} ${idText(Number(id))}`);
  const hyperv =
    facts.vendorId === VENDOR_INTEL && HYPERV_VF_DEVICES.includes(facts.deviceId)
      ? ', a Hyper-V VF, whose mailbox is not in hardware'
      : '';
  const detail = `expected a VF of the 82599 family (${known.join(', ')}), got ${hex4(facts.vendorId)}:${hex4(facts.deviceId)}${hyperv}; \`ixy list\` shows the VFs there are`;
  return new VfioError(OPEN, ENODEV, facts.pci, detail);
}

/** Without an IOMMU group there is no VFIO. */
export function noIommu(pci: string): VfioError {
  const detail =
    'the device has no IOMMU group, so the IOMMU is off; turn on VT-d or AMD-Vi in the firmware, put intel_iommu=on (or amd_iommu=on) on the kernel command line, reboot; in a VM give it a virtual IOMMU';
  return new VfioError(OPEN, ENODEV, pci, detail);
}

/** A group of VFIO's no-IOMMU mode is refused. */
export function noIommuMode(pci: string): VfioError {
  const detail =
    'the device is in VFIO no-IOMMU mode, which this driver refuses: nothing would keep the device from overwriting any memory of the machine; turn the IOMMU on (intel_iommu=on or amd_iommu=on on the kernel command line) and enable_unsafe_noiommu_mode off';
  return new VfioError(OPEN, EPERM, pci, detail);
}

/** Bound to a driver that is not VFIO's, or to none. */
export function notBound(facts: PciFacts): VfioError {
  const { pci, driver, interfaces } = facts;
  const cure = `run \`sudo ixy bind ${pci}\`, which hands it to vfio-pci`;
  if (driver === '') {
    return new VfioError(
      OPEN,
      ENODEV,
      pci,
      `expected a device bound to vfio-pci, got one bound to no driver; ${cure}`,
    );
  }
  const net = interfaces.length === 0 ? '' : ` as network interface ${interfaces.join(', ')}`;
  const detail = `expected a device bound to vfio-pci, got one that ${driver} has${net}; ${cure}`;
  return new VfioError(OPEN, EBUSY, pci, detail);
}

/** IXY_VFIO=cdev where the kernel has no character device for it. */
export function noCdev(pci: string): VfioError {
  const detail =
    'the kernel offers no device file of its own for it (needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV); leave IXY_VFIO unset or set it to group';
  return new VfioError(OPEN, ENOENT, pci, detail);
}

/** This process has the device already. */
export function openedTwice(pci: string): VfioError {
  const detail = 'this process has the device open already; use that one, or close it first';
  return new VfioError(OPEN, EBUSY, pci, detail);
}

/** What an open(2) of a VFIO file was refused with, and where. */
export interface OpenFailure {
  readonly pci: string;
  readonly path: string;
  readonly errno: number;
  /** Kernel module that makes this file, and whether it is there. */
  readonly module: string;
  readonly moduleLoaded: boolean;
  /** What a udev rule matches the file by. */
  readonly udev: string;
}

/** open(2) of a container, group, character device or iommufd failed. */
export function notOpened(failure: OpenFailure): VfioError {
  const { pci, path, errno, module } = failure;
  return new VfioError(
    OPEN,
    errno,
    path,
    openAdvice(failure) ?? `for ${pci}; is ${module} loaded?`,
  );
}

function openAdvice(failure: OpenFailure): string | undefined {
  const { pci, path, module, moduleLoaded, udev } = failure;
  switch (failure.errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return moduleLoaded
        ? `the file is missing though ${module} is loaded; in a container start it with --device=${path}`
        : `the kernel module ${module} is not loaded; run \`sudo modprobe ${module}\`, in a container start it with --device=${path}`;
    case EACCES:
      return `no permission to read and write it; run \`sudo chown ${userId()} ${path}\`, or for good a udev rule: ${udev}, OWNER="${userId()}", MODE="0600"`;
    case EPERM:
      return `not permitted; in a container start it with --device=${path}, else run \`sudo chown ${userId()} ${path}\``;
    case EBUSY:
      return `another process has ${pci} open; \`sudo fuser -v ${path}\` names it, stop that one first`;
    default:
      return undefined;
  }
}

/** Other functions of the group are in other hands. */
export function notViable(path: string, pci: string, members: readonly GroupMember[]): VfioError {
  const others = members.filter((m) => m.driver !== '' && !isHarmlessDriver(m.driver));
  const named = others.map((m) => `${m.pci} is bound to ${m.driver}`).join(', ');
  const which =
    others.length === 0
      ? 'another device of the group, which sysfs does not show, is in use'
      : `${named}; run \`sudo ixy bind ${others.map((m) => m.pci).join(' ')}\` (or unbind it)`;
  const detail = `the IOMMU group of ${pci} is not viable: ${which}; the group is shared because its PCIe slot has no ACS`;
  return new VfioError(OPEN, EBUSY, path, detail);
}

/** Drivers that a group may contain without losing viability: VFIO's own, stubs, and bridges'. */
function isHarmlessDriver(driver: string): boolean {
  return isVfioDriver(driver) || driver === 'pci-stub' || driver === 'pcieport';
}

/** vfio-pci, or one of its vendor variants. */
export function isVfioDriver(driver: string): boolean {
  return /^vfio[-_]pci$|[-_]vfio[-_]pci$/.test(driver);
}

/** The container answers, but not as one that has an IOMMU to offer. */
export function noType1(path: string): VfioError {
  const detail =
    'the container offers no type1v2 IOMMU; run `sudo modprobe vfio_iommu_type1`, which is its kernel module';
  return new VfioError(OPEN, ENODEV, path, detail);
}

/** The file is there, and is not VFIO. */
export function notVfio(path: string, errno: number, got: string): VfioError {
  const detail = `expected VFIO of API version 0 behind this file, got ${got}; remove the file and run \`sudo modprobe vfio-pci\``;
  return new VfioError(OPEN, errno, path, detail);
}

/** The IOMMU would not take the group or device: SET_CONTAINER, SET_IOMMU, ATTACH_IOMMUFD_PT. */
export function notIsolated(path: string, request: string, errno: number, pci: string): VfioError {
  const unsafe = request.includes('IOMMUFD') ? 'iommufd' : 'vfio_iommu_type1';
  const advice: Readonly<Record<number, string>> = {
    [EPERM]: `the IOMMU does not isolate ${pci}: no interrupt remapping (turn it on in the firmware; in a VM intel-iommu with intremap=on; or accept the risk with ${unsafe}.allow_unsafe_interrupts=1), or memory that the firmware reserved for it (RMRR): \`dmesg\` says which`,
    [EBUSY]: `another process has ${pci} or a device of its IOMMU group; stop that one first`,
    [EINVAL]: `${pci} cannot share one IOMMU address space with the devices that are open; open it in a process of its own`,
    [ENODEV]: 'no IOMMU driver takes it; run `sudo modprobe vfio_iommu_type1`',
  };
  return new VfioError(OPEN, errno, path, `${request}: ${advice[errno] ?? `for ${pci}`}`);
}

/** The kernel would not give the device: GROUP_GET_DEVICE_FD, BIND_IOMMUFD. */
export function notGiven(path: string, request: string, errno: number, pci: string): VfioError {
  const advice: Readonly<Record<number, string>> = {
    [EACCES]: `${pci} asks for a VF token, since its PF is bound to vfio-pci too; bind the PF to ixgbe`,
    [EBUSY]: `another process has ${pci} or a device of its IOMMU group; stop that one first`,
    [EPERM]: `the IOMMU group of ${pci} is in use by another driver or process; every device of the group has to be bound to vfio-pci`,
    [ENODEV]: `vfio-pci has lost ${pci}; is it still bound? (\`ixy list\`)`,
    [EINVAL]: `${pci} is open already by the other of group and cdev; close that one first`,
  };
  return new VfioError(OPEN, errno, path, `${request}: ${advice[errno] ?? `for ${pci}`}`);
}

function userId(): number {
  return process.getuid?.() ?? 0;
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}

function idText(deviceId: number): string {
  return `${hex4(VENDOR_INTEL)}:${hex4(deviceId)}`;
}
