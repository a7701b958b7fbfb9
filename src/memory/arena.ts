// The process's one arena: a shared WebAssembly.Memory whose pages are replaced
// by a sealed memfd, so that JavaScript, worker threads, the kernel's IOMMU and
// a vfio-user server all see the same bytes. One a process, because a shared
// memory reserves 8 to 10 GiB of address space. Never freed: a device may hold
// its pages until the process ends. Layout: layout.ts.

import { VfioError } from '../support/errors.ts';
import { ERRNO } from '../support/linux.ts';
import { native } from '../support/native.ts';
import type { DmaMapping, VfioDevice } from '../vfio/device.ts';
import { openBacking, type PageBacking } from './backing.ts';
import { formatRanges, type Iova, iovaOf, rangesHold } from './iova.ts';
import {
  ARENA_LIMIT,
  type ArenaViews,
  CONTROL_OFFSET,
  CONTROL_SIZE,
  HUGE_PAGE,
  MAX_WASM_PAGES,
  SMALL_PAGE,
  SPACE_OFFSET,
  viewsOf,
  WASM_PAGE,
} from './layout.ts';
import { RangeAllocator } from './ranges.ts';
import { makeSharedMemory, type SharedMemory } from './shared-memory.ts';

/** Address space that the arena grows by, where it can. */
const GROWTH = 1024 * 1024 * 1024;
/** Retired control blocks that stay readable. */
const RETIRED = 1024;

interface Chunk {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly fdOffset: number;
}

/** The shared memory of this process. Made by `processArena()`. */
export class Arena {
  /** Post this to a Worker, which then calls `viewsOf` on it. */
  readonly memory: SharedMemory;
  /** User-space address of arena offset 0. */
  readonly address: number;
  private currentViews: ArenaViews;
  private readonly space = new RangeAllocator();
  private readonly dma = new RangeAllocator();
  private readonly control = new RangeAllocator();
  private readonly retired: number[] = [];
  private readonly chunks: Chunk[] = [];
  private readonly devices = new Set<VfioDevice>();
  private readonly backing: PageBacking;
  private spaceEnd: number;
  /** Offset, below HUGE_PAGE, that makes arena offsets 2 MiB aligned as addresses. */
  private readonly hugeSkew: number;

  constructor() {
    this.memory = makeSharedMemory(Math.ceil(SPACE_OFFSET / WASM_PAGE), MAX_WASM_PAGES);
    this.currentViews = viewsOf(this.memory);
    this.address = native().addressOf(this.currentViews.u8);
    this.hugeSkew = (HUGE_PAGE - (this.address % HUGE_PAGE)) % HUGE_PAGE;
    this.spaceEnd = this.memory.buffer.byteLength;
    this.control.add(CONTROL_OFFSET, CONTROL_SIZE);
    this.backing = openBacking();
    this.growSpace(WASM_PAGE);
  }

  /** Views over the arena as it is now; they stay valid, at this length, when it grows. */
  get views(): ArenaViews {
    return this.currentViews;
  }

  /** What backs DMA memory: "2 MiB huge pages", "transparent huge pages" or "4 KiB pages". */
  get pageKind(): string {
    return this.backing.kind;
  }

  /** Bytes of DMA memory handed out now. */
  get dmaUsedBytes(): number {
    return this.dma.used;
  }

  /** Bytes of control memory taken now. */
  get controlUsedBytes(): number {
    return this.control.used;
  }

  /**
   * Takes memory that attached devices can reach, zeroed.
   * @param alignBytes a power of two from 64 up
   * @returns its arena byte offset
   * @throws RangeError for a size that is no positive integer; VfioError when the arena cannot grow
   */
  allocateDma(sizeBytes: number, alignBytes = 128): number {
    checkSize('allocateDma', sizeBytes);
    let offset = this.dma.take(sizeBytes, alignBytes);
    if (offset < 0) {
      this.addChunk(sizeBytes + alignBytes);
      offset = this.dma.take(sizeBytes, alignBytes);
    }
    this.currentViews.u8.fill(0, offset, offset + sizeBytes);
    return offset;
  }

  /** Gives DMA memory back. The caller has stopped every device that may still use it. */
  releaseDma(offset: number): void {
    this.dma.release(offset);
  }

  /**
   * Takes zeroed memory that no device sees: state shared between threads.
   * @returns its arena byte offset, a multiple of 64
   */
  allocateControl(sizeBytes: number): number {
    checkSize('allocateControl', sizeBytes);
    const offset = this.control.take(Math.ceil(sizeBytes / 64) * 64, 64);
    if (offset < 0) {
      throw new RangeError(
        `arena control memory: expected room for ${sizeBytes} bytes, got ${CONTROL_SIZE - this.control.used} left; close queues or use smaller mempools`,
      );
    }
    this.currentViews.u8.fill(0, offset, offset + sizeBytes);
    return offset;
  }

  /** Gives control memory back. */
  releaseControl(offset: number): void {
    this.control.release(offset);
  }

  /**
   * Gives control memory back that other threads may still look at. It keeps its contents until 1,024 more blocks were
   * retired, so that a handle of something closed long ago goes on reading that it is closed.
   */
  retireControl(offset: number): void {
    this.retired.push(offset);
    if (this.retired.length > RETIRED) this.control.release(this.retired.shift() ?? 0);
  }

  /**
   * Takes address space for pages that somebody else provides: BAR pages, another process's memory.
   * It reads as zeros until the caller maps something over it with `native().mmapFixed`.
   * @param alignBytes multiple of 4096
   * @returns its arena byte offset
   */
  reserveWindow(sizeBytes: number, alignBytes = SMALL_PAGE): number {
    checkSize('reserveWindow', sizeBytes);
    return this.takeSpace(Math.ceil(sizeBytes / SMALL_PAGE) * SMALL_PAGE, alignBytes);
  }

  /** Puts plain zero pages back under a window and gives the address space back. */
  releaseWindow(offset: number): void {
    const sizeBytes = this.space.release(offset);
    const result = native().remapPlain(this.address + offset, sizeBytes);
    if (result < 0) throw new VfioError('restore plain memory', -result, 'arena');
  }

  /**
   * Makes all DMA memory, present and future, visible to a device, at the same IOVA as in every other device.
   * @throws VfioError naming both ranges where the device's IOVA ranges do not hold it
   */
  attach(device: VfioDevice): void {
    if (this.devices.has(device)) return;
    this.mapAll(this.chunks.map((chunk) => ({ device, chunk })));
    this.devices.add(device);
  }

  /** Takes all DMA memory back from a device, which has been reset before. */
  detach(device: VfioDevice): void {
    if (!this.devices.delete(device)) return;
    for (const chunk of this.chunks) device.unmapDma(iovaOf(chunk.offset), chunk.sizeBytes);
  }

  /** All or none. */
  private mapAll(wanted: readonly { device: VfioDevice; chunk: Chunk }[]): void {
    let done = 0;
    try {
      for (const { device, chunk } of wanted) {
        this.map(device, chunk);
        done++;
      }
    } catch (error) {
      for (const { device, chunk } of wanted.slice(0, done)) {
        device.unmapDma(iovaOf(chunk.offset), chunk.sizeBytes);
      }
      throw error;
    }
  }

  private map(device: VfioDevice, chunk: Chunk): void {
    const iova: Iova = iovaOf(chunk.offset);
    if (!rangesHold(device.iovaRanges, iova, chunk.sizeBytes)) {
      const end = iova + chunk.sizeBytes - 1;
      throw new VfioError(
        'attach arena',
        0,
        device.address,
        `DMA memory at IOVA 0x${iova.toString(16)}-0x${end.toString(16)} expected to lie in the device's ranges ${formatRanges(device.iovaRanges)}`,
      );
    }
    const mapping: DmaMapping = {
      iova,
      sizeBytes: chunk.sizeBytes,
      offset: chunk.offset,
      address: this.address + chunk.offset,
      fd: this.backing.fd,
      fdOffset: chunk.fdOffset,
    };
    device.mapDma(mapping);
  }

  /** Grows DMA memory by at least `sizeBytes` and shows it to every attached device. */
  private addChunk(sizeBytes: number): void {
    const rounded = Math.ceil(sizeBytes / HUGE_PAGE) * HUGE_PAGE;
    const offset = this.takeSpace(rounded, HUGE_PAGE);
    const fdOffset = this.backing.extend(this.address + offset, rounded);
    const chunk: Chunk = { offset, sizeBytes: rounded, fdOffset };
    this.mapAll([...this.devices].map((device) => ({ device, chunk })));
    this.chunks.push(chunk);
    this.dma.add(offset, rounded);
  }

  private takeSpace(sizeBytes: number, alignBytes: number): number {
    const origin = alignBytes >= HUGE_PAGE ? this.hugeSkew : 0;
    let offset = this.space.take(sizeBytes, alignBytes, origin);
    if (offset < 0) {
      // Enough for the worst alignment.
      this.growSpace(sizeBytes + Math.min(alignBytes, HUGE_PAGE));
      offset = this.space.take(sizeBytes, alignBytes, origin);
    }
    return offset;
  }

  /** @returns whether the system gave it */
  private grow(pages: number): boolean {
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }

  /** Adds address space at the arena's end, at least `sizeBytes`. */
  private growSpace(sizeBytes: number): void {
    const needed = Math.ceil(sizeBytes / WASM_PAGE);
    const left = (ARENA_LIMIT - this.spaceEnd) / WASM_PAGE;
    if (needed > left) {
      throw new VfioError(
        'grow arena',
        ERRNO.ENOMEM,
        'arena',
        `expected room for ${sizeBytes} bytes, got ${ARENA_LIMIT - this.spaceEnd} of 4 GiB left`,
      );
    }
    // Much at once, so that views change seldom: code that has them as constants is fast. It costs address space only,
    // which a system may still refuse.
    const sizes = [Math.min(left, Math.max(needed, GROWTH / WASM_PAGE)), needed];
    const pages = sizes.find((count) => this.grow(count));
    if (pages === undefined) throw new VfioError('grow arena', ERRNO.ENOMEM, 'arena');
    this.currentViews = viewsOf(this.memory);
    this.space.add(this.spaceEnd, pages * WASM_PAGE);
    this.spaceEnd += pages * WASM_PAGE;
  }
}

function checkSize(what: string, sizeBytes: number): void {
  if (!Number.isInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes > ARENA_LIMIT) {
    throw new RangeError(`${what}: expected a size from 1 to 4 GiB in bytes, got ${sizeBytes}`);
  }
}

// Module-level on purpose: the memory must stay reachable for as long as any DMA can run.
let theArena: Arena | undefined;

/** The arena of this process, made at the first call. Only the main thread may call it. */
export function processArena(): Arena {
  theArena ??= new Arena();
  return theArena;
}
