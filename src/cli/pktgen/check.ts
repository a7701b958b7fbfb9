// HOT. Checks what comes back to `ixy pktgen`: that every byte but the MACs is what was sent, and
// the sequence. Frames that are not of this run are left out of all counts; they show in the device's.
// A router or NAT may change headers as long as the checksums hold. Format: traffic/test-frame.ts.

import { BUF_SHIFT, LENGTH_TABLE, viewsOf } from '../../memory/layout.ts';
import type { Mempool } from '../../memory/mempool.ts';
import { DUPLICATE, LATE, SequenceWindow } from '../../traffic/sequence-window.ts';
import {
  checksumsHold,
  flowOf,
  HEADER_BYTES,
  MARK_HALF,
  streamHalf,
  WORD,
} from '../../traffic/test-frame.ts';
import { COUNTS } from './block.ts';

const BUF_WORD_SHIFT = BUF_SHIFT - 2;
const LENGTHS = LENGTH_TABLE >>> 1;
const { TYPE, HOSTS, PORTS, UDP, MARK, LOW, LOW_COMPLEMENT, HIGH, STREAM, PATTERN } = WORD;
const OUR_MARK = MARK_HALF;
const SHORTEST = HEADER_BYTES;
const MAX_LENGTH = 9724;

/** What is expected. */
export interface CheckOptions {
  /** Of the frames that are checked. */
  readonly mempool: Mempool;
  readonly templates: readonly { readonly word: number; readonly length: number }[];
  readonly flows: number;
  readonly stream: number;
  /** Heap word of the counts. */
  readonly block: number;
}

/**
 * Makes the checker of one run.
 * @returns a function that checks the frames in bufs[0 .. n); the buffers stay the caller's
 */
export function makeCheck(options: CheckOptions): (bufs: Int32Array, n: number) => void {
  const { mempool, flows } = options;
  const { i32: heap, u16, u8, f64 } = viewsOf(mempool.handle.memory);
  const headroomWords = mempool.headroomBytes >>> 2;
  const counts = options.block >> 1;
  const stream = streamHalf(options.stream);
  const templateOf = new Int32Array(new SharedArrayBuffer((MAX_LENGTH + 1) * 4));
  for (const { word, length } of options.templates) templateOf[length] = word;
  const window = new SequenceWindow();
  /** What comes next: flow, number in the flow (low 32 bits, high 16). */
  const expected = new Int32Array(new SharedArrayBuffer(12));

  const numberOf = (flow: number, low: number, high: number): number =>
    ((low >>> 0) + high * 2 ** 32) * flows + flow;

  /** Out of order in some way. */
  function inSequence(flow: number, low: number, high: number): void {
    const verdict = window.accept(
      numberOf(flow, low, high),
      numberOf(expected[0], expected[1], expected[2]),
    );
    if (verdict === DUPLICATE) {
      f64[counts + COUNTS.DUPLICATES]++;
      return;
    }
    f64[counts + COUNTS.RECEIVED]++;
    f64[counts + COUNTS.GAPS] += verdict === LATE ? -1 : verdict;
    if (verdict !== LATE) expect(flow, low, high);
  }

  /** The next one after this. */
  function expect(flow: number, low: number, high: number): void {
    const wraps = flow + 1 === flows;
    const next = wraps ? (low + 1) | 0 : low;
    expected[0] = wraps ? 0 : flow + 1;
    expected[1] = next;
    expected[2] = wraps && next === 0 ? (high + 1) & 0xffff : high;
  }

  /** What differs from the template in the payload; 0 where nothing does. */
  function payload(w: number, template: number, length: number): number {
    let wrong = ~(heap[w + LOW] ^ heap[w + LOW_COMPLEMENT]);
    wrong |= ((heap[w + HIGH] >>> 16) ^ heap[w + HIGH] ^ 0xffff) & 0xffff;
    const whole = length >>> 2;
    for (let k: number = PATTERN; k < whole; k = (k + 1) | 0)
      wrong |= heap[w + k] ^ heap[template + k];
    const mask = (1 << ((length & 3) << 3)) - 1;
    if (mask !== 0) wrong |= (heap[w + whole] ^ heap[template + whole]) & mask;
    return wrong;
  }

  /** What differs from the template in the headers. @param port source port as it lies in memory */
  function headers(w: number, template: number, port: number): number {
    let wrong = 0;
    for (let k: number = TYPE; k <= HOSTS; k = (k + 1) | 0)
      wrong |= heap[w + k] ^ heap[template + k];
    wrong |= heap[w + UDP] ^ heap[template + UDP];
    wrong |= heap[w + MARK] ^ heap[template + MARK];
    return wrong | (heap[w + PORTS] ^ ((heap[template + PORTS] & 0xffff) | (port << 16)));
  }

  function bytesHold(w: number, length: number): boolean {
    const offset = (w << 2) >>> 0;
    return checksumsHold(u8.subarray(offset, offset + length));
  }

  return function check(bufs, n) {
    for (let i = 0; i < n; i = (i + 1) | 0) {
      const buf = bufs[i];
      const length = u16[LENGTHS + buf];
      const w = ((buf << BUF_WORD_SHIFT) + headroomWords) | 0;
      const ours = heap[w + MARK] >>> 16 === OUR_MARK && heap[w + STREAM] >>> 16 === stream;
      if (!ours || length < SHORTEST) continue;
      const template = length <= MAX_LENGTH ? templateOf[length] : 0;
      const port = ~heap[w + STREAM] & 0xffff;
      const flow = flowOf(port);
      if (
        template === 0 ||
        flow >= flows ||
        payload(w, template, length) !== 0 ||
        (headers(w, template, port) !== 0 && !bytesHold(w, length))
      ) {
        f64[counts + COUNTS.CORRUPT]++;
        continue;
      }
      const low = heap[w + LOW];
      const high = heap[w + HIGH] & 0xffff;
      if (flow === expected[0] && low === expected[1] && high === expected[2]) {
        f64[counts + COUNTS.RECEIVED]++;
        expect(flow, low, high);
      } else inSequence(flow, low, high);
    }
  };
}
