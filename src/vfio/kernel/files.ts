// The files of VFIO that opening a device takes: a group and the container, or the device's own
// character device and iommufd.

import { native } from '../../support/native.ts';
import { notOpened, type VfioFile } from './advice.ts';
import type { OpenFile } from './ioctl.ts';
import { hasModule, type Machine, type PciFacts } from './sysfs.ts';

const O_RDWR = 2;

/** The device's group, then the container. */
export function groupFiles({ group }: PciFacts, dev: string): readonly VfioFile[] {
  return [
    { path: `${dev}/vfio/${group}`, module: 'vfio-pci', udev: 'SUBSYSTEM=="vfio"' },
    { path: `${dev}/vfio/vfio`, module: 'vfio', udev: 'KERNEL=="vfio"' },
  ];
}

/** The device's own file, then iommufd. Only for a device that has such a file. */
export function cdevFiles({ cdev }: PciFacts, dev: string): readonly VfioFile[] {
  return [
    { path: `${dev}/vfio/devices/${cdev}`, module: 'vfio-pci', udev: 'SUBSYSTEM=="vfio-dev"' },
    { path: `${dev}/iommu`, module: 'iommufd', udev: 'KERNEL=="iommu"' },
  ];
}

/** The files of each ABI that the device can be opened by. */
export function waysTo(facts: PciFacts, dev: string): readonly (readonly VfioFile[])[] {
  const group = groupFiles(facts, dev);
  return facts.cdev === '' ? [group] : [group, cdevFiles(facts, dev)];
}

/** Opens a file for the device `pci`. @throws VfioError that says what to do */
export function openVfioFile(machine: Machine, file: VfioFile, pci: string): OpenFile {
  const { path, module } = file;
  const fd = native().open(path, O_RDWR);
  if (fd < 0) throw notOpened(file, -fd, pci, hasModule(machine.sysfs, module));
  return { fd, path };
}
