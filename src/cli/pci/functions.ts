// The PFs and VFs of the 82599 family on a machine, as sysfs shows them. What
// they lack before they can be used is missing.ts; the table is list.ts.

import { join } from 'node:path';
import { HYPERV_VF_DEVICES, VENDOR_INTEL, VF_DEVICES } from '../../hw/pci.ts';
import { pfFamilyOf } from '../../hw/pf-devices.ts';
import type { Host } from './host.ts';
import {
  driverOf,
  type IommuGroup,
  iommuGroupOf,
  namesIn,
  numaNodeOf,
  numberOf,
  pciFunctions,
  pciIds,
  pciPath,
  physicalFunctionOf,
  textOf,
  virtualFunctionsOf,
} from './sysfs-read.ts';

/** Linux IFF_UP, in net/IF/flags. */
const INTERFACE_UP = 0x1;

/** A network interface that a kernel driver made of a function. */
export interface NetInterface {
  readonly name: string;
  /** "a0:36:9f:00:00:01"; undefined where the file cannot be read. */
  readonly mac: string | undefined;
  /** Brought up by somebody (IFF_UP). */
  readonly up: boolean;
  /** Carrier: operstate is "up". */
  readonly link: boolean;
  /** Interfaces stacked on it: a bridge, a bond, VLANs. */
  readonly uppers: readonly string[];
}

/** What a device id says. */
export interface Kind {
  /** `other` is any device that is not of the family. */
  readonly kind: 'PF' | 'VF' | 'Hyper-V VF' | 'other';
  /** "82599", "X540"; for others the ids, "8086:1521". */
  readonly family: string;
}

/** A PF or VF of the family. */
export interface PciFunction extends Kind {
  readonly address: string;
  readonly device: number;
  readonly driver: string | undefined;
  readonly group: IommuGroup | undefined;
  readonly numaNode: number | undefined;
  readonly interfaces: readonly NetInterface[];
  /** A VF's PF and its number there; undefined for a PF, and in a guest that holds the VF only. */
  readonly pf: string | undefined;
  readonly vfIndex: number | undefined;
  /** A PF's VFs in order, and how many it can have; none and 0 for a VF. */
  readonly vfs: readonly string[];
  readonly vfLimit: number;
}

/** Kind and family of a function; undefined where no such function exists. */
export function kindOf(address: string, host: Host): Kind | undefined {
  const ids = pciIds(address, host.sysfs);
  if (ids === undefined) return undefined;
  if (ids.vendor === VENDOR_INTEL) {
    const vf = VF_DEVICES[ids.device];
    if (vf !== undefined) return { kind: 'VF', family: vf.name.replace(/ VF$/, '') };
    if (HYPERV_VF_DEVICES.includes(ids.device)) return { kind: 'Hyper-V VF', family: '82599' };
    const family = pfFamilyOf(ids.device);
    if (family !== undefined) return { kind: 'PF', family };
  }
  const hex = (id: number): string => id.toString(16).padStart(4, '0');
  return { kind: 'other', family: `${hex(ids.vendor)}:${hex(ids.device)}` };
}

/** Network interfaces of a function; none in another network namespace are seen. */
export function interfacesOf(address: string, host: Host): NetInterface[] {
  const folder = join(pciPath(address, host.sysfs), 'net');
  return namesIn(folder).map((name) => {
    const path = join(folder, name);
    const flags = numberOf(join(path, 'flags')) ?? 0;
    return {
      name,
      mac: textOf(join(path, 'address')),
      up: (flags & INTERFACE_UP) !== 0,
      link: textOf(join(path, 'operstate')) === 'up',
      uppers: namesIn(path)
        .filter((entry) => entry.startsWith('upper_'))
        .map((entry) => entry.slice('upper_'.length)),
    };
  });
}

/** A function of the family; undefined for any other device or none. */
export function pciFunction(address: string, host: Host): PciFunction | undefined {
  const kind = kindOf(address, host);
  if (kind === undefined || kind.kind === 'other') return undefined;
  const pf = physicalFunctionOf(address, host.sysfs);
  const index = pf === undefined ? -1 : virtualFunctionsOf(pf, host.sysfs).indexOf(address);
  return {
    ...kind,
    address,
    device: pciIds(address, host.sysfs)?.device ?? 0,
    driver: driverOf(address, host.sysfs),
    group: iommuGroupOf(address, host.sysfs),
    numaNode: numaNodeOf(address, host.sysfs),
    interfaces: interfacesOf(address, host),
    pf,
    vfIndex: index < 0 ? undefined : index,
    vfs: virtualFunctionsOf(address, host.sysfs),
    vfLimit: numberOf(join(pciPath(address, host.sysfs), 'sriov_totalvfs')) ?? 0,
  };
}

/** All PFs by address, each followed by its VFs by number, then the VFs without a PF here. */
export function findFunctions(host: Host): PciFunction[] {
  const all = pciFunctions(host.sysfs).flatMap((address) => pciFunction(address, host) ?? []);
  const pfs = all.filter((one) => one.kind === 'PF');
  const known = new Set(pfs.map((pf) => pf.address));
  const byNumber = (a: PciFunction, b: PciFunction): number => (a.vfIndex ?? 0) - (b.vfIndex ?? 0);
  const families = pfs.flatMap((pf) => [
    pf,
    ...all.filter((one) => one.pf === pf.address).sort(byNumber),
  ]);
  const orphans = all.filter(
    (one) => one.kind !== 'PF' && (one.pf === undefined || !known.has(one.pf)),
  );
  return [...families, ...orphans];
}
