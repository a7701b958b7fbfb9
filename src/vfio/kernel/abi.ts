// Request numbers, flags and indices of the kernel's VFIO and IOMMUFD ABI on x86-64. Source:
// linux/vfio.h and linux/iommufd.h (82599-vf.md 9.1, 9.2, 9.4). Every request is 0x3b00 + n with no
// size in it; 0x3b70 and up mean different things on container, device and iommufd fds. Structures
// are in structs.ts. A test holds all of it against literals, and against the headers where they are.

/** ioctl requests, named as in the headers. */
export const REQUEST = {
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

export type RequestName = keyof typeof REQUEST;

/** What GET_API_VERSION answers. */
export const VFIO_API_VERSION = 0;
/** For CHECK_EXTENSION and SET_IOMMU. */
export const VFIO_TYPE1v2_IOMMU = 3;

export const GROUP_FLAG = { VIABLE: 1, CONTAINER_SET: 2 } as const;
export const DEVICE_FLAG = { RESET: 1, PCI: 2 } as const;
export const REGION_FLAG = { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 } as const;
export const IOMMU_INFO_FLAG = { PGSIZES: 1, CAPS: 2 } as const;
export const DMA_MAP_FLAG = { READ: 1, WRITE: 2 } as const;
export const IOAS_MAP_FLAG = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;
export const IRQ_SET_FLAG = { DATA_NONE: 0x1, DATA_EVENTFD: 0x4, ACTION_TRIGGER: 0x20 } as const;

/** Capability ids; those of regions and of the IOMMU's info are numbered apart. */
export const IOMMU_CAP = { IOVA_RANGE: 1, DMA_AVAIL: 3 } as const;
export const REGION_CAP = { SPARSE_MMAP: 1 } as const;

/** Regions and interrupt types of a PCI device. */
export const REGION = { BAR0: 0, CONFIG: 7 } as const;
export const IRQ = { MSIX: 2 } as const;

/** errno values that get words of their own; asm-generic/errno*.h. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  ENOSPC: 28,
  EPROTO: 71,
  EBADFD: 77,
  EMSGSIZE: 90,
} as const;
