// Capability chains behind vfio_region_info and vfio_iommu_type1_info: linked by offsets from the
// struct's start, each with an id (linux/vfio.h, "vfio_info_cap_header"). Asking for them takes two
// calls: the kernel says in argsz how much room it needs. A chain that leaves its buffer or runs
// back is refused, so that a wrong driver cannot hang us.

import type { IovaRange } from '../../memory/iova.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { MmapArea } from '../bar-pages.ts';
import { REGION_CAP, REGION_FLAG } from '../linux-vfio.ts';
import { call, IOMMU_CAP, IOMMU_INFO_FLAG, type OpenFile } from './ioctl.ts';
import { type Allocated, allocate, exactU64, structAt, structType } from './structs.ts';

/** What a container's IOMMU says of itself. */
export interface IommuFacts {
  readonly iovaRanges: readonly IovaRange[];
  /** DMA mappings that can still be made; -1 where the kernel (before 5.10) does not say. */
  readonly mappingsLeft: number;
}

/** A region of a device fd. */
export interface RegionFacts {
  readonly sizeBytes: number;
  /** Where it starts in the device fd. */
  readonly fileOffset: number;
  readonly flags: number;
  /** What mmap takes of it: all, or the areas of its sparse-mmap capability; empty where none. */
  readonly areas: readonly MmapArea[];
}

const MAX_HOPS = 64;
/** A reply larger than this is no reply. */
const MAX_REPLY = 1 << 20;

/** Kernels before 5.4 name no ranges: what every x86 IOMMU translates, without the MSI window. */
const ASSUMED_RANGES: readonly IovaRange[] = [
  { first: 0, last: 0xfedfffff },
  { first: 0xfef00000, last: 2 ** 39 - 1 },
];

/**
 * VFIO_IOMMU_GET_INFO.
 * @throws VfioError
 */
export function iommuFacts(container: OpenFile): IommuFacts {
  const operation = 'query IOMMU';
  const name = 'vfio_iommu_type1_info';
  const reply = askTwice(name, (info) =>
    call(container, operation, 'VFIO_IOMMU_GET_INFO', info.buffer),
  );
  const has = (reply.fields.flags & IOMMU_INFO_FLAG.CAPS) !== 0;
  const chain = has ? capabilityChain(reply.buffer, reply.fields.cap_offset, container.path) : [];
  let iovaRanges = ASSUMED_RANGES;
  let mappingsLeft = -1;
  for (const { id, offset } of chain) {
    if (id === IOMMU_CAP.IOVA_RANGE) {
      const head = structAt('vfio_iommu_type1_info_cap_iova_range', reply.buffer, offset);
      const at = offset + structType('vfio_iommu_type1_info_cap_iova_range').size;
      iovaRanges = readPairs(reply.buffer, at, head?.nr_iovas, container.path).map(
        ([first, last]) => ({ first, last }),
      );
    } else if (id === IOMMU_CAP.DMA_AVAIL) {
      mappingsLeft = structAt('vfio_iommu_type1_info_dma_avail', reply.buffer, offset)?.avail ?? -1;
    }
  }
  return { iovaRanges, mappingsLeft };
}

/**
 * VFIO_DEVICE_GET_REGION_INFO.
 * @throws VfioError
 */
export function regionFacts(device: OpenFile, index: number): RegionFacts {
  const reply = askTwice(
    'vfio_region_info',
    (info) => call(device, `query region ${index}`, 'VFIO_DEVICE_GET_REGION_INFO', info.buffer),
    { index },
  );
  const { flags, cap_offset } = reply.fields;
  const sizeBytes = exactU64(reply.fields.size);
  const has = (flags & REGION_FLAG.CAPS) !== 0;
  const chain = has ? capabilityChain(reply.buffer, cap_offset, device.path) : [];
  const sparse = chain.find((capability) => capability.id === REGION_CAP.SPARSE_MMAP);
  let areas: readonly MmapArea[] = [{ offset: 0, sizeBytes }];
  if (sparse !== undefined) {
    const head = structAt('vfio_region_info_cap_sparse_mmap', reply.buffer, sparse.offset);
    const at = sparse.offset + structType('vfio_region_info_cap_sparse_mmap').size;
    areas = readPairs(reply.buffer, at, head?.nr_areas, device.path).map(([offset, size]) => ({
      offset,
      sizeBytes: size,
    }));
  }
  if ((flags & REGION_FLAG.MMAP) === 0) areas = [];
  return { sizeBytes, fileOffset: exactU64(reply.fields.offset), flags, areas };
}

/** Calls with the bare struct, and again with as much room as the kernel then says it needs. */
function askTwice<N extends 'vfio_iommu_type1_info' | 'vfio_region_info'>(
  name: N,
  ask: (info: Allocated<N>) => void,
  values: Partial<Allocated<N>['fields']> = {},
): Allocated<N> {
  const first = allocate(name, values);
  ask(first);
  const needed = first.buffer.readUInt32LE(0);
  if (needed <= first.buffer.length || needed > MAX_REPLY) return first;
  const second = allocate(name, values, needed - first.buffer.length);
  ask(second);
  return second;
}

function capabilityChain(
  buffer: Buffer,
  start: number,
  path: string,
): readonly { readonly id: number; readonly offset: number }[] {
  const chain: { id: number; offset: number }[] = [];
  let offset = start;
  while (offset !== 0) {
    const header = structAt('vfio_info_cap_header', buffer, offset);
    if (header === undefined || chain.length === MAX_HOPS)
      throw malformed(path, `offset ${offset}`);
    chain.push({ id: header.id, offset });
    offset = header.next;
  }
  return chain;
}

/** `count` pairs of u64: vfio_iova_range and vfio_region_sparse_mmap_area look alike. */
function readPairs(
  buffer: Buffer,
  start: number,
  count: number | undefined,
  path: string,
): readonly (readonly [number, number])[] {
  const { size } = structType('vfio_iova_range');
  if (count === undefined || start + count * size > buffer.length) {
    throw malformed(path, `${count ?? 'no'} entries at ${start}`);
  }
  return Array.from({ length: count }, (_, i) => {
    const pair = structAt('vfio_iova_range', buffer, start + i * size);
    return [exactU64(pair?.start ?? 0), exactU64(pair?.end ?? 0)] as const;
  });
}

function malformed(path: string, what: string): VfioError {
  const detail = `capabilities: expected a chain inside the kernel's reply, got ${what}`;
  return new VfioError('read capabilities', ERRNO.EPROTO, path, detail);
}
