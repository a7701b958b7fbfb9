// The kernel's VFIO and IOMMUFD structures, in the spelling of linux/vfio.h and linux/iommufd.h.
// iommufd's device structures stop where their first version stopped: every kernel takes the
// smallest size, and an older one refuses a larger (docs/82599-vf.md sec 9.4). Headers of capabilities are
// written out flat, and what follows a struct in memory is a struct of its own.

import { type FieldType, type FieldValues, foreign, type Shape, type StructType } from './ffi.ts';

/** Fields of one type, in order. */
const u32 = <N extends string>(...names: N[]) => fields('uint32', ...names);
const u64 = <N extends string>(...names: N[]) => fields('uint64', ...names);

function fields<T extends FieldType, N extends string>(type: T, ...names: N[]): Record<N, T> {
  return Object.fromEntries(names.map((name) => [name, type])) as Record<N, T>;
}

const CAP_HEADER = { id: 'uint16', version: 'uint16', next: 'uint32' } as const;

/** Every struct by its C name: fields in order. */
export const SHAPES = {
  vfio_group_status: u32('argsz', 'flags'),
  vfio_iommu_type1_info: { ...u32('argsz', 'flags'), ...u64('iova_pgsizes'), ...u32('cap_offset') },
  vfio_iommu_type1_dma_map: { ...u32('argsz', 'flags'), ...u64('vaddr', 'iova', 'size') },
  vfio_iommu_type1_dma_unmap: { ...u32('argsz', 'flags'), ...u64('iova', 'size') },
  vfio_device_info: u32('argsz', 'flags', 'num_regions', 'num_irqs', 'cap_offset'),
  vfio_region_info: { ...u32('argsz', 'flags', 'index', 'cap_offset'), ...u64('size', 'offset') },
  vfio_irq_info: u32('argsz', 'flags', 'index', 'count'),
  /** Its data, one s32 a vector, follows. */
  vfio_irq_set: u32('argsz', 'flags', 'index', 'start', 'count'),
  vfio_info_cap_header: CAP_HEADER,
  vfio_iommu_type1_info_cap_iova_range: { ...CAP_HEADER, ...u32('nr_iovas', 'reserved') },
  /** `end` is inclusive. */
  vfio_iova_range: u64('start', 'end'),
  vfio_iommu_type1_info_dma_avail: { ...CAP_HEADER, ...u32('avail') },
  vfio_region_info_cap_sparse_mmap: { ...CAP_HEADER, ...u32('nr_areas', 'reserved') },
  vfio_region_sparse_mmap_area: u64('offset', 'size'),
  vfio_device_bind_iommufd: {
    ...u32('argsz', 'flags'),
    ...fields('int32', 'iommufd'),
    ...u32('out_devid'),
  },
  vfio_device_attach_iommufd_pt: u32('argsz', 'flags', 'pt_id'),
  vfio_device_detach_iommufd_pt: u32('argsz', 'flags'),
  iommu_destroy: u32('size', 'id'),
  iommu_ioas_alloc: u32('size', 'flags', 'out_ioas_id'),
  iommu_ioas_iova_ranges: {
    ...u32('size', 'ioas_id', 'num_iovas', '__reserved'),
    ...u64('allowed_iovas', 'out_iova_alignment'),
  },
  /** `last` is inclusive. */
  iommu_iova_range: u64('start', 'last'),
  iommu_ioas_map: {
    ...u32('size', 'flags', 'ioas_id', '__reserved'),
    ...u64('user_va', 'length', 'iova'),
  },
  iommu_ioas_unmap: { ...u32('size', 'ioas_id'), ...u64('iova', 'length') },
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
