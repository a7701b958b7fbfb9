// Sequence numbers of one stream, flow by flow: what is missing, what came late,
// what came twice. A multi-queue forwarder may reorder flows against each other, so
// each flow is followed by itself. The in-order case is inlined in sink.ts, which
// reads and writes `expected`; this file is everything else.

/** What accept returns below zero. */
export const LATE = -1;
export const DUPLICATE = -2;

/** Frames back that a late one is told from a repeated one; older ones count as repeated. */
const WINDOW = 65_536;
/** The same for flows that lose their first frame after so many others did, which bounds memory. */
const SMALL_WINDOW = 4096;
const WIDE_WINDOWS = 256;

/** Which of the last `size` sequence numbers of a flow are missing; bit seq % size. */
class LossWindow {
  private readonly bits: Int32Array;
  private readonly size: number;
  /** Bits of numbers below this are right; above, they are left from one window earlier. */
  private end: number;

  constructor(size: number, end: number) {
    this.bits = new Int32Array(size / 32);
    this.size = size;
    this.end = end;
  }

  /** Numbers up to `to` have arrived in order since the last call. */
  arrivedUpTo(to: number): void {
    this.mark(this.end, to, false);
  }

  /** Numbers `from` to before `to` are missing. */
  missing(from: number, to: number): void {
    this.mark(from, to, true);
  }

  /** Takes `seq`, which is below the expected number, off the missing ones. @returns whether it was one */
  recover(seq: number): boolean {
    if (seq < this.end - this.size) return false;
    const at = seq % this.size;
    const bit = 1 << (at & 31);
    const was = (this.bits[at >>> 5] & bit) !== 0;
    this.bits[at >>> 5] &= ~bit;
    return was;
  }

  private mark(from: number, to: number, value: boolean): void {
    this.end = Math.max(this.end, to);
    if (to - from >= this.size) {
      this.bits.fill(value ? -1 : 0);
      return;
    }
    for (let seq = from; seq < to; seq++) {
      const at = seq % this.size;
      if (value) this.bits[at >>> 5] |= 1 << (at & 31);
      else this.bits[at >>> 5] &= ~(1 << (at & 31));
    }
  }
}

function sharedWords(words: number): Int32Array {
  // Shared, because a plain ArrayBuffer is slower in optimised code on Node 20 and 22.
  return new Int32Array(new SharedArrayBuffer(words * 4));
}

/** The flows of one stream. */
export class FlowSequences {
  /** Two words a flow: next sequence number, low 32 bits then high 16. Replaced when it grows. */
  expected = sharedWords(64 * 2);
  private readonly windows = new Map<number, LossWindow>();

  /**
   * Takes in one frame's number and advances what is expected.
   * @param flow 0..16,383
   * @param seq below 2**48
   * @returns how many frames it shows to be newly missing (0 where it is the expected one), LATE or DUPLICATE
   */
  accept(flow: number, seq: number): number {
    if (flow * 2 >= this.expected.length) this.growTo(flow);
    const next = (this.expected[flow * 2] >>> 0) + this.expected[flow * 2 + 1] * 2 ** 32;
    let window = this.windows.get(flow);
    if (seq < next) {
      if (window === undefined) return DUPLICATE;
      window.arrivedUpTo(next);
      return window.recover(seq) ? LATE : DUPLICATE;
    }
    if (seq > next) {
      if (window === undefined) {
        window = new LossWindow(this.windows.size < WIDE_WINDOWS ? WINDOW : SMALL_WINDOW, next);
        this.windows.set(flow, window);
      }
      window.arrivedUpTo(next);
      window.missing(next, seq);
    }
    this.expected[flow * 2] = ((seq + 1) % 2 ** 32) | 0;
    this.expected[flow * 2 + 1] = Math.floor((seq + 1) / 2 ** 32);
    return seq - next;
  }

  private growTo(flow: number): void {
    let words = this.expected.length;
    while (flow * 2 >= words) words *= 2;
    const grown = sharedWords(words);
    grown.set(this.expected);
    this.expected = grown;
  }
}
