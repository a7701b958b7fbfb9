// The DMA mappings of one IOMMU address space (a container, or an IOAS), which several devices of
// this process share: every one of them asks for the same arena chunks at the same IOVAs, the kernel
// is told once, and the mapping goes with the last device that asked for it. Which device asked for
// what is kept by the devices themselves.

import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { DmaMapping } from '../device.ts';
import { notMapped } from './advice.ts';

/** The two calls that an address space is made of. */
export interface IommuSpace {
  readonly path: string;
  /** @returns 0, or -errno */
  map(mapping: DmaMapping): number;
  /** @returns bytes taken back, or -errno */
  unmap(iova: number, sizeBytes: number): number;
  /** Mappings it has room for now; -1 where it does not say. */
  room(): number;
}

interface Entry {
  readonly sizeBytes: number;
  readonly address: number;
  users: number;
}

/** Who uses which mapping of one IOMMU address space. */
export class SharedMappings {
  private readonly space: IommuSpace;
  private readonly entries = new Map<number, Entry>();

  constructor(space: IommuSpace) {
    this.space = space;
  }

  /**
   * Maps, or counts one more user of what is mapped.
   * @throws VfioError EEXIST where it overlaps something else; as the kernel says
   */
  acquire(mapping: DmaMapping): void {
    const { iova, sizeBytes, address } = mapping;
    const same = this.entries.get(iova);
    if (same !== undefined && same.sizeBytes === sizeBytes && same.address === address) {
      same.users++;
      return;
    }
    const errno = this.overlaps(iova, sizeBytes) ? ERRNO.EEXIST : -this.space.map(mapping);
    if (errno > 0) throw notMapped(this.space, errno, mapping, this.now());
    this.entries.set(iova, { sizeBytes, address, users: 1 });
  }

  /**
   * Ends what acquire began.
   * @throws VfioError where the kernel does not take the mapping back, whole
   */
  release(iova: number, sizeBytes: number): void {
    const entry = this.entries.get(iova);
    if (entry === undefined || entry.sizeBytes !== sizeBytes) return;
    if (entry.users > 1) {
      entry.users--;
      return;
    }
    const result = this.space.unmap(iova, sizeBytes);
    if (result !== sizeBytes) {
      const detail = `expected ${sizeBytes} bytes at IOVA 0x${iova.toString(16)} taken back`;
      throw new VfioError('unmap DMA', result < 0 ? -result : 0, this.space.path, detail);
    }
    this.entries.delete(iova);
  }

  private now(): { readonly bytes: number; readonly mappings: number } {
    let bytes = 0;
    for (const entry of this.entries.values()) bytes += entry.sizeBytes;
    return { bytes, mappings: this.entries.size };
  }

  private overlaps(iova: number, sizeBytes: number): boolean {
    for (const [first, entry] of this.entries) {
      if (iova < first + entry.sizeBytes && first < iova + sizeBytes) return true;
    }
    return false;
  }
}
