// What the kernel refused while a VF was opened or memory mapped, as one line each: what is wrong, and
// what to do. The causes are those of linux vfio.rst, vfio_iommu_type1.c, vfio_main.c and iommufd
// (docs/82599-vf.md sec 9); each function here is one of them. Decides nothing: open.ts, type1.ts,
// iommufd.ts and shared-mappings.ts find out. What can be seen before anything is opened is in diagnose.ts.

import { cureFor, VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { DmaMapping } from '../device.ts';
import { textOf } from './sysfs.ts';

/** A file of VFIO. */
export interface VfioFile {
  readonly path: string;
  /** The kernel module that makes it. */
  readonly module: string;
  /** What a udev rule matches it by. */
  readonly udev: string;
}

const OPEN = 'open VF';
const { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENXIO, EPERM } = ERRNO;

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

/** open(2) of a container, group, character device or iommufd failed. @param pci the device it was opened for */
export function notOpened(
  file: VfioFile,
  errno: number,
  pci: string,
  moduleLoaded: boolean,
): VfioError {
  return new VfioError(OPEN, errno, file.path, openAdvice(file, errno, pci, moduleLoaded));
}

function openAdvice(file: VfioFile, errno: number, pci: string, moduleLoaded: boolean): string {
  const { path, module, udev } = file;
  const user = process.getuid?.();
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return moduleLoaded
        ? `the file is missing though ${module} is loaded; in a container start it with --device=${path}`
        : `the kernel module ${module} is not loaded; run \`sudo modprobe ${module}\`, in a container start it with --device=${path}`;
    case EACCES:
      return `no permission to read and write it; run \`sudo chown ${user} ${path}\`, or for good a udev rule: ${udev}, OWNER="${user}", MODE="0600"`;
    case EPERM:
      return `not permitted; in a container start it with --device=${path}, else run \`sudo chown ${user} ${path}\``;
    case EBUSY:
      return `another process has ${pci} open; \`sudo fuser -v ${path}\` names it, stop that one first`;
    default:
      return cureFor(errno) || `for ${pci}; is ${module} loaded?`;
  }
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

/** A refused MAP_DMA or IOAS_MAP. @param now what is mapped in the address space already */
export function notMapped(
  space: { readonly path: string; room(): number },
  errno: number,
  mapping: DmaMapping,
  now: { readonly bytes: number; readonly mappings: number },
): VfioError {
  const { iova, sizeBytes, address } = mapping;
  let detail = `${sizeBytes} bytes at IOVA 0x${iova.toString(16)}, address 0x${address.toString(16)}`;
  const left = errno === ERRNO.ENOSPC ? space.room() : -1;
  if (errno === ERRNO.ENOMEM) detail = memoryAdvice(now.bytes + sizeBytes);
  else if (left >= 0) {
    detail = `expected room for one mapping more than the ${now.mappings} there are, the container takes ${now.mappings + left}; raise it (parameter dma_entry_limit of vfio_iommu_type1), or use fewer and larger mempools`;
  }
  return new VfioError('map DMA', errno, space.path, detail);
}

function memoryAdvice(neededBytes: number): string {
  const allowed = lockedMemoryLimit();
  if (allowed >= neededBytes) {
    return `expected to lock ${size(neededBytes)}, which RLIMIT_MEMLOCK (${size(allowed)}) allows this process, so the system or its cgroup is out of memory, or other processes of this user have locked the rest; free memory or use smaller mempools`;
  }
  return `needs ${size(neededBytes)} of locked memory, RLIMIT_MEMLOCK allows ${size(allowed)}; raise it: \`sudo prlimit --pid $$ --memlock=unlimited\` for this shell, LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for a container, memlock in /etc/security/limits.conf for good`;
}

/** Bytes that this process may lock (proc(5), setrlimit(2)); Infinity for no limit, or where it cannot be read. */
export function lockedMemoryLimit(proc = '/proc'): number {
  const soft = /^Max locked memory\s+(\d+)/m.exec(textOf(`${proc}/self/limits`))?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

function size(bytes: number): string {
  if (bytes === Number.POSITIVE_INFINITY) return 'unlimited';
  return bytes < 2 ** 20 ? `${Math.floor(bytes / 1024)} KiB` : `${Math.floor(bytes / 2 ** 20)} MiB`;
}
