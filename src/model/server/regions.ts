// The regions of one VF as a client sees them: BAR0 (registers), BAR3 (MSI-X table, plain memory,
// since clients keep the table that counts themselves), config space. vfio-user spec, "Region".
// An access is judged before anything of it is done.

import { BAR0_SIZE, PAGE_SIZE } from '../../hw/registers.ts';
import {
  type MmapArea,
  PCI_REGIONS,
  REGION,
  REGION_FLAG,
  type RegionAccess,
  type RegionInfo,
  type RegionWrite,
} from '../../vfio/user/protocol.ts';
import { CONFIG_SIZE, type VfFunction } from '../types.ts';

const BAR3_SIZE = 0x4000;
const READ_WRITE = REGION_FLAG.READ | REGION_FLAG.WRITE;
/** Bytes of each region; those that are not here are empty. */
const SIZES: Readonly<Record<number, number>> = {
  [REGION.BAR0]: BAR0_SIZE,
  [REGION.BAR3]: BAR3_SIZE,
  [REGION.CONFIG]: CONFIG_SIZE,
};
/** Pages 1 and 2: the rings. Page 0 (control, mailbox) and 3 are trapped. */
const SHARED_AREAS: readonly MmapArea[] = [{ offset: PAGE_SIZE, sizeBytes: 2 * PAGE_SIZE }];

/** BAR0, BAR3 and config space of one VF, as reads and writes of bytes. */
export class Regions {
  private readonly target: VfFunction;
  private readonly trapAll: boolean;
  private readonly msix = new Uint8Array(BAR3_SIZE);

  /** @param trapAll share no page of BAR0 */
  constructor(target: VfFunction, trapAll: boolean) {
    this.target = target;
    this.trapAll = trapAll;
  }

  /** @returns the region, or null for an index that no PCI device has. With MMAP set, its file goes along. */
  info(index: number): RegionInfo | null {
    if (index >= PCI_REGIONS) return null;
    const sizeBytes = SIZES[index] ?? 0;
    const shared = index === REGION.BAR0 && !this.trapAll;
    const flags = (sizeBytes > 0 ? READ_WRITE : 0) | (shared ? REGION_FLAG.MMAP : 0);
    return { index, fileOffset: 0, flags, sizeBytes, areas: shared ? SHARED_AREAS : [] };
  }

  /** Why an access cannot be done, or '' where it can. */
  fault(access: RegionAccess): string {
    const { region, offset, count } = access;
    const sizeBytes = this.info(region)?.sizeBytes ?? 0;
    if (offset + count > sizeBytes) {
      return `access: expected inside the ${sizeBytes} bytes of region ${region}, got ${count} at 0x${offset.toString(16)}`;
    }
    if (region !== REGION.BAR0 || (offset % 4 === 0 && (count === 4 || count === 8))) return '';
    return `access to BAR0: expected 4 or 8 bytes at a multiple of 4, got ${count} at 0x${offset.toString(16)}`;
  }

  /** Reads access.count bytes, in which `fault` found nothing, to out[0..]. */
  read(access: RegionAccess, out: Uint8Array): void {
    const { region, offset, count } = access;
    if (region === REGION.BAR3) {
      out.set(this.msix.subarray(offset, offset + count));
      return;
    }
    for (let done = 0; done < count; ) {
      const size = pieceBytes(offset + done, count - done);
      const at = offset + done;
      const value =
        region === REGION.BAR0 ? this.target.mmioRead(at) : this.target.configRead(at, size);
      for (let i = 0; i < size; i++) out[done + i] = value >>> (8 * i);
      done += size;
    }
  }

  /** Writes what `fault` found nothing in. */
  write(write: RegionWrite): void {
    const { region, offset, count, data } = write;
    if (region === REGION.BAR3) {
      this.msix.set(data.subarray(0, count), offset);
      return;
    }
    for (let done = 0; done < count; ) {
      const size = pieceBytes(offset + done, count - done);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + data[done + i];
      if (region === REGION.BAR0) this.target.mmioWrite(offset + done, value);
      else this.target.configWrite(offset + done, size, value);
      done += size;
    }
  }

  /** The MSI-X table as after power-on, for the next client. */
  reset(): void {
    this.msix.fill(0);
  }
}

/** Largest aligned access of 4, 2 or 1 bytes at `offset` within `left` bytes. */
function pieceBytes(offset: number, left: number): number {
  if (offset % 4 === 0 && left >= 4) return 4;
  return offset % 2 === 0 && left >= 2 ? 2 : 1;
}
