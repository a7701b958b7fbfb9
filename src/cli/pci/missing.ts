// What a VF lacks before `ixy` can open it: the first thing in the way, as one
// line that says what to do about it. Looks at files only, opens no device.

import { join } from 'node:path';
import { interfacesOf, kindOf, type PciFunction } from './functions.ts';
import type { Host } from './host.ts';
import { driverLoaded, hasIommu, textOf, VFIO_PCI, vfioCdevOf } from './sysfs-read.ts';

/**
 * Drivers of other group members that leave a group usable: they do no DMA of their own
 * (driver_managed_dma in Linux), or are VFIO drivers themselves.
 */
const HARMLESS_DRIVERS: readonly string[] = ['pcieport', 'pci-stub', 'shpchp'];

/** Locked memory that a forwarder between two VFs pins, and some to spare. */
const MEMLOCK_WANTED_BYTES = 64 * 1024 * 1024;
/** Bit of CapEff: the memlock limit does not hold (linux/capability.h). */
const CAP_IPC_LOCK = 14n;

/** Why the IOMMU does not serve a function; undefined where it does. */
export function missingIommu(fn: PciFunction, host: Host): string | undefined {
  if (fn.group?.noIommu === true) {
    return `group ${fn.group.number} is VFIO's no-IOMMU mode, which is not supported: ${iommuAdvice(host)}`;
  }
  if (fn.group !== undefined) return undefined;
  return hasIommu(host.sysfs)
    ? "no IOMMU group: the machine's IOMMU does not cover this device"
    : `no IOMMU: ${iommuAdvice(host)}`;
}

function iommuAdvice(host: Host): string {
  const option = 'add intel_iommu=on to the kernel command line';
  return /^flags\s*:.*\bhypervisor\b/m.test(textOf(join(host.proc, 'cpuinfo')) ?? '')
    ? `${option}; a virtual machine also needs a virtual IOMMU from its hypervisor`
    : `${option} (Intel), switch on VT-d or AMD-Vi in the firmware`;
}

/** What keeps vfio-pci from being there; undefined where it is loaded. */
export function missingVfioPci(host: Host): string | undefined {
  return driverLoaded(VFIO_PCI, host.sysfs) ? undefined : 'vfio-pci not loaded: modprobe vfio-pci';
}

function missingDriver(fn: PciFunction): string | undefined {
  if (fn.driver === VFIO_PCI) return undefined;
  const now = fn.driver === undefined ? 'no driver bound' : `bound to ${fn.driver}`;
  return `${now}: run \`ixy bind ${fn.address}\``;
}

/** A group is viable only when VFIO, or nobody, holds every device in it. */
function missingGroup(fn: PciFunction, host: Host): string | undefined {
  const { group } = fn;
  if (group === undefined) return undefined;
  for (const { address, driver } of group.others) {
    if (driver === undefined || driver.includes('vfio')) continue;
    if (HARMLESS_DRIVERS.includes(driver)) continue;
    const advice =
      kindOf(address, host)?.kind === 'VF'
        ? `run \`ixy bind ${address}\``
        : 'bind that to vfio-pci too, or use a slot with ACS';
    return `group ${group.number} also holds ${address} bound to ${driver}: ${advice}`;
  }
  return undefined;
}

/** Nodes of both VFIO interfaces: the group's, and the device's own (iommufd) where there is one. */
export function vfioNodes(
  address: string,
  group: number,
  host: Host,
): { readonly legacy: string; readonly cdev: string | undefined } {
  const cdev = vfioCdevOf(address, host.sysfs);
  return {
    legacy: join(host.dev, 'vfio', `${group}`),
    cdev: cdev === undefined ? undefined : join(host.dev, 'vfio/devices', cdev),
  };
}

function missingNode(fn: PciFunction, host: Host): string | undefined {
  if (fn.group === undefined) return undefined;
  const { legacy, cdev } = vfioNodes(fn.address, fn.group.number, host);
  const ways = [[legacy, join(host.dev, 'vfio/vfio')]];
  if (cdev !== undefined) ways.push([cdev, join(host.dev, 'iommu')]);
  const faults: { readonly path: string; readonly denied: boolean }[] = [];
  for (const way of ways) {
    const path = way.find((node) => host.access(node) !== 'usable');
    if (path === undefined) return undefined;
    faults.push({ path, denied: host.access(path) === 'denied' });
  }
  // A node that is there but closed is nearer to working than one that is not there.
  const fault = faults.find((one) => one.denied) ?? faults[0];
  return fault.denied
    ? `no permission on ${fault.path}: see README, udev rule, or run \`ixy bind --owner USER ${fn.address}\` as root`
    : `no ${fault.path}: a container has to be given this node`;
}

function missingPf(fn: PciFunction, host: Host): string | undefined {
  if (fn.pf === undefined) return undefined;
  const interfaces = interfacesOf(fn.pf, host);
  if (interfaces.length === 0 || interfaces.some((one) => one.up)) return undefined;
  const { name } = interfaces[0];
  return `its PF ${fn.pf} is down and answers no VF: ip link set ${name} up`;
}

/**
 * The first thing in the way of using a VF, as one line with what to do.
 * @returns undefined where the VF is ready for this user
 */
export function missingFor(fn: PciFunction, host: Host): string | undefined {
  if (fn.kind === 'Hyper-V VF') return 'Hyper-V variant: its mailbox is no use, not supported';
  return (
    missingIommu(fn, host) ??
    missingVfioPci(host) ??
    missingDriver(fn) ??
    missingGroup(fn, host) ??
    missingNode(fn, host) ??
    missingPf(fn, host)
  );
}

/** A line where this user may lock too little memory for DMA; undefined where it is enough or unlimited. */
export function missingMemlock(host: Host): string | undefined {
  const limits = textOf(join(host.proc, 'self/limits')) ?? '';
  const soft = /^Max locked memory\s+(\d+)/m.exec(limits)?.[1];
  if (soft === undefined || Number(soft) >= MEMLOCK_WANTED_BYTES) return undefined;
  const status = textOf(join(host.proc, 'self/status')) ?? '';
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  if (((capabilities >> CAP_IPC_LOCK) & 1n) === 1n) return undefined;
  return `this user may lock ${Math.floor(Number(soft) / 1024)} KiB of memory, packet buffers want ${MEMLOCK_WANTED_BYTES / 1024}: see README, memlock limit`;
}
