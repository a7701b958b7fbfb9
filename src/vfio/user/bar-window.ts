// BAR0's pages in the arena: those that the server shares are mapped into one window of 16 KiB,
// so that ring tails are plain stores; the others stay trapped. The server is not trusted: a file
// that is shorter than it says is refused, and one that could be truncated later (which would end
// this process by SIGBUS) is not mapped at all; messages reach the same registers.

import type { Arena } from '../../memory/arena.ts';
import { VfioError } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import type { RegionInfo } from './info-messages.ts';

/** What this file needs of the arena. */
export type WindowArena = Pick<Arena, 'address' | 'reserveWindow' | 'releaseWindow' | 'views'>;

/** Bytes of BAR0 of every VF of the family (82599-vf.md 1.2). */
export const BAR0_BYTES = 0x4000;
/** Pages of 4 KiB in BAR0. */
export const BAR0_PAGES = 4;

const PAGE = 4096;
const NO_PAGES: readonly boolean[] = new Array<boolean>(BAR0_PAGES).fill(false);
const F_SEAL_SHRINK = 0x2; // linux/fcntl.h
const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x1;
const EINVAL = 22;

/** The pages of BAR0 that are mapped. Owns its window. */
export class BarWindow {
  /** Arena byte offset of each page, -1 where it is trapped. */
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
   * Maps what `info` allows, and closes the fd, also when it throws: mappings outlive it.
   * @param fd of the region's file, -1 where the region cannot be mapped
   * @throws VfioError where the file is too short or mmap fails; nothing stays mapped then
   */
  static takeFd(
    arena: WindowArena,
    info: RegionInfo,
    fd: number,
    path: string,
    log: Log,
  ): BarWindow {
    try {
      return BarWindow.map(arena, info, fd, path, log);
    } finally {
      if (fd >= 0) native().close(fd);
    }
  }

  private static map(
    arena: WindowArena,
    info: RegionInfo,
    fd: number,
    path: string,
    log: Log,
  ): BarWindow {
    const pages = mappablePages(info);
    if (fd < 0 || !pages.includes(true)) return new BarWindow(arena, -1, NO_PAGES);
    if (!canTrust(fd, info, pages, path)) {
      log.warn(
        `${path}: the file behind BAR0 is not sealed against shrinking; its pages are accessed by messages, which is slow`,
      );
      return new BarWindow(arena, -1, NO_PAGES);
    }
    const window = arena.reserveWindow(BAR0_BYTES);
    for (let page = 0; page < BAR0_PAGES; page++) {
      if (!pages[page]) continue;
      const address = arena.address + window + page * PAGE;
      const fileOffset = info.fileOffset + page * PAGE;
      const result = native().mmapFixed(address, PAGE, PROT_READ_WRITE, MAP_SHARED, fd, fileOffset);
      if (result < 0) {
        arena.releaseWindow(window);
        throw new VfioError('map BAR0', -result, path, `page ${page} at offset ${fileOffset}`);
      }
    }
    return new BarWindow(arena, window, pages);
  }

  /** Unmaps. Idempotent. */
  release(): void {
    if (this.window < 0) return;
    const window = this.window;
    this.window = -1;
    this.arena.releaseWindow(window);
  }
}

function mappablePages(info: RegionInfo): boolean[] {
  const areas = info.areas ?? [{ offset: 0, sizeBytes: info.sizeBytes }];
  return Array.from({ length: BAR0_PAGES }, (_, page) =>
    areas.some(
      (area) => area.offset <= page * PAGE && area.offset + area.sizeBytes >= page * PAGE + PAGE,
    ),
  );
}

/** False for a file that may shrink; throws for one that is already too short. */
function canTrust(fd: number, info: RegionInfo, pages: readonly boolean[], path: string): boolean {
  const facts = new Float64Array(4);
  const result = native().fstat(fd, facts);
  if (result < 0) throw new VfioError('map BAR0', -result, path, 'fstat of its file');
  const needed = info.fileOffset + (pages.lastIndexOf(true) + 1) * PAGE;
  const sizeBytes = facts[2];
  if (sizeBytes < needed) {
    throw new VfioError(
      'map BAR0',
      EINVAL,
      path,
      `file behind it: expected at least ${needed} bytes, got ${sizeBytes}`,
    );
  }
  const seals = native().seals(fd);
  return seals >= 0 && (seals & F_SEAL_SHRINK) !== 0;
}
