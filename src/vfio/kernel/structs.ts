// The kernel's VFIO and IOMMUFD structures, in the spelling of linux/vfio.h and linux/iommufd.h.
// iommufd's device structures stop where their first version stopped: every kernel takes the
// smallest size, and an older one refuses a larger (docs/82599-vf.md sec 9.4). Headers of capabilities are
// written out flat, and what follows a struct in memory is a struct of its own.

import { type FieldValues, foreign, type Shape, type StructType } from './ffi.ts';

const CAP_HEADER = { id: 'uint16', version: 'uint16', next: 'uint32' } as const;

/** Every struct by its C name: fields in order. */
export const SHAPES = {
  vfio_group_status: { argsz: 'uint32', flags: 'uint32' },
  vfio_iommu_type1_info: {
    argsz: 'uint32',
    flags: 'uint32',
    iova_pgsizes: 'uint64',
    cap_offset: 'uint32',
  },
  vfio_iommu_type1_dma_map: {
    argsz: 'uint32',
    flags: 'uint32',
    vaddr: 'uint64',
    iova: 'uint64',
    size: 'uint64',
  },
  vfio_iommu_type1_dma_unmap: {
    argsz: 'uint32',
    flags: 'uint32',
    iova: 'uint64',
    size: 'uint64',
  },
  vfio_device_info: {
    argsz: 'uint32',
    flags: 'uint32',
    num_regions: 'uint32',
    num_irqs: 'uint32',
    cap_offset: 'uint32',
  },
  vfio_region_info: {
    argsz: 'uint32',
    flags: 'uint32',
    index: 'uint32',
    cap_offset: 'uint32',
    size: 'uint64',
    offset: 'uint64',
  },
  vfio_irq_info: { argsz: 'uint32', flags: 'uint32', index: 'uint32', count: 'uint32' },
  /** Its data, one s32 a vector, follows. */
  vfio_irq_set: {
    argsz: 'uint32',
    flags: 'uint32',
    index: 'uint32',
    start: 'uint32',
    count: 'uint32',
  },
  vfio_info_cap_header: CAP_HEADER,
  vfio_iommu_type1_info_cap_iova_range: { ...CAP_HEADER, nr_iovas: 'uint32', reserved: 'uint32' },
  /** `end` is inclusive. */
  vfio_iova_range: { start: 'uint64', end: 'uint64' },
  vfio_iommu_type1_info_dma_avail: { ...CAP_HEADER, avail: 'uint32' },
  vfio_region_info_cap_sparse_mmap: { ...CAP_HEADER, nr_areas: 'uint32', reserved: 'uint32' },
  vfio_region_sparse_mmap_area: { offset: 'uint64', size: 'uint64' },
  vfio_device_bind_iommufd: {
    argsz: 'uint32',
    flags: 'uint32',
    iommufd: 'int32',
    out_devid: 'uint32',
  },
  vfio_device_attach_iommufd_pt: { argsz: 'uint32', flags: 'uint32', pt_id: 'uint32' },
  vfio_device_detach_iommufd_pt: { argsz: 'uint32', flags: 'uint32' },
  iommu_destroy: { size: 'uint32', id: 'uint32' },
  iommu_ioas_alloc: { size: 'uint32', flags: 'uint32', out_ioas_id: 'uint32' },
  iommu_ioas_iova_ranges: {
    size: 'uint32',
    ioas_id: 'uint32',
    num_iovas: 'uint32',
    __reserved: 'uint32',
    allowed_iovas: 'uint64',
    out_iova_alignment: 'uint64',
  },
  /** `last` is inclusive. */
  iommu_iova_range: { start: 'uint64', last: 'uint64' },
  iommu_ioas_map: {
    size: 'uint32',
    flags: 'uint32',
    ioas_id: 'uint32',
    __reserved: 'uint32',
    user_va: 'uint64',
    length: 'uint64',
    iova: 'uint64',
  },
  iommu_ioas_unmap: { size: 'uint32', ioas_id: 'uint32', iova: 'uint64', length: 'uint64' },
} as const satisfies Readonly<Record<string, Shape>>;

export type StructName = keyof typeof SHAPES;
type FieldsOf<N extends StructName> = FieldValues<(typeof SHAPES)[N]>;

/** A struct in memory: `fields` reads and writes `buffer`, which may be longer than the struct. */
export interface Allocated<N extends StructName> {
  readonly fields: FieldsOf<N>;
  readonly buffer: Buffer;
}

const types = new Map<StructName, StructType<Shape>>();

/** The struct's type as ref-struct-di lays it out. */
export function structType<N extends StructName>(name: N): StructType<(typeof SHAPES)[N]> {
  let type = types.get(name);
  if (type === undefined) {
    type = foreign().struct<Shape>(SHAPES[name]);
    types.set(name, type);
  }
  return type as unknown as StructType<(typeof SHAPES)[N]>;
}

/**
 * Makes a zeroed struct; `argsz` or `size`, where it comes first, says how long the buffer is.
 * @param extraBytes room behind it, counted in argsz
 */
export function allocate<N extends StructName>(
  name: N,
  values: Partial<FieldsOf<N>> = {},
  extraBytes = 0,
): Allocated<N> {
  const type = structType(name);
  const buffer = Buffer.alloc(type.size + extraBytes);
  const fields = new type(buffer);
  const first = Object.keys(SHAPES[name])[0];
  if (first === 'argsz' || first === 'size') buffer.writeUInt32LE(buffer.length, 0);
  Object.assign(fields, values);
  return { fields, buffer };
}

/**
 * The struct that lies at `offset` of a buffer.
 * @returns undefined where it does not fit
 */
export function structAt<N extends StructName>(
  name: N,
  buffer: Buffer,
  offset: number,
): FieldsOf<N> | undefined {
  const type = structType(name);
  if (offset + type.size > buffer.length) return undefined;
  return new type(buffer.subarray(offset, offset + type.size));
}

/** A u64 field as a number; what is beyond 2**53 - 1 becomes that, which no IOVA or size of ours reaches. */
export function exactU64(value: number | string): number {
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}
