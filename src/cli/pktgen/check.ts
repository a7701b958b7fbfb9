// HOT. Checks what comes back to `ixy pktgen`: that every byte but the MACs is what was sent, and the sequence over all
// flows. Frames that are not of this run are left out of all counts; they show in the device's.

import { BUF_SHIFT, LENGTH_TABLE, viewsOf } from '../../memory/layout.ts';
import type { Mempool } from '../../memory/mempool.ts';
import { ANY_NUMBER, FrameCheck } from '../../traffic/frame-check.ts';
import type { FrameLoops } from '../../traffic/frame-loops.ts';
import type { GeneratorOptions } from '../../traffic/generator.ts';
import { DUPLICATE, LATE, SequenceWindow } from '../../traffic/sequence.ts';
import {
  checksumsHold,
  flowOf,
  MARK,
  PATTERN_START,
  sequenceOf,
  swap16,
  WORD,
} from '../../traffic/test-frame.ts';
import { COUNTS } from './counts.ts';

// Imported bindings do not fold into the code of a loop; constants of this module do.
const SHIFT = BUF_SHIFT;
const LENGTHS = LENGTH_TABLE >>> 1;
const MARK_HALF = swap16(MARK);
const { RECEIVED, CORRUPT } = COUNTS;
const { LOW, LOW_COMPLEMENT, HIGH, STREAM } = WORD;

/** What is expected, and where the thread counts. */
export interface CheckOptions extends GeneratorOptions {
  /** Of the frames that are checked. */
  readonly mempool: Mempool;
  /** Over a run that has room for the frames of one check. */
  readonly loops: FrameLoops;
  /** Heap byte offset of FRAME_CHECK_BYTES. */
  readonly check: number;
  /** Index of COUNTS among the doubles of the arena. */
  readonly counts: number;
}

/**
 * Makes the checker of one run.
 * @returns a function that checks the frames in bufs[0 .. n); the buffers stay the caller's
 */
export function makeCheck(options: CheckOptions): (bufs: Int32Array, n: number) => void {
  const { mempool, flows, stream, counts, loops } = options;
  const { i32: heap, u16, u8, f64 } = viewsOf(mempool.handle.memory);
  const headroom = mempool.headroomBytes;
  const { offsets, lengths } = loops.run;
  const frames = new FrameCheck(heap, options.check);
  const sent = new Set(options.lengths);
  const window = new SequenceWindow();
  /** Number of the next frame, over all flows, which take turns. A number in a field would be boxed anew at every write. */
  const expected = new Float64Array(new SharedArrayBuffer(8));

  /** Counts an intact frame. The complement of the port tells its flow, since a NAT may have changed the port. */
  function count(w: number): void {
    const flow = flowOf(~heap[w + STREAM] & 0xffff);
    const number = sequenceOf(heap, w) * flows + flow;
    if (flow >= flows) f64[counts + CORRUPT]++;
    else if (number === expected[0]) {
      f64[counts + RECEIVED]++;
      expected[0] = number + 1;
    } else outOfOrder(number);
  }

  function outOfOrder(number: number): void {
    const verdict = window.accept(number, expected[0]);
    if (verdict === DUPLICATE) {
      f64[counts + COUNTS.DUPLICATES]++;
      return;
    }
    f64[counts + RECEIVED]++;
    f64[counts + COUNTS.GAPS] += verdict === LATE ? -1 : verdict;
    if (verdict !== LATE) expected[0] = number + 1;
  }

  /** Whether number and pattern are as they were sent, and the checksums of headers that a router changed are right. */
  function payloadHolds(w: number, length: number): boolean {
    const offset = (w << 2) >>> 0;
    const high = heap[w + HIGH];
    return (
      heap[w + LOW] === ~heap[w + LOW_COMPLEMENT] &&
      (((high >>> 16) ^ high) & 0xffff) === 0xffff &&
      loops.patternHolds(w, frames.pattern, length) &&
      checksumsHold(u8.subarray(offset, offset + length))
    );
  }

  /** A frame that is not what was sent. */
  function checkSlowly(w: number, length: number): void {
    const ours =
      heap[w + WORD.MARK] >>> 16 === MARK_HALF &&
      heap[w + STREAM] >>> 16 === (stream | ((~stream & 0xff) << 8));
    if (!ours || length < PATTERN_START) return;
    if (sent.has(length) && payloadHolds(w, length)) count(w);
    else f64[counts + CORRUPT]++;
  }

  return function check(bufs, n) {
    for (let i = 0; i < n; i = (i + 1) | 0) {
      offsets[i] = (bufs[i] << SHIFT) + headroom;
      lengths[i] = u16[LENGTHS + bufs[i]];
    }
    for (let i = 0; i < n; ) {
      const length = lengths[i];
      const end = sent.has(length) ? frames.pass(loops, heap, i, n, length, stream, ANY_NUMBER) : i;
      if (end === i) checkSlowly(offsets[i++] >>> 2, length);
      for (; i < end; i = (i + 1) | 0) count(offsets[i] >>> 2);
    }
  };
}
