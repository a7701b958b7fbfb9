// The part of linux/vfio.h that both backends speak. A vfio-user server is asked with the kernel's
// own flags and indices, so they stand here once. What only the kernel has is in kernel/ioctl.ts.

/** What VFIO_DEVICE_GET_INFO says of a device. */
export const DEVICE_FLAG = { RESET: 0x1, PCI: 0x2 } as const;
/** What VFIO_DEVICE_GET_REGION_INFO says of a region. */
export const REGION_FLAG = { READ: 0x1, WRITE: 0x2, MMAP: 0x4, CAPS: 0x8 } as const;
/** What VFIO_DEVICE_GET_IRQ_INFO says of a type of interrupt. */
export const IRQ_FLAG = { EVENTFD: 0x1, MASKABLE: 0x2, AUTOMASKED: 0x4, NORESIZE: 0x8 } as const;

/** Regions of a PCI device by index, and how many there are. */
export const REGION = { BAR0: 0, BAR3: 3, ROM: 6, CONFIG: 7, VGA: 8 } as const;
export const PCI_REGIONS = 9;
/** Types of interrupt of a PCI device by index, and how many there are. */
export const IRQ = { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4 } as const;
export const PCI_IRQS = 5;

/** Capabilities of a region. */
export const REGION_CAP = { SPARSE_MMAP: 1 } as const;

/** What VFIO_DEVICE_SET_IRQS carries; exactly one. */
export const IRQ_DATA = { NONE: 0x1, BOOL: 0x2, EVENTFD: 0x4 } as const;
/** What VFIO_DEVICE_SET_IRQS is to do; exactly one. */
export const IRQ_ACTION = { MASK: 0x8, UNMASK: 0x10, TRIGGER: 0x20 } as const;

/** What a device may do with mapped memory. */
export const DMA_MAP_FLAG = { READ: 0x1, WRITE: 0x2 } as const;
/** ALL takes back every mapping at once; the dirty bitmap, 0x1, is not used here. */
export const DMA_UNMAP_FLAG = { ALL: 0x2 } as const;
