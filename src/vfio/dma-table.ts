// The mappings a device has, so that a bad map or unmap is refused here, with the errno the
// contract in device.ts names, whatever the server thinks of it: servers differ in whether they
// forgive an unmap of nothing or of a part. Sends nothing.

import { formatRanges, type IovaRange, rangesHold } from '../memory/iova.ts';
import { VfioError } from '../support/errors.ts';
import { ERRNO } from '../support/linux.ts';
import type { DmaMapping } from './device.ts';

const PAGE = 4096;

/** What one device has mapped, by IOVA. */
export class DmaTable {
  private readonly sizes = new Map<number, number>();
  private readonly limit: number;
  private readonly ranges: readonly IovaRange[];
  private readonly path: string;

  /** @param limit mappings that may exist at once */
  constructor(limit: number, ranges: readonly IovaRange[], path: string) {
    this.limit = limit;
    this.ranges = ranges;
    this.path = path;
  }

  /** Mappings as [iova, sizeBytes], oldest first. */
  entries(): readonly (readonly [number, number])[] {
    return [...this.sizes];
  }

  /** @throws VfioError where `mapping` cannot be added */
  checkMap(mapping: DmaMapping): void {
    const { iova, sizeBytes, fd, fdOffset } = mapping;
    if (!isPages(iova) || !isPages(sizeBytes) || sizeBytes === 0 || !isPages(fdOffset) || fd < 0) {
      const detail = `expected multiples of 4096 and an fd, got IOVA ${iova}, ${sizeBytes} bytes, fd ${fd} offset ${fdOffset}`;
      throw new VfioError('map DMA', ERRNO.EINVAL, this.path, detail);
    }
    if (!rangesHold(this.ranges, iova, sizeBytes)) {
      const detail = `expected ${span(iova, sizeBytes)} inside ${formatRanges(this.ranges)}`;
      throw new VfioError('map DMA', ERRNO.EINVAL, this.path, detail);
    }
    const other = this.overlapping(iova, sizeBytes);
    if (other !== null) {
      const detail = `${span(iova, sizeBytes)} overlaps the mapping ${span(...other)}`;
      throw new VfioError('map DMA', ERRNO.EEXIST, this.path, detail);
    }
    if (this.sizes.size >= this.limit) {
      const detail = `expected at most ${this.limit} mappings, which is what the server takes`;
      throw new VfioError('map DMA', ERRNO.ENOSPC, this.path, detail);
    }
  }

  add(iova: number, sizeBytes: number): void {
    this.sizes.set(iova, sizeBytes);
  }

  /** @throws VfioError unless [iova, iova + sizeBytes) is a mapping, whole */
  checkUnmap(iova: number, sizeBytes: number): void {
    if (this.sizes.get(iova) === sizeBytes) return;
    const other = this.overlapping(iova, sizeBytes);
    if (other === null) {
      const detail = `nothing is mapped at ${span(iova, sizeBytes)}`;
      throw new VfioError('unmap DMA', ERRNO.ENOENT, this.path, detail);
    }
    const detail = `expected a whole mapping, such as ${span(...other)}, got ${span(iova, sizeBytes)}`;
    throw new VfioError('unmap DMA', ERRNO.EINVAL, this.path, detail);
  }

  remove(iova: number): void {
    this.sizes.delete(iova);
  }

  private overlapping(iova: number, sizeBytes: number): readonly [number, number] | null {
    for (const entry of this.sizes) {
      if (iova < entry[0] + entry[1] && entry[0] < iova + sizeBytes) return entry;
    }
    return null;
  }
}

function isPages(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value % PAGE === 0;
}

function span(iova: number, sizeBytes: number): string {
  return `0x${iova.toString(16)}-0x${(iova + sizeBytes - 1).toString(16)}`;
}
