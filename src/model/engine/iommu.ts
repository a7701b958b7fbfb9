// The IOMMU in front of one VF: which IOVAs reach the heap, and with which rights.
// Mapping follows vfio type1 version 2 (linux vfio_iommu_type1.c, vfio-user spec). Two
// sorted lists: mappings as they were made, which unmapping goes by, and ranges, in
// which neighbours that are contiguous in IOVA and heap are one, which translation goes
// by. The engine's queues cache the range they hit last, so nothing here is per packet.

const PAGE = 4096;
/** IOVAs stay exact in a double, low bits included. */
const IOVA_LIMIT = 2 ** 52;
const TWO_32 = 2 ** 32;
const EINVAL = -22;
const EEXIST = -17;

const READ = 1;
const WRITE = 2;
/** Longest window handed to a queue's cache: its size stays a positive int32. */
const WINDOW_BYTES = 2 ** 30;

/** Sorted, disjoint [start, end) pieces of IOVA space. Parallel arrays; `heap` is a byte offset, or -1. */
interface Pieces {
  readonly start: number[];
  readonly end: number[];
  readonly heap: number[];
  readonly rights: number[];
}

/** See the head of this file. */
export class Iommu {
  private readonly mappings: Pieces = { start: [], end: [], heap: [], rights: [] };
  private readonly ranges: Pieces = { start: [], end: [], heap: [], rights: [] };

  /**
   * After a `translate` that succeeded: the window around it that has the same high word, as int32 values:
   * low word of its first IOVA, bytes (at most 1 GiB), heap byte offset of its start.
   */
  windowStart = 0;
  windowBytes = 0;
  windowBase = 0;

  /** Mappings held. */
  get count(): number {
    return this.mappings.start.length;
  }

  /**
   * Maps [iova, iova + sizeBytes), multiples of 4096.
   * @param heapOffset where it lies in the heap, a multiple of 4096; -1 for no memory: any access is a fault
   * @returns 0, -17 (EEXIST) on overlap, -22 (EINVAL) misaligned, empty or above 2^52
   */
  map(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number {
    if (!aligned(iova) || !aligned(sizeBytes) || sizeBytes === 0) return EINVAL;
    if (heapOffset !== -1 && !aligned(heapOffset)) return EINVAL;
    const end = iova + sizeBytes;
    if (end > IOVA_LIMIT) return EINVAL;
    const i = firstEndingAfter(this.mappings, iova);
    if (i < this.mappings.start.length && this.mappings.start[i] < end) return EEXIST;
    const rights = heapOffset === -1 ? 0 : (readable ? READ : 0) | (writable ? WRITE : 0);
    insert(this.mappings, i, iova, end, heapOffset, rights);
    this.join(iova, end, heapOffset, rights);
    return 0;
  }

  /**
   * Drops every mapping wholly inside [iova, iova + sizeBytes); succeeds when there is none.
   * @param sizeBytes up to 2^64
   * @returns bytes unmapped, or -22 (EINVAL), with nothing changed, misaligned or where the range would cut a mapping
   */
  unmap(iova: number, sizeBytes: number): number {
    if (!aligned(iova) || !aligned(sizeBytes) || sizeBytes === 0) return EINVAL;
    const end = iova + sizeBytes;
    const { start, end: ends } = this.mappings;
    const first = firstEndingAfter(this.mappings, iova);
    let last = first;
    let bytes = 0;
    while (last < start.length && start[last] < end) {
      if (start[last] < iova || ends[last] > end) return EINVAL;
      bytes += ends[last] - start[last];
      last++;
    }
    if (last === first) return 0;
    removeAt(this.mappings, first, last - first);
    this.cut(iova, end);
    return bytes;
  }

  /** Drops all mappings. */
  clear(): void {
    removeAt(this.mappings, 0, this.mappings.start.length);
    removeAt(this.ranges, 0, this.ranges.start.length);
  }

  /**
   * Where [IOVA, IOVA + sizeBytes) lies in the heap, if in one piece and with the right asked for. Sets the window fields.
   * @param low low 32 bits of the IOVA, any sign
   * @param high high 32 bits, any sign
   * @returns heap byte offset (0 to 2^32 - 1), or -1
   */
  translate(low: number, high: number, sizeBytes: number, write: boolean): number {
    const iova = (high >>> 0) * TWO_32 + (low >>> 0);
    const { start, end, heap, rights } = this.ranges;
    const i = firstEndingAfter(this.ranges, iova);
    if (i === start.length || iova >= IOVA_LIMIT) return -1;
    const rangeStart = start[i];
    const rangeEnd = end[i];
    if (rangeStart > iova || iova + sizeBytes > rangeEnd) return -1;
    if ((rights[i] & (write ? WRITE : READ)) === 0) return -1;
    const block = Math.floor(iova / WINDOW_BYTES) * WINDOW_BYTES;
    const from = Math.max(rangeStart, block);
    const to = Math.min(rangeEnd, block + WINDOW_BYTES);
    this.windowStart = from | 0;
    this.windowBytes = to - from;
    this.windowBase = (heap[i] + (from - rangeStart)) | 0;
    return heap[i] + (iova - rangeStart);
  }

  /**
   * As `translate`, where neighbouring IOVAs may lie apart in the heap.
   * @param offsets receives the heap byte offset of each piece
   * @param lengths receives the bytes of each piece
   * @returns number of pieces, 0 where any byte is not accessible
   */
  split(
    low: number,
    high: number,
    sizeBytes: number,
    write: boolean,
    offsets: number[],
    lengths: number[],
  ): number {
    let iova = (high >>> 0) * TWO_32 + (low >>> 0);
    if (iova + sizeBytes > IOVA_LIMIT) return 0;
    const { start, end, heap, rights } = this.ranges;
    const needed = write ? WRITE : READ;
    let left = sizeBytes;
    let n = 0;
    for (let i = firstEndingAfter(this.ranges, iova); left > 0; i++) {
      if (i >= start.length || start[i] > iova) return 0;
      if ((rights[i] & needed) === 0) return 0;
      const bytes = Math.min(left, end[i] - iova);
      offsets[n] = heap[i] + (iova - start[i]);
      lengths[n] = bytes;
      n++;
      iova += bytes;
      left -= bytes;
    }
    return n;
  }

  /** Adds a mapping to the ranges, as part of a neighbour where it continues one. */
  private join(iova: number, end: number, heapOffset: number, rights: number): void {
    const r = this.ranges;
    let i = firstEndingAfter(r, iova);
    const continues = (k: number, at: number, heapAt: number): boolean =>
      r.end[k] === at &&
      r.rights[k] === rights &&
      (rights === 0 || r.heap[k] + (at - r.start[k]) === heapAt);
    if (i > 0 && continues(i - 1, iova, heapOffset)) {
      i--;
      r.end[i] = end;
    } else {
      insert(r, i, iova, end, heapOffset, rights);
    }
    const next = i + 1;
    if (next < r.start.length && r.start[next] === end && r.rights[next] === rights) {
      if (continues(i, end, r.heap[next])) {
        r.end[i] = r.end[next];
        removeAt(r, next, 1);
      }
    }
  }

  /** Takes [from, to) out of the ranges. */
  private cut(from: number, to: number): void {
    const r = this.ranges;
    let i = firstEndingAfter(r, from);
    if (i < r.start.length && r.start[i] < from) {
      const start = r.start[i];
      const end = r.end[i];
      const heap = r.heap[i];
      r.end[i] = from;
      i++;
      insert(r, i, from, end, heap === -1 ? -1 : heap + (from - start), r.rights[i - 1]);
    }
    let last = i;
    while (last < r.start.length && r.end[last] <= to) last++;
    removeAt(r, i, last - i);
    if (i < r.start.length && r.start[i] < to) {
      if (r.heap[i] !== -1) r.heap[i] = r.heap[i] + (to - r.start[i]);
      r.start[i] = to;
    }
  }
}

function aligned(value: number): boolean {
  return value >= 0 && value % PAGE === 0;
}

/** Index of the first piece whose end is above `iova`; the number of pieces where there is none. */
function firstEndingAfter(pieces: Pieces, iova: number): number {
  const end = pieces.end;
  let low = 0;
  let high = end.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (end[middle] > iova) high = middle;
    else low = middle + 1;
  }
  return low;
}

function insert(
  pieces: Pieces,
  i: number,
  start: number,
  end: number,
  heap: number,
  rights: number,
): void {
  pieces.start.splice(i, 0, start);
  pieces.end.splice(i, 0, end);
  pieces.heap.splice(i, 0, heap);
  pieces.rights.splice(i, 0, rights);
}

function removeAt(pieces: Pieces, i: number, n: number): void {
  pieces.start.splice(i, n);
  pieces.end.splice(i, n);
  pieces.heap.splice(i, n);
  pieces.rights.splice(i, n);
}
