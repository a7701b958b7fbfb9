// The PFs and VFs of the 82599 family on a machine: what sysfs says of them beyond what opening one
// needs, which is vfio/kernel/sysfs.ts. Linux Documentation/ABI/testing/sysfs-bus-pci.

import { HYPERV_VF_DEVICES, VENDOR_INTEL, VF_DEVICES } from '../../hw/pci.ts';
import { pfFamilyOf } from '../../hw/pf-devices.ts';
import { pciAddress } from '../../vfio/address.ts';
import { diagnose } from '../../vfio/kernel/diagnose.ts';
import {
  groupOthers,
  linkName,
  type Machine,
  namesIn,
  type PciFacts,
  pciFolder,
  readPciFacts,
  textOf,
} from '../../vfio/kernel/sysfs.ts';

/** Linux IFF_UP, in net/IF/flags. */
const INTERFACE_UP = 0x1;

/** A network interface that a kernel driver made of a function. */
export interface NetInterface {
  readonly name: string;
  /** "a0:36:9f:00:00:01"; '' where the file cannot be read. */
  readonly mac: string;
  /** Brought up by somebody (IFF_UP). */
  readonly up: boolean;
  /** Carrier: operstate is "up". */
  readonly link: boolean;
  /** Interfaces stacked on it: a bridge, a bond, VLANs. */
  readonly uppers: readonly string[];
}

/** What a device id says of a function of the family. */
interface Kind {
  readonly kind: 'PF' | 'VF' | 'Hyper-V VF';
  /** "82599", "X540"; of what is not of the family "8086:10c9". */
  readonly family: string;
}

/** A PF or VF of the family. */
export interface PciFunction extends PciFacts, Kind {
  readonly numaNode: number | undefined;
  /** None in another network namespace are seen. */
  readonly nets: readonly NetInterface[];
  /** The other functions of its IOMMU group. */
  readonly others: readonly PciFacts[];
  /** A VF's PF and its number there; undefined for a PF, and in a guest that holds the VF only. */
  readonly pf: string | undefined;
  readonly vfIndex: number | undefined;
  /** A PF's VFs in order, and how many it can have; none and 0 for a VF. */
  readonly vfs: readonly string[];
  readonly vfLimit: number;
}

function kindOf({ vendorId, deviceId }: PciFacts): Kind | undefined {
  if (vendorId !== VENDOR_INTEL) return undefined;
  const vf = VF_DEVICES[deviceId];
  if (vf !== undefined) return { kind: 'VF', family: vf.name.replace(/ VF$/, '') };
  if (HYPERV_VF_DEVICES.includes(deviceId)) return { kind: 'Hyper-V VF', family: '82599' };
  const family = pfFamilyOf(deviceId);
  return family === undefined ? undefined : { kind: 'PF', family };
}

/** What sysfs says of a function of any family, by its part in SR-IOV. */
function sriovKindOf({ pci, vendorId, deviceId }: PciFacts, sysfs: string): Kind | undefined {
  const folder = pciFolder(sysfs, pci);
  const isVf = linkName(`${folder}/physfn`) !== '';
  if (!isVf && (numberOf(`${folder}/sriov_totalvfs`) ?? 0) <= 0) return undefined;
  const family = [vendorId, deviceId].map((id) => id.toString(16).padStart(4, '0')).join(':');
  return { kind: isVf ? 'VF' : 'PF', family };
}

/** The largest value of SR-IOV's 16-bit fields; no machine has as many NUMA nodes either. */
const MOST = 0xffff;

/**
 * A number as sysfs writes it: "0x8086", "-1", "63".
 * @returns undefined where there is none from -1 to `most`
 */
export function numberOf(path: string, most = MOST): number | undefined {
  const text = textOf(path);
  const value = /^(0x[0-9a-f]+|-?\d+)$/i.test(text) ? Number(text) : Number.NaN;
  return value >= -1 && value <= most ? value : undefined;
}

/** A MAC as the kernel writes it; '' for anything else. */
function macIn(path: string): string {
  const text = textOf(path);
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) ? text : '';
}

/** Network interfaces of a function. */
function netsOf({ pci, interfaces }: PciFacts, sysfs: string): NetInterface[] {
  return interfaces.map((name) => {
    const path = `${pciFolder(sysfs, pci)}/net/${name}`;
    return {
      name,
      mac: macIn(`${path}/address`),
      up: ((numberOf(`${path}/flags`, 0xffff_ffff) ?? 0) & INTERFACE_UP) !== 0,
      link: textOf(`${path}/operstate`) === 'up',
      uppers: namesIn(path)
        .filter((entry) => entry.startsWith('upper_'))
        .map((entry) => entry.slice('upper_'.length)),
    };
  });
}

const isAddress = (name: string): boolean => pciAddress(name) === name;

/** Addresses of a PF's VFs; the index is the VF's number. */
export function virtualFunctionsOf(pf: string, sysfs: string): string[] {
  const folder = pciFolder(sysfs, pf);
  return namesIn(folder)
    .filter((name) => /^virtfn\d+$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)))
    .map((name) => linkName(`${folder}/${name}`))
    .filter(isAddress);
}

/**
 * A function of the family; undefined for any other device or none.
 * @param anyFamily PFs and VFs of other families, too
 */
export function pciFunction(
  pci: string,
  sysfs: string,
  anyFamily = false,
): PciFunction | undefined {
  const facts = readPciFacts(sysfs, pci);
  const kind = facts && (kindOf(facts) ?? (anyFamily ? sriovKindOf(facts, sysfs) : undefined));
  if (facts === undefined || kind === undefined) return undefined;
  const folder = pciFolder(sysfs, pci);
  const pf = [linkName(`${folder}/physfn`)].find(isAddress);
  const index = pf === undefined ? -1 : virtualFunctionsOf(pf, sysfs).indexOf(pci);
  const node = numberOf(`${folder}/numa_node`) ?? -1;
  return {
    ...facts,
    ...kind,
    // -1: the firmware names none.
    numaNode: node < 0 ? undefined : node,
    nets: netsOf(facts, sysfs),
    others: groupOthers(facts, sysfs),
    pf,
    vfIndex: index < 0 ? undefined : index,
    vfs: virtualFunctionsOf(pci, sysfs),
    vfLimit: numberOf(`${folder}/sriov_totalvfs`) ?? 0,
  };
}

/** All PFs by address, each followed by its VFs by number, then the VFs without a PF here. */
export function findFunctions(sysfs: string): PciFunction[] {
  const all = namesIn(`${sysfs}/bus/pci/devices`)
    .filter(isAddress)
    .flatMap((pci) => pciFunction(pci, sysfs) ?? []);
  const pfs = all.filter((one) => one.kind === 'PF');
  const byNumber = (a: PciFunction, b: PciFunction): number => (a.vfIndex ?? 0) - (b.vfIndex ?? 0);
  const families = pfs.flatMap((pf) => [
    pf,
    ...all.filter((one) => one.pf === pf.pci).sort(byNumber),
  ]);
  return [...families, ...all.filter((one) => !families.includes(one))];
}

/**
 * What keeps a VF from being used, and what to do about it: the same words with which it is refused when opened.
 * @returns undefined where the VF is ready for this user
 */
export function missingFor(vf: PciFacts, machine: Machine): string | undefined {
  const fault = diagnose(vf, machine);
  return fault?.path === vf.pci ? fault.detail : fault && `${fault.path}: ${fault.detail}`;
}
