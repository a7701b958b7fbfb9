// A sysfs with PCI functions and IOMMU groups in a temporary folder, as far as kernel VFIO needs it,
// and an empty /dev beside it. Readable by every user: tests open it as one without rights.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A PCI function. Left out: an 82599 VF bound to vfio-pci, alone in group 1. */
export interface FakeFunction {
  readonly pci: string;
  readonly vendor?: string;
  readonly device?: string;
  /** null: bound to none. */
  readonly driver?: string | null;
  /** null: in no group, as without an IOMMU. */
  readonly group?: number | null;
  readonly groupName?: string;
  readonly cdev?: string;
  readonly interfaces?: readonly string[];
}

/** Paths of a made system. */
export interface FakeSystem {
  readonly root: string;
  readonly sysfs: string;
  readonly dev: string;
  /** Makes an ordinary file below dev, which opens and is no VFIO. */
  addDevFile(path: string, mode?: number): void;
  remove(): void;
}

/** Makes the folders. */
export function fakeSystem(
  functions: readonly FakeFunction[],
  modules: readonly string[] = ['vfio', 'vfio_pci', 'vfio_iommu_type1'],
): FakeSystem {
  const root = mkdtempSync(join(tmpdir(), 'ixy-sysfs-'));
  chmodSync(root, 0o755);
  const sysfs = join(root, 'sys');
  const dev = join(root, 'dev');
  mkdirSync(join(dev), { recursive: true });
  mkdirSync(join(sysfs, 'bus/pci/devices'), { recursive: true });
  for (const name of modules) mkdirSync(join(sysfs, 'module', name), { recursive: true });
  for (const fn of functions) addFunction(sysfs, fn);
  return {
    root,
    sysfs,
    dev,
    addDevFile(path, mode = 0o600) {
      mkdirSync(join(dev, path, '..'), { recursive: true });
      writeFileSync(join(dev, path), '');
      chmodSync(join(dev, path), mode);
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

function addFunction(sysfs: string, fn: FakeFunction): void {
  const { vendor = '0x8086', device = '0x10ed', driver = 'vfio-pci', group = 1 } = fn;
  const folder = join(sysfs, 'bus/pci/devices', fn.pci);
  mkdirSync(folder);
  writeFileSync(join(folder, 'vendor'), `${vendor}\n`);
  writeFileSync(join(folder, 'device'), `${device}\n`);
  if (driver !== null) symlinkSync(`../../../../bus/pci/drivers/${driver}`, join(folder, 'driver'));
  if (fn.cdev !== undefined) mkdirSync(join(folder, 'vfio-dev', fn.cdev), { recursive: true });
  for (const name of fn.interfaces ?? []) mkdirSync(join(folder, 'net', name), { recursive: true });
  if (group === null) return;
  const groupFolder = join(sysfs, 'kernel/iommu_groups', `${group}`);
  symlinkSync(`../../../../kernel/iommu_groups/${group}`, join(folder, 'iommu_group'));
  mkdirSync(join(groupFolder, 'devices'), { recursive: true });
  symlinkSync(`../../../../bus/pci/devices/${fn.pci}`, join(groupFolder, 'devices', fn.pci));
  if (fn.groupName !== undefined) writeFileSync(join(groupFolder, 'name'), `${fn.groupName}\n`);
}
