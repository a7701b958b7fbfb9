// BAR0 as the driver reaches it: pages that could be mapped into the arena are plain loads and
// stores, the others are trapped, which means a call to the backend for each access. Both backends
// map the pages in the same way; they differ in the file behind BAR0 and in what a trapped access is.

import { BAR0_SIZE, PAGE_SIZE } from '../hw/registers.ts';
import type { Arena } from '../memory/arena.ts';
import { VfioError } from '../support/errors.ts';
import { MAP_SHARED, PROT_READ_WRITE } from '../support/linux.ts';
import { native } from '../support/native.ts';

/** What mapping pages takes of the arena. */
export type WindowArena = Pick<Arena, 'address' | 'reserveWindow' | 'releaseWindow' | 'views'>;

/** A part of a region that can be mapped, bytes from the region's start. */
export interface MmapArea {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Where BAR0's memory is to be had. */
export interface BarFile {
  readonly fd: number;
  /** What messages call the file. */
  readonly path: string;
  /** Where BAR0 starts in the file. */
  readonly fileOffset: number;
  /** What mmap takes of BAR0. */
  readonly areas: readonly MmapArea[];
}

/** How the backend reaches a register on a page that is not mapped. Both throw VfioError once the device is closed. */
export interface TrappedAccess {
  read(offset: number): number;
  write(offset: number, value: number): void;
}

const PAGES = BAR0_SIZE / PAGE_SIZE;
const NOT_OFFSET = ~(BAR0_SIZE - 4);
const NO_WINDOW = -1;

/** BAR0 of one device. Owns the window of the arena that its pages are mapped into. */
export class BarPages {
  private readonly arena: WindowArena;
  private readonly trapped: TrappedAccess;
  /** Arena byte offset of the window. */
  private window = NO_WINDOW;
  /** Arena words; long enough for the window, whatever the arena grows to. */
  private heap: Uint32Array;
  /** Arena byte offset of each page, -1 where it is trapped. */
  private readonly offsets = new Array<number>(PAGES).fill(-1);
  private guarded = false;
  /** Arena word index of each page; 0 where it is trapped, and everywhere once `trapAll` was called. */
  private readonly words = new Int32Array(PAGES);

  /** All pages are trapped at first. */
  constructor(arena: WindowArena, trapped: TrappedAccess) {
    this.arena = arena;
    this.heap = arena.views.u32;
    this.trapped = trapped;
  }

  /**
   * Maps the pages that lie wholly inside the file's areas. The fd stays the caller's and may be closed afterwards.
   * @throws VfioError where mmap fails; nothing stays mapped then
   */
  map(file: BarFile): void {
    const pages = mappablePages(file.areas);
    if (!pages.includes(true)) return;
    this.window = this.arena.reserveWindow(BAR0_SIZE);
    this.heap = this.arena.views.u32;
    for (const [first, count] of runs(pages)) this.mapRun(file, first, count);
    for (const [page, mapped] of pages.entries()) {
      if (!mapped) continue;
      this.offsets[page] = this.window + page * PAGE_SIZE;
      this.words[page] = this.offsets[page] / 4;
    }
  }

  /**
   * From now on a mapped page that the kernel takes away, because the device has left the bus or its memory was
   * switched off, reads all ones as registers of a device that is gone do. Without this a load of it ends the process.
   */
  guard(): void {
    if (this.window === NO_WINDOW) return;
    const words = new Int32Array(new SharedArrayBuffer(8));
    const at = this.arena.address + this.window;
    this.guarded = native().guardBus(at, BAR0_SIZE, words, 0xff) === 0;
  }

  /** Contract: VfioDevice.read32. */
  read32(offset: number): number {
    if ((offset & NOT_OFFSET) !== 0) throw badOffset('read32', offset);
    const word = this.words[offset >> 12];
    // Atomic because V8 deletes a plain load whose value nobody uses, and a flush or a read that clears is one.
    if (word !== 0) return Atomics.load(this.heap, word + ((offset & 0xfff) >> 2));
    return this.trapped.read(offset);
  }

  /** Contract: VfioDevice.write32. */
  write32(offset: number, value: number): void {
    if ((offset & NOT_OFFSET) !== 0) throw badOffset('write32', offset);
    const word = this.words[offset >> 12];
    if (word !== 0) this.heap[word + ((offset & 0xfff) >> 2)] = value;
    else this.trapped.write(offset, value);
  }

  /** Contract: VfioDevice.pageOffset. */
  pageOffset(page: number): number {
    const offset = this.offsets[page];
    if (offset === undefined) throw new RangeError(`page: expected 0 to 3, got ${page}`);
    return offset;
  }

  /** From now on every access goes through the backend, which knows why the device is gone and throws. */
  trapAll(): void {
    this.words.fill(0);
  }

  /** Unmaps. Idempotent. */
  release(): void {
    this.trapAll();
    if (this.window === NO_WINDOW) return;
    const window = this.window;
    this.window = NO_WINDOW;
    if (this.guarded) native().unguardBus(this.arena.address + window);
    this.guarded = false;
    this.arena.releaseWindow(window);
  }

  private mapRun({ fd, path, fileOffset }: BarFile, first: number, count: number): void {
    const address = this.arena.address + this.window + first * PAGE_SIZE;
    const from = fileOffset + first * PAGE_SIZE;
    const sizeBytes = count * PAGE_SIZE;
    // Shared: VFIO refuses a private mapping, and a private one of a server's file would reach nobody.
    const result = native().mmapFixed(address, sizeBytes, PROT_READ_WRITE, MAP_SHARED, fd, from);
    if (result >= 0) return;
    this.release();
    const detail = `${sizeBytes} bytes at offset 0x${from.toString(16)} of it`;
    throw new VfioError('map BAR0', -result, path, detail);
  }
}

/** For each page of BAR0 whether it lies wholly inside one of the areas. */
export function mappablePages(areas: readonly MmapArea[]): readonly boolean[] {
  return Array.from({ length: PAGES }, (_, page) =>
    areas.some(
      ({ offset, sizeBytes }) =>
        offset <= page * PAGE_SIZE && offset + sizeBytes >= (page + 1) * PAGE_SIZE,
    ),
  );
}

/** Neighbouring mapped pages as [first, count]: one mmap each. */
function runs(pages: readonly boolean[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (const [page, mapped] of pages.entries()) {
    const last = found.at(-1);
    if (!mapped) continue;
    if (last !== undefined && last[0] + last[1] === page) last[1]++;
    else found.push([page, 1]);
  }
  return found;
}

function badOffset(operation: string, offset: number): RangeError {
  return new RangeError(`${operation}: expected a multiple of 4 from 0 to 0x3ffc, got ${offset}`);
}
