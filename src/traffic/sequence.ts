// Which numbers of a sequence are missing, came late, came twice. The expected number is the fast path of whoever
// receives and does not come here; everything else does.

/** What `accept` returns for a number that was missing so far, and for one that had come. */
export const LATE = -1;
export const DUPLICATE = -2;

/** Numbers back that a late one is told from a repeated one; older ones count as repeated. */
const WINDOW = 65_536;
/** The same for flows that lose their first frame after so many others did, which bounds memory. */
const SMALL_WINDOW = 4096;
const WIDE_WINDOWS = 256;

/** One sequence: which of its last numbers are missing. */
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

function sharedWords(words: number): Int32Array {
  // Shared, because a plain ArrayBuffer is slower in optimised code on Node 20 and 22.
  return new Int32Array(new SharedArrayBuffer(words * 4));
}

/**
 * The flows of one stream, each a sequence of its own: a forwarder with several queues may reorder flows against each
 * other. Loops that follow flows in order read and write `expected` themselves.
 */
export class FlowSequences {
  /** Two words a flow: next sequence number, low 32 bits then high 16. Replaced when it grows. */
  expected = sharedWords(64 * 2);
  private readonly windows = new Map<number, SequenceWindow>();

  /**
   * Takes in one frame's number and advances what is expected.
   * @param flow 0..16,383
   * @param sequence below 2**48
   * @returns how many frames it shows to be newly missing (0 where it is the expected one), LATE or DUPLICATE
   */
  accept(flow: number, sequence: number): number {
    if (flow * 2 >= this.expected.length) this.growTo(flow);
    const next = (this.expected[flow * 2] >>> 0) + this.expected[flow * 2 + 1] * 2 ** 32;
    let verdict = 0;
    if (sequence !== next) {
      let window = this.windows.get(flow);
      if (window === undefined) {
        if (sequence < next) return DUPLICATE;
        window = new SequenceWindow(this.windows.size < WIDE_WINDOWS ? WINDOW : SMALL_WINDOW);
        this.windows.set(flow, window);
      }
      verdict = window.accept(sequence, next);
      if (verdict < 0) return verdict;
    }
    this.expected[flow * 2] = ((sequence + 1) % 2 ** 32) | 0;
    this.expected[flow * 2 + 1] = Math.floor((sequence + 1) / 2 ** 32);
    return verdict;
  }

  private growTo(flow: number): void {
    let words = this.expected.length;
    while (flow * 2 >= words) words *= 2;
    const grown = sharedWords(words);
    grown.set(this.expected);
    this.expected = grown;
  }
}
