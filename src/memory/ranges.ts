// First-fit allocation of integer ranges with coalescing on release. Used for
// the arena's address space and for the DMA memory inside it. Slow path only.

interface Range {
  start: number;
  end: number;
}

/** Hands out and takes back pieces of the ranges it was given. */
export class RangeAllocator {
  private readonly free: Range[] = [];
  private readonly taken = new Map<number, number>();

  /** Adds [start, start + size) to what can be handed out. */
  add(start: number, size: number): void {
    this.insert({ start, end: start + size });
  }

  /**
   * Takes `size` units whose start is a multiple of `align` counted from `origin`.
   * @returns the start, or -1 where nothing free is large enough
   */
  take(size: number, align: number, origin = 0): number {
    for (let i = 0; i < this.free.length; i++) {
      const range = this.free[i];
      const start = origin + Math.ceil((range.start - origin) / align) * align;
      const end = start + size;
      if (end > range.end) continue;
      const pieces = [
        { start: range.start, end: start },
        { start: end, end: range.end },
      ].filter((piece) => piece.end > piece.start);
      this.free.splice(i, 1, ...pieces);
      this.taken.set(start, size);
      return start;
    }
    return -1;
  }

  /**
   * Gives back what `take` returned.
   * @throws RangeError for a start that is not taken (a second release, or not one of ours)
   */
  release(start: number): number {
    const size = this.taken.get(start);
    if (size === undefined) {
      throw new RangeError(
        `release: expected the start of an allocation, got 0x${start.toString(16)}`,
      );
    }
    this.taken.delete(start);
    this.insert({ start, end: start + size });
    return size;
  }

  /** Units taken now. */
  get used(): number {
    let sum = 0;
    for (const size of this.taken.values()) sum += size;
    return sum;
  }

  private insert(range: Range): void {
    let i = this.free.findIndex((other) => other.start >= range.start);
    if (i < 0) i = this.free.length;
    const before = this.free[i - 1];
    const after = this.free[i];
    if (before !== undefined && before.end === range.start) {
      before.end = range.end;
      if (after !== undefined && after.start === before.end) {
        before.end = after.end;
        this.free.splice(i, 1);
      }
    } else if (after !== undefined && after.start === range.end) {
      after.start = range.start;
    } else {
      this.free.splice(i, 0, range);
    }
  }
}
