// The files behind the DMA memory of all clients, in the arena. A client sends an fd with each
// DMA_MAP, often thousands of times for one memfd: it is recognised by device and inode, mapped
// once as a whole, and the duplicates are closed. A client may truncate its file: the fault
// becomes a zero page (native guardBus), and `faulted` names the file.

import type { Arena } from '../../memory/arena.ts';
import { ARENA_LIMIT, HUGE_PAGE, SMALL_PAGE, SPACE_OFFSET } from '../../memory/layout.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO, MAP_SHARED, PROT_READ_WRITE } from '../../support/linux.ts';
import { native } from '../../support/native.ts';

/** Mapped at once of a file that the arena has no room for as a whole. */
const BLOCK = 32 * HUGE_PAGE;
const NONE: readonly ClientFile[] = [];
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** A part of a file that is mapped: file bytes [start, end) at heap offset `window`. */
interface Segment {
  readonly start: number;
  readonly end: number;
  readonly window: number;
}

/** A client's file, as long as somebody holds it. */
export interface ClientFile {
  readonly key: string;
  readonly fd: number;
  readonly segments: Segment[];
  /** Clients that hold it. */
  holders: number;
}

/** What `locate` found. */
export interface FilePlace {
  readonly file: ClientFile;
  /** Heap byte offset; -1 for memory that may only be read and cannot be mapped: any access is a fault. */
  readonly heapOffset: number;
}

/** Words of guardBus over the arena's whole space: one guard a process, however many servers. */
const guard = { words: new Int32Array(new SharedArrayBuffer(8)), users: 0 };

/** The files that clients' memory lies in, mapped into the arena. One object for all VFs of a server. */
export class ClientFiles {
  private readonly arena: Arena;
  private readonly files = new Map<string, ClientFile>();
  private readonly facts = new Float64Array(4);
  private faultsSeen: number;
  private closed = false;

  /** @throws VfioError where the guard cannot be set up */
  constructor(arena: Arena) {
    this.arena = arena;
    if (guard.users === 0) {
      const sizeBytes = ARENA_LIMIT - SPACE_OFFSET;
      const result = native().guardBus(arena.address + SPACE_OFFSET, sizeBytes, guard.words);
      if (result < 0) throw new VfioError('guard windows', -result, 'arena');
    }
    guard.users++;
    this.faultsSeen = Atomics.load(guard.words, 0);
  }

  /** Files held now. */
  get count(): number {
    return this.files.size;
  }

  /**
   * Finds file bytes [offset, offset + sizeBytes) in the heap, mapping the file where that is yet to be done.
   * The caller calls `hold` on the file when it keeps it, `settle` when it does not.
   * @param fd of the file; this object's from here on, whatever comes back
   * @param writable false where the client only lets it be read
   * @returns the place, or -errno: -22 no file that can be mapped or too small, -12 no address space left
   */
  locate(fd: number, offset: number, sizeBytes: number, writable: boolean): FilePlace | number {
    const shim = native();
    const result = shim.fstat(fd, this.facts);
    const [device, inode, fileBytes, mode] = this.facts;
    if (result < 0 || (mode & S_IFMT) !== S_IFREG || offset + sizeBytes > fileBytes) {
      shim.close(fd);
      return -ERRNO.EINVAL;
    }
    const key = `${device}:${inode}`;
    let file = this.files.get(key);
    if (file === undefined) {
      file = { key, fd, segments: [], holders: 0 };
      this.files.set(key, file);
    } else {
      shim.close(fd);
    }
    let segment: Segment | number | undefined = file.segments.find(
      ({ start, end }) => start <= offset && offset + sizeBytes <= end,
    );
    segment ??= this.mapPart(file, fileBytes, offset, sizeBytes);
    if (typeof segment === 'object') {
      return { file, heapOffset: segment.window + (offset - segment.start) };
    }
    if ((segment === -ERRNO.EACCES || segment === -ERRNO.EPERM) && !writable)
      return { file, heapOffset: -1 };
    this.settle(file);
    return segment === -ERRNO.ENOMEM ? -ERRNO.ENOMEM : -ERRNO.EINVAL;
  }

  /** A client keeps the file. */
  hold(file: ClientFile): void {
    file.holders++;
  }

  /** A client gives the file back; the last one unmaps it. */
  release(file: ClientFile): void {
    file.holders--;
    this.settle(file);
  }

  /** Unmaps and closes a file that nobody holds. No mapping of any VF leads to it any more. */
  settle(file: ClientFile): void {
    if (file.holders > 0 || !this.files.delete(file.key)) return;
    for (const { window } of file.segments) this.arena.releaseWindow(window);
    native().close(file.fd);
  }

  /** The files that an access since the last call found shorter than they were, or without memory. */
  faulted(): readonly ClientFile[] {
    const faults = Atomics.load(guard.words, 0);
    if (faults === this.faultsSeen) return NONE;
    this.faultsSeen = faults;
    const last = SPACE_OFFSET + (Atomics.load(guard.words, 1) >>> 0) * SMALL_PAGE;
    return [...this.files.values()].filter(
      (file) => this.shrunk(file) || file.segments.some((part) => holds(part, last)),
    );
  }

  /** Unmaps everything. No VF has a mapping any more. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const file of this.files.values()) {
      file.holders = 0;
      this.settle(file);
    }
    guard.users--;
    if (guard.users === 0) native().unguardBus(this.arena.address + SPACE_OFFSET);
  }

  private shrunk(file: ClientFile): boolean {
    const end = Math.max(0, ...file.segments.map((part) => part.end));
    return native().fstat(file.fd, this.facts) < 0 || this.facts[2] < end;
  }

  /** Maps what is not mapped yet: the whole file, or what it grew by, or else the blocks that hold the range. */
  private mapPart(
    file: ClientFile,
    fileBytes: number,
    offset: number,
    sizeBytes: number,
  ): Segment | number {
    // A file of huge pages can only be mapped in whole ones; for others it does no harm.
    const align = fileBytes % HUGE_PAGE === 0 ? HUGE_PAGE : SMALL_PAGE;
    const mapped = Math.max(0, ...file.segments.map((part) => part.end));
    const end = Math.floor(fileBytes / align) * align;
    if (offset >= mapped && mapped % align === 0) {
      const segment = this.mapSegment(file, mapped, end, align);
      if (segment !== -ERRNO.ENOMEM) return segment;
    }
    const from = Math.floor(offset / BLOCK) * BLOCK;
    const to = Math.min(end, Math.ceil((offset + sizeBytes) / BLOCK) * BLOCK);
    return this.mapSegment(file, from, to, align);
  }

  private mapSegment(
    file: ClientFile,
    start: number,
    end: number,
    align: number,
  ): Segment | number {
    const window = this.reserve(end - start, align);
    if (window < 0) return -ERRNO.ENOMEM;
    const address = this.arena.address + window;
    const { fd } = file;
    const result = native().mmapFixed(address, end - start, PROT_READ_WRITE, MAP_SHARED, fd, start);
    if (result < 0) {
      this.arena.releaseWindow(window);
      return result;
    }
    const segment = { start, end, window };
    file.segments.push(segment);
    return segment;
  }

  private reserve(sizeBytes: number, align: number): number {
    try {
      return this.arena.reserveWindow(sizeBytes, align);
    } catch (error) {
      // VfioError: 4 GiB are full. RangeError: larger than that, or the system gives no more.
      if (error instanceof VfioError || error instanceof RangeError) return -1;
      throw error;
    }
  }
}

function holds(part: Segment, heapOffset: number): boolean {
  return part.window <= heapOffset && heapOffset < part.window + (part.end - part.start);
}
