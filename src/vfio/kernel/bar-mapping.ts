// BAR0 in the arena: one window of 16 KiB over which the device fd is mapped, so that registers are
// plain loads and stores. The kernel maps it uncached. Pages that it does not let us map (none of a
// real VF's) stay -1 and are reached through the device fd.

import { VfioError } from '../../support/errors.ts';
import { native } from '../../support/native.ts';
import { BAR0_BYTES, BAR0_PAGES, type WindowArena } from '../user/bar-window.ts';
import type { OpenFile } from './calls.ts';
import type { RegionFacts } from './capabilities.ts';

const PAGE = 4096;
const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x1; // VFIO refuses MAP_PRIVATE

/** The mapped BAR0. Owns its window. */
export class BarMapping {
  /** Arena byte offset of each page, -1 where it is not mapped. */
  readonly pageOffsets: readonly number[];
  private readonly arena: WindowArena;
  /** Arena byte offset of the window, -1 for none. */
  private window: number;

  private constructor(arena: WindowArena, window: number, pages: readonly boolean[]) {
    this.arena = arena;
    this.window = window;
    this.pageOffsets = pages.map((mapped, page) => (mapped ? window + page * PAGE : -1));
  }

  /**
   * Maps what the kernel allows.
   * @throws VfioError where mmap fails; nothing stays mapped then
   */
  static map(arena: WindowArena, device: OpenFile, bar0: RegionFacts): BarMapping {
    const pages = Array.from({ length: BAR0_PAGES }, (_, page) =>
      bar0.areas.some(
        ({ offset, sizeBytes }) => offset <= page * PAGE && offset + sizeBytes >= (page + 1) * PAGE,
      ),
    );
    if (!pages.includes(true)) return new BarMapping(arena, -1, pages);
    const window = arena.reserveWindow(BAR0_BYTES);
    const bar = new BarMapping(arena, window, pages);
    for (const [first, count] of runs(pages)) {
      const address = arena.address + window + first * PAGE;
      const fileOffset = bar0.fileOffset + first * PAGE;
      const sizeBytes = count * PAGE;
      const flags = MAP_SHARED;
      const result = native().mmapFixed(
        address,
        sizeBytes,
        PROT_READ_WRITE,
        flags,
        device.fd,
        fileOffset,
      );
      if (result < 0) {
        bar.release();
        const detail = `${sizeBytes} bytes at offset 0x${fileOffset.toString(16)} of the device`;
        throw new VfioError('map BAR0', -result, device.path, detail);
      }
    }
    return bar;
  }

  /** Unmaps. Idempotent. */
  release(): void {
    if (this.window < 0) return;
    const window = this.window;
    this.window = -1;
    this.arena.releaseWindow(window);
  }
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
