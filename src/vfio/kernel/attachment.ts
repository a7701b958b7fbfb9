// How a device hangs in an IOMMU address space, the same for both ABIs: type1.ts makes it by group
// and container, iommufd.ts by the device's own file. And the opening of VFIO's files.

import type { IovaRange } from '../../memory/iova.ts';
import { native } from '../../support/native.ts';
import type { DmaMapping } from '../device.ts';
import { notOpened } from './advice.ts';
import type { OpenFile } from './calls.ts';
import { hasModule, type PciFacts } from './sysfs.ts';

/** A device fd whose DMA goes through an IOMMU of ours. */
export interface Attachment {
  /** The device fd; its path is that of the group or of the character device. */
  readonly file: OpenFile;
  readonly iovaRanges: readonly IovaRange[];
  /** Counted: devices of one address space map the same memory once. @throws VfioError */
  map(mapping: DmaMapping): void;
  /** @throws VfioError */
  unmap(iova: number, sizeBytes: number): void;
  /** Closes the device fd and what nothing uses any more. The caller has unmapped what it mapped. */
  release(): void;
}

/** Where the system's files are; a test has others. */
export interface Roots {
  /** "/sys" */
  readonly sysfs: string;
  /** "/dev" */
  readonly dev: string;
}

const O_RDWR = 2;

/**
 * Opens a file of VFIO.
 * @param module the kernel module that makes it
 * @param udev what a udev rule matches it by
 * @throws VfioError that says what to do
 */
export function openVfioFile(
  roots: Roots,
  facts: PciFacts,
  path: string,
  module: string,
  udev: string,
): OpenFile {
  const fd = native().open(path, O_RDWR);
  if (fd >= 0) return { fd, path };
  const moduleLoaded = hasModule(roots.sysfs, module.replaceAll('-', '_'));
  throw notOpened({ pci: facts.pci, path, errno: -fd, module, moduleLoaded, udev });
}
