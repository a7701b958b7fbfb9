// The DMA mappings of one client: DMA_MAP and DMA_UNMAP with the semantics of vfio type1
// (linux vfio_iommu_type1.c), carried out on the VF's IOMMU and on the client's files. QEMU
// unmaps the whole address space in large chunks, and again what is unmapped already.

import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';
import type { DmaMapCommand, DmaUnmapCommand } from '../../vfio/user/protocol.ts';
import type { VfFunction } from '../types.ts';
import type { ClientFile, ClientFiles } from './client-files.ts';

/** Files without a mapping that are kept mapped, since QEMU unmaps all memory just to map it again. */
const IDLE_FILES = 4;
const ALL_BYTES = 2 ** 64;

interface Mapping {
  readonly sizeBytes: number;
  readonly file: ClientFile | null;
}

/** The DMA mappings of one client. Empty again after `clear`. */
export class ClientDma {
  private readonly target: VfFunction;
  private readonly files: ClientFiles;
  private readonly limit: number;
  private readonly mappings = new Map<number, Mapping>();
  /** Mappings of each file held; those with none in the order in which they fell idle. */
  private readonly held = new Map<ClientFile, number>();

  /** @param limit mappings that may exist at once */
  constructor(target: VfFunction, files: ClientFiles, limit: number) {
    this.target = target;
    this.files = files;
    this.limit = limit;
  }

  /** True where memory of the client lies in the file. */
  uses(file: ClientFile): boolean {
    return this.held.has(file);
  }

  /**
   * @param fd -1 for memory that cannot be mapped: any access is a fault. This object's from here on.
   * @returns 0, or -errno: -17 overlap, -22 fd that cannot be mapped or too small a file, -12 no address
   *   space left, -28 too many mappings
   */
  map(command: DmaMapCommand, fd: number): number {
    const { iova, sizeBytes, readable, writable } = command;
    if (this.mappings.size >= this.limit) {
      if (fd >= 0) native().close(fd);
      return -ERRNO.ENOSPC;
    }
    if (fd < 0) {
      const result = this.target.dmaMap(iova, sizeBytes, -1, readable, writable);
      if (result === 0) this.mappings.set(iova, { sizeBytes, file: null });
      return result;
    }
    const place = this.files.locate(fd, command.fdOffset, sizeBytes, writable);
    if (typeof place === 'number') {
      // What lies idle takes room; the client is told, and may try again.
      if (place === -ERRNO.ENOMEM) this.dropIdle(0);
      return place;
    }
    const { file, heapOffset } = place;
    const result = this.target.dmaMap(iova, sizeBytes, heapOffset, readable, writable);
    if (result < 0) {
      this.files.settle(file);
      return result;
    }
    this.mappings.set(iova, { sizeBytes, file });
    this.count(file, 1);
    return 0;
  }

  /** @returns 0, also where nothing was mapped; -22 where the range would cut a mapping */
  unmap(command: DmaUnmapCommand): number {
    const iova = command.all ? 0 : command.iova;
    const sizeBytes = command.all ? ALL_BYTES : command.sizeBytes;
    const result = this.target.dmaUnmap(iova, sizeBytes);
    if (result <= 0) return result;
    const exact = this.mappings.get(iova);
    if (exact !== undefined && exact.sizeBytes === sizeBytes) {
      this.forget(iova, exact);
      return 0;
    }
    for (const [start, mapping] of this.mappings) {
      if (start >= iova && start < iova + sizeBytes) this.forget(start, mapping);
    }
    return 0;
  }

  /** Gives all files back. The VF has forgotten its mappings already. */
  clear(): void {
    this.mappings.clear();
    for (const file of this.held.keys()) this.files.release(file);
    this.held.clear();
  }

  private forget(iova: number, mapping: Mapping): void {
    this.mappings.delete(iova);
    if (mapping.file !== null) this.count(mapping.file, -1);
  }

  private count(file: ClientFile, change: 1 | -1): void {
    const before = this.held.get(file);
    if (before === undefined) this.files.hold(file);
    const now = (before ?? 0) + change;
    if (now === 0) this.held.delete(file); // to the end of the order
    this.held.set(file, now);
    if (now === 0) this.dropIdle(IDLE_FILES);
  }

  private dropIdle(keep: number): void {
    const idle = [...this.held].filter(([, mappings]) => mappings === 0);
    for (const [file] of idle.slice(0, Math.max(0, idle.length - keep))) {
      this.held.delete(file);
      this.files.release(file);
    }
  }
}
