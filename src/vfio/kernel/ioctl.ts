// The ioctls of the kernel's VFIO and IOMMUFD ABI on x86-64, and how the files of this folder make
// them. Source: linux/vfio.h and linux/iommufd.h (docs/82599-vf.md sec 9.1, 9.2, 9.4). Every request
// is 0x3b00 + n with no size in it; 0x3b70 and up mean different things on container, device and
// iommufd fds. Structures are in structs.ts, what vfio-user has too in ../linux-vfio.ts. A test holds
// all of it against literals, and against the headers where they are.

import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { HELD_BY_HOST } from '../events.ts';
import { foreign } from './ffi.ts';

/** ioctl requests, named as in the headers. */
export const IOCTL = {
  // container
  VFIO_GET_API_VERSION: 0x3b64,
  VFIO_CHECK_EXTENSION: 0x3b65,
  VFIO_SET_IOMMU: 0x3b66,
  VFIO_IOMMU_GET_INFO: 0x3b70,
  VFIO_IOMMU_MAP_DMA: 0x3b71,
  VFIO_IOMMU_UNMAP_DMA: 0x3b72,
  // group
  VFIO_GROUP_GET_STATUS: 0x3b67,
  VFIO_GROUP_SET_CONTAINER: 0x3b68,
  VFIO_GROUP_GET_DEVICE_FD: 0x3b6a,
  // device
  VFIO_DEVICE_GET_INFO: 0x3b6b,
  VFIO_DEVICE_GET_REGION_INFO: 0x3b6c,
  VFIO_DEVICE_GET_IRQ_INFO: 0x3b6d,
  VFIO_DEVICE_SET_IRQS: 0x3b6e,
  VFIO_DEVICE_RESET: 0x3b6f,
  // device, opened as a character device of its own
  VFIO_DEVICE_BIND_IOMMUFD: 0x3b76,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0x3b77,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: 0x3b78,
  // iommufd
  IOMMU_DESTROY: 0x3b80,
  IOMMU_IOAS_ALLOC: 0x3b81,
  IOMMU_IOAS_IOVA_RANGES: 0x3b84,
  IOMMU_IOAS_MAP: 0x3b85,
  IOMMU_IOAS_UNMAP: 0x3b86,
} as const;

/** An ioctl by its name. */
export type IoctlName = keyof typeof IOCTL;

/** What GET_API_VERSION answers. */
export const VFIO_API_VERSION = 0;
/** For CHECK_EXTENSION and SET_IOMMU. */
export const VFIO_TYPE1v2_IOMMU = 3;

export const GROUP_FLAG = { VIABLE: 1, CONTAINER_SET: 2 } as const;
export const IOMMU_INFO_FLAG = { PGSIZES: 1, CAPS: 2 } as const;
export const IOAS_MAP_FLAG = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;

/** Capabilities of the IOMMU's info; those of regions are numbered apart. */
export const IOMMU_CAP = { IOVA_RANGE: 1, DMA_AVAIL: 3 } as const;

/** An open file of VFIO, and what it is called in messages. */
export interface OpenFile {
  readonly fd: number;
  readonly path: string;
}

/**
 * Makes the ioctl, for a caller who can say more about an errno than its name.
 * @param argument a struct's buffer, or the value itself
 * @returns the ioctl's own result, or -errno
 */
export function tryCall(fd: number, name: IoctlName, argument: Buffer | number): number {
  return typeof argument === 'number'
    ? foreign().ioctlValue(fd, IOCTL[name], argument)
    : foreign().ioctlPointer(fd, IOCTL[name], argument);
}

/**
 * Makes the ioctl, for a caller who has no use for the errno.
 * @returns the ioctl's own result
 * @throws VfioError with the ioctl's name
 */
export function call(
  file: OpenFile,
  operation: string,
  name: IoctlName,
  argument: Buffer | number,
): number {
  const result = tryCall(file.fd, name, argument);
  const cure = result === -ERRNO.EAGAIN ? `: ${HELD_BY_HOST}` : '';
  if (result < 0) throw new VfioError(operation, -result, file.path, `${name}${cure}`);
  return result;
}
