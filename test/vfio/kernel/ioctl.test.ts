// The ABI written out again: request numbers, sizes and offsets as literals (docs/82599-vf.md sec 9.1,
// 9.2, 9.4), and the same from the system's headers through the C compiler, where it has them.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../../src/support/linux.ts';
import {
  GROUP_FLAG,
  IOAS_MAP_FLAG,
  IOCTL,
  IOMMU_CAP,
  IOMMU_INFO_FLAG,
  VFIO_API_VERSION,
  VFIO_TYPE1v2_IOMMU,
} from '../../../src/vfio/kernel/ioctl.ts';
import { SHAPES, type StructName, structType } from '../../../src/vfio/kernel/structs.ts';
import {
  DEVICE_FLAG,
  DMA_MAP_FLAG,
  DMA_UNMAP_FLAG,
  IRQ,
  IRQ_ACTION,
  IRQ_DATA,
  IRQ_FLAG,
  PCI_IRQS,
  PCI_REGIONS,
  REGION,
  REGION_CAP,
  REGION_FLAG,
} from '../../../src/vfio/linux-vfio.ts';

const REQUESTS = {
  VFIO_GET_API_VERSION: 0x3b64,
  VFIO_CHECK_EXTENSION: 0x3b65,
  VFIO_SET_IOMMU: 0x3b66,
  VFIO_IOMMU_GET_INFO: 0x3b70,
  VFIO_IOMMU_MAP_DMA: 0x3b71,
  VFIO_IOMMU_UNMAP_DMA: 0x3b72,
  VFIO_GROUP_GET_STATUS: 0x3b67,
  VFIO_GROUP_SET_CONTAINER: 0x3b68,
  VFIO_GROUP_GET_DEVICE_FD: 0x3b6a,
  VFIO_DEVICE_GET_INFO: 0x3b6b,
  VFIO_DEVICE_GET_REGION_INFO: 0x3b6c,
  VFIO_DEVICE_GET_IRQ_INFO: 0x3b6d,
  VFIO_DEVICE_SET_IRQS: 0x3b6e,
  VFIO_DEVICE_RESET: 0x3b6f,
  VFIO_DEVICE_BIND_IOMMUFD: 0x3b76,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0x3b77,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: 0x3b78,
  IOMMU_DESTROY: 0x3b80,
  IOMMU_IOAS_ALLOC: 0x3b81,
  IOMMU_IOAS_IOVA_RANGES: 0x3b84,
  IOMMU_IOAS_MAP: 0x3b85,
  IOMMU_IOAS_UNMAP: 0x3b86,
};

/** Size, then every field's offset. */
const LAYOUTS: Readonly<Record<StructName, readonly [number, Readonly<Record<string, number>>]>> = {
  vfio_group_status: [8, { argsz: 0, flags: 4 }],
  vfio_iommu_type1_info: [24, { argsz: 0, flags: 4, iova_pgsizes: 8, cap_offset: 16 }],
  vfio_iommu_type1_dma_map: [32, { argsz: 0, flags: 4, vaddr: 8, iova: 16, size: 24 }],
  vfio_iommu_type1_dma_unmap: [24, { argsz: 0, flags: 4, iova: 8, size: 16 }],
  vfio_device_info: [20, { argsz: 0, flags: 4, num_regions: 8, num_irqs: 12, cap_offset: 16 }],
  vfio_region_info: [32, { argsz: 0, flags: 4, index: 8, cap_offset: 12, size: 16, offset: 24 }],
  vfio_irq_info: [16, { argsz: 0, flags: 4, index: 8, count: 12 }],
  vfio_irq_set: [20, { argsz: 0, flags: 4, index: 8, start: 12, count: 16 }],
  vfio_info_cap_header: [8, { id: 0, version: 2, next: 4 }],
  vfio_iommu_type1_info_cap_iova_range: [
    16,
    { id: 0, version: 2, next: 4, nr_iovas: 8, reserved: 12 },
  ],
  vfio_iova_range: [16, { start: 0, end: 8 }],
  vfio_iommu_type1_info_dma_avail: [12, { id: 0, version: 2, next: 4, avail: 8 }],
  vfio_region_info_cap_sparse_mmap: [16, { id: 0, version: 2, next: 4, nr_areas: 8, reserved: 12 }],
  vfio_region_sparse_mmap_area: [16, { offset: 0, size: 8 }],
  vfio_device_bind_iommufd: [16, { argsz: 0, flags: 4, iommufd: 8, out_devid: 12 }],
  vfio_device_attach_iommufd_pt: [12, { argsz: 0, flags: 4, pt_id: 8 }],
  vfio_device_detach_iommufd_pt: [8, { argsz: 0, flags: 4 }],
  iommu_destroy: [8, { size: 0, id: 4 }],
  iommu_ioas_alloc: [12, { size: 0, flags: 4, out_ioas_id: 8 }],
  iommu_ioas_iova_ranges: [
    32,
    {
      size: 0,
      ioas_id: 4,
      num_iovas: 8,
      __reserved: 12,
      allowed_iovas: 16,
      out_iova_alignment: 24,
    },
  ],
  iommu_iova_range: [16, { start: 0, last: 8 }],
  iommu_ioas_map: [
    40,
    { size: 0, flags: 4, ioas_id: 8, __reserved: 12, user_va: 16, length: 24, iova: 32 },
  ],
  iommu_ioas_unmap: [24, { size: 0, ioas_id: 4, iova: 8, length: 16 }],
};

const STRUCTS = Object.keys(LAYOUTS) as StructName[];

describe('the ABI in literals', () => {
  it('has these requests and no other', () => {
    expect(IOCTL).toEqual(REQUESTS);
  });

  it('has these constants', () => {
    expect({ VFIO_API_VERSION, VFIO_TYPE1v2_IOMMU }).toEqual({
      VFIO_API_VERSION: 0,
      VFIO_TYPE1v2_IOMMU: 3,
    });
    expect(GROUP_FLAG).toEqual({ VIABLE: 1, CONTAINER_SET: 2 });
    expect(DEVICE_FLAG).toEqual({ RESET: 1, PCI: 2 });
    expect(REGION_FLAG).toEqual({ READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 });
    expect(IOMMU_INFO_FLAG).toEqual({ PGSIZES: 1, CAPS: 2 });
    expect(DMA_MAP_FLAG).toEqual({ READ: 1, WRITE: 2 });
    expect(IOAS_MAP_FLAG).toEqual({ FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 });
    expect(DMA_UNMAP_FLAG).toEqual({ ALL: 2 });
    expect(IRQ_FLAG).toEqual({ EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 });
    expect(IRQ_DATA).toEqual({ NONE: 1, BOOL: 2, EVENTFD: 4 });
    expect(IRQ_ACTION).toEqual({ MASK: 8, UNMASK: 0x10, TRIGGER: 0x20 });
    expect(IOMMU_CAP).toEqual({ IOVA_RANGE: 1, DMA_AVAIL: 3 });
    expect(REGION_CAP).toEqual({ SPARSE_MMAP: 1 });
    expect(REGION).toEqual({ BAR0: 0, BAR3: 3, ROM: 6, CONFIG: 7, VGA: 8 });
    expect(IRQ).toEqual({ INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4 });
    expect([PCI_REGIONS, PCI_IRQS]).toEqual([9, 5]);
  });

  it('knows the structs that are written out here, and no other', () => {
    expect(Object.keys(SHAPES).sort()).toEqual([...STRUCTS].sort());
  });

  it.each(STRUCTS)('lays %s out as C does', (name) => {
    const type = structType(name);
    const fields: Readonly<Record<string, { readonly offset: number }>> = type.fields;
    const offsets = Object.entries(fields).map(([field, { offset }]) => [field, offset]);
    expect([type.size, Object.fromEntries(offsets)]).toEqual(LAYOUTS[name]);
  });
});

/** Constants by the name they have in linux/vfio.h. */
const VFIO_CONSTANTS = {
  VFIO_API_VERSION: 0,
  VFIO_TYPE1v2_IOMMU: 3,
  VFIO_GROUP_FLAGS_VIABLE: 1,
  VFIO_GROUP_FLAGS_CONTAINER_SET: 2,
  VFIO_DEVICE_FLAGS_RESET: 1,
  VFIO_DEVICE_FLAGS_PCI: 2,
  VFIO_REGION_INFO_FLAG_READ: 1,
  VFIO_REGION_INFO_FLAG_WRITE: 2,
  VFIO_REGION_INFO_FLAG_MMAP: 4,
  VFIO_REGION_INFO_FLAG_CAPS: 8,
  VFIO_IOMMU_INFO_PGSIZES: 1,
  VFIO_IOMMU_INFO_CAPS: 2,
  VFIO_DMA_MAP_FLAG_READ: 1,
  VFIO_DMA_MAP_FLAG_WRITE: 2,
  VFIO_DMA_UNMAP_FLAG_ALL: 2,
  VFIO_IRQ_INFO_EVENTFD: 1,
  VFIO_IRQ_INFO_MASKABLE: 2,
  VFIO_IRQ_INFO_AUTOMASKED: 4,
  VFIO_IRQ_INFO_NORESIZE: 8,
  VFIO_IRQ_SET_DATA_NONE: 1,
  VFIO_IRQ_SET_DATA_BOOL: 2,
  VFIO_IRQ_SET_DATA_EVENTFD: 4,
  VFIO_IRQ_SET_ACTION_MASK: 8,
  VFIO_IRQ_SET_ACTION_UNMASK: 0x10,
  VFIO_IRQ_SET_ACTION_TRIGGER: 0x20,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: 1,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: 3,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP: 1,
  VFIO_PCI_BAR0_REGION_INDEX: 0,
  VFIO_PCI_BAR3_REGION_INDEX: 3,
  VFIO_PCI_ROM_REGION_INDEX: 6,
  VFIO_PCI_CONFIG_REGION_INDEX: 7,
  VFIO_PCI_VGA_REGION_INDEX: 8,
  VFIO_PCI_NUM_REGIONS: 9,
  VFIO_PCI_INTX_IRQ_INDEX: 0,
  VFIO_PCI_MSI_IRQ_INDEX: 1,
  VFIO_PCI_MSIX_IRQ_INDEX: 2,
  VFIO_PCI_ERR_IRQ_INDEX: 3,
  VFIO_PCI_REQ_IRQ_INDEX: 4,
  VFIO_PCI_NUM_IRQS: 5,
};
const IOMMUFD_CONSTANTS = {
  IOMMU_IOAS_MAP_FIXED_IOVA: 1,
  IOMMU_IOAS_MAP_WRITEABLE: 2,
  IOMMU_IOAS_MAP_READABLE: 4,
};

/** Of kernels from 6.6 on. */
const isCdev = (name: string) => /iommufd/i.test(name);

const HEADERS = [
  {
    header: 'linux/vfio.h',
    constants: VFIO_CONSTANTS,
    mine: (name: string) => name.toLowerCase().startsWith('vfio') && !isCdev(name),
  },
  {
    header: 'linux/iommufd.h',
    constants: IOMMUFD_CONSTANTS,
    mine: (name: string) => name.toLowerCase().startsWith('iommu'),
  },
];

/** Fields of a capability's header, which C has as one member and we have flat. */
const IN_HEADER = new Set(['id', 'version', 'next']);

function check(name: StructName): string[] {
  const [size, fields] = LAYOUTS[name];
  const flat = 'next' in fields && name !== 'vfio_info_cap_header';
  // Kernels append: theirs may be longer than the first version, which is ours.
  return [
    `CHECK(${size} <= sizeof(struct ${name}))`,
    ...Object.entries(fields).map(([field, offset]) => {
      const member = flat && IN_HEADER.has(field) ? `header.${field}` : field;
      return `CHECK(offsetof(struct ${name}, ${member}) == ${offset})`;
    }),
  ];
}

/** Other headers than the system's: the VM tests fetch newer ones, which have iommufd. */
const include = process.env.IXY_KERNEL_HEADERS ?? '/usr/include';
const searched = [include, join(include, 'x86_64-linux-gnu')].flatMap((path) => ['-isystem', path]);

describe('the ABI in the headers of this system', () => {
  for (const { header, constants, mine } of HEADERS) {
    const missing = existsSync(join(include, header)) ? '' : ` (skipped: no ${header} here)`;
    it.skipIf(missing !== '')(`is the same in ${header}${missing}`, () => {
      const numbers = [
        ...Object.entries(REQUESTS).filter(([name]) => mine(name)),
        ...Object.entries(constants),
      ];
      const lines = [
        `#include <stddef.h>\n#include <errno.h>\n#include <${header}>`,
        '#define CHECK(what) _Static_assert(what, #what);',
        ...numbers.map(([name, value]) => `CHECK(${name} == ${value})`),
        ...Object.entries(ERRNO).map(([name, value]) => `CHECK(${name} == ${value})`),
        ...STRUCTS.filter(mine).flatMap(check),
        '#ifdef VFIO_DEVICE_BIND_IOMMUFD',
        ...STRUCTS.filter(isCdev).flatMap(check),
        ...Object.entries(REQUESTS)
          .filter(([name]) => isCdev(name))
          .map(([name, value]) => `CHECK(${name} == ${value})`),
        '#endif',
      ];
      const folder = mkdtempSync(join(tmpdir(), 'ixy-abi-'));
      try {
        writeFileSync(join(folder, 'abi.c'), `${lines.join('\n')}\n`);
        const args = ['-std=c11', '-fsyntax-only', ...searched, 'abi.c'];
        execFileSync('cc', args, { cwd: folder, stdio: 'pipe' });
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
