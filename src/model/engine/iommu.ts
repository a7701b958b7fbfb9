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

/** A piece [start, end) of IOVA space. */
interface Piece {
  start: number;
  end: number;
  /** Heap byte offset, or -1 where no memory is behind it. */
  heap: number;
  rights: number;
}

/** The maps of one VF. Both lists are sorted, their pieces disjoint. */
export class Iommu {
  private readonly mappings: Piece[] = [];
  private readonly ranges: Piece[] = [];

  /**
   * After a `translate` that succeeded: the window around it that has the same high word, as int32 values:
   * low word of its first IOVA, bytes (at most 1 GiB), heap byte offset of its start.
   */
  windowStart = 0;
  windowBytes = 0;
  windowBase = 0;

  /** Mappings held. */
  get count(): number {
    return this.mappings.length;
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
    if (i < this.mappings.length && this.mappings[i].start < end) return EEXIST;
    const rights = heapOffset === -1 ? 0 : (readable ? READ : 0) | (writable ? WRITE : 0);
    const piece = { start: iova, end, heap: heapOffset, rights };
    this.mappings.splice(i, 0, piece);
    this.join({ ...piece });
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
    const { mappings } = this;
    const first = firstEndingAfter(mappings, iova);
    let last = first;
    let bytes = 0;
    for (; last < mappings.length && mappings[last].start < end; last++) {
      if (mappings[last].start < iova || mappings[last].end > end) return EINVAL;
      bytes += mappings[last].end - mappings[last].start;
    }
    if (last === first) return 0;
    mappings.splice(first, last - first);
    this.cut(iova, end);
    return bytes;
  }

  /** Drops all mappings. */
  clear(): void {
    this.mappings.length = 0;
    this.ranges.length = 0;
  }

  /**
   * Where [IOVA, IOVA + sizeBytes) lies in the heap, if in one piece and with the right asked for. Sets the window fields.
   * @param low low 32 bits of the IOVA, any sign
   * @param high high 32 bits, any sign
   * @returns heap byte offset (0 to 2^32 - 1), or -1
   */
  translate(low: number, high: number, sizeBytes: number, write: boolean): number {
    const iova = (high >>> 0) * TWO_32 + (low >>> 0);
    const i = firstEndingAfter(this.ranges, iova);
    if (i === this.ranges.length || iova >= IOVA_LIMIT) return -1;
    const { start, end, heap, rights } = this.ranges[i];
    if (start > iova || iova + sizeBytes > end) return -1;
    if ((rights & (write ? WRITE : READ)) === 0) return -1;
    const block = Math.floor(iova / WINDOW_BYTES) * WINDOW_BYTES;
    const from = Math.max(start, block);
    const to = Math.min(end, block + WINDOW_BYTES);
    this.windowStart = from | 0;
    this.windowBytes = to - from;
    this.windowBase = (heap + (from - start)) | 0;
    return heap + (iova - start);
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
    const needed = write ? WRITE : READ;
    let left = sizeBytes;
    let n = 0;
    for (let i = firstEndingAfter(this.ranges, iova); left > 0; i++) {
      if (i >= this.ranges.length) return 0;
      const { start, end, heap, rights } = this.ranges[i];
      if (start > iova || (rights & needed) === 0) return 0;
      const bytes = Math.min(left, end - iova);
      offsets[n] = heap + (iova - start);
      lengths[n] = bytes;
      n++;
      iova += bytes;
      left -= bytes;
    }
    return n;
  }

  /** Adds a mapping to the ranges, as part of a neighbour where it continues one. */
  private join(piece: Piece): void {
    const i = firstEndingAfter(this.ranges, piece.start);
    this.ranges.splice(i, 0, piece);
    this.joinNext(i);
    if (i > 0) this.joinNext(i - 1);
  }

  /** Makes range i and the one after it one, where the second continues the first. */
  private joinNext(i: number): void {
    const range = this.ranges[i];
    const next = this.ranges[i + 1];
    if (next === undefined || next.start !== range.end || next.rights !== range.rights) return;
    const continued = range.heap + (range.end - range.start) === next.heap;
    if (range.rights !== 0 && !continued) return;
    range.end = next.end;
    this.ranges.splice(i + 1, 1);
  }

  /** Takes [from, to) out of the ranges. */
  private cut(from: number, to: number): void {
    const { ranges } = this;
    let i = firstEndingAfter(ranges, from);
    if (i < ranges.length && ranges[i].start < from) {
      ranges.splice(i + 1, 0, startingAt(ranges[i], from));
      ranges[i].end = from;
      i++;
    }
    let last = i;
    while (last < ranges.length && ranges[last].end <= to) last++;
    ranges.splice(i, last - i);
    if (i < ranges.length && ranges[i].start < to) ranges[i] = startingAt(ranges[i], to);
  }
}

/** The part of a piece from `start` on. */
function startingAt(piece: Piece, start: number): Piece {
  const heap = piece.heap === -1 ? -1 : piece.heap + (start - piece.start);
  return { ...piece, start, heap };
}

function aligned(value: number): boolean {
  return value >= 0 && value % PAGE === 0;
}

/** Index of the first piece whose end is above `iova`; the number of pieces where there is none. */
function firstEndingAfter(pieces: readonly Piece[], iova: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pieces[middle].end > iova) high = middle;
    else low = middle + 1;
  }
  return low;
}
