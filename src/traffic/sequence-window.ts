// Which numbers of one sequence are missing, came late, came twice. The expected number is the
// caller's fast path and does not come here; everything else does.

/** What `accept` returns for a number that was missing so far, and for one that had come. */
export const LATE = -1;
export const DUPLICATE = -2;

/** See the head of this file. */
export class SequenceWindow {
  /** The number after the highest seen. */
  private next = 0;
  /** Bit n % size: number n is missing. Right for numbers from settled - size to settled. */
  private readonly missing: Int32Array;
  private readonly size: number;
  private settled = 0;

  /** @param size numbers back that a late one is told from a repeated one; a power of two from 32 */
  constructor(size = 1 << 17) {
    this.size = size;
    this.missing = new Int32Array(size >>> 5);
  }

  /**
   * Takes in a number.
   * @param upTo every number from the last call's on up to this one (not itself) came in order meanwhile
   * @returns how many numbers it shows to be newly missing, LATE, or DUPLICATE
   */
  accept(number: number, upTo: number): number {
    if (upTo > this.next) this.next = upTo;
    this.settle(this.next, false);
    if (number < this.next) return this.recover(number) ? LATE : DUPLICATE;
    const gap = number - this.next;
    this.settle(number, true);
    this.settle(number + 1, false);
    this.next = number + 1;
    return gap;
  }

  private recover(number: number): boolean {
    if (number < this.settled - this.size) return false;
    const at = number % this.size;
    const bit = 1 << (at & 31);
    const was = (this.missing[at >>> 5] & bit) !== 0;
    this.missing[at >>> 5] &= ~bit;
    return was;
  }

  /** Numbers up to `end` have come, or have not. */
  private settle(end: number, missing: boolean): void {
    if (end - this.settled >= this.size) this.missing.fill(missing ? -1 : 0);
    else {
      for (let number = this.settled; number < end; number++) {
        const at = number % this.size;
        if (missing) this.missing[at >>> 5] |= 1 << (at & 31);
        else this.missing[at >>> 5] &= ~(1 << (at & 31));
      }
    }
    this.settled = Math.max(this.settled, end);
  }
}
