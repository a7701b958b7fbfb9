// HOT. The inner loops of every user of test frames: writing a run of frames, and checking a run of frames that arrive
// intact and in order. A check stops at the first frame that is not so and leaves it to its caller. One set of closures
// a thread: with the views as constants of the closure, V8 folds their addresses and lengths into the code, which is 2 to
// 3 times faster than the same loops over fields of an object (node 20 to 24).

import type { ArenaViews } from '../memory/layout.ts';
import { GEN } from './generator.ts';
import { PROTOCOL_WORD, TYPE_WORD } from './test-frame.ts';

// Constants of this module: imported bindings are loaded and checked at each use.
const TYPE = TYPE_WORD;
const PROTOCOL = PROTOCOL_WORD;

/** From this many bytes on, the builtin's fixed cost pays (node 20 on an EPYC: 35 ns and 2.5 bytes a cycle). */
const BUILTIN_BYTES = 448;
/** Bytes of the frame without its pattern, rounded up to 8, and in 8-byte words. */
const HEAD_QUADS = 7;
const SHORTEST = 60;
/** Buffers start at multiples of 2 KiB: from a heap word to the number of its buffer. */
const BUF_WORD_SHIFT = 9;

const { FLOW, LOW, HIGH, TURN, TURNS, SKIP, FLOWS, HOST, STREAM, TABLE } = GEN;

/**
 * A checker keeps the headers (words 3 to 14) that frames of a length and a stream must have in lines of 16 words,
 * found by the low bits of stream ^ length. Word 0 of a line says what it is for: stream << 16 | length.
 */
export const LINES = 16;
export const LINE_WORDS = 16;
const LINE_MASK = LINES - 1;

/** Frames between two loops. Arrays over shared memory: a plain ArrayBuffer is slower on Node 20 and 22. */
export interface FrameRun {
  /** To be checked: heap byte offsets as int32, and bytes, of frames. */
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  /** To be written: heap words of buffers, multiples of 2, and bytes of the frames written there. */
  readonly targets: Int32Array;
  readonly sizes: Int32Array;
  /**
   * Where frames are written into packet buffers that keep what is written: for each buffer the heap word of the
   * template that it holds, 0 for none. Of such a frame only the words that differ are written again.
   */
  readonly held?: Int32Array;
}

/** Makes room for runs of up to `frames` frames. @param buffers above 0: numbers of packet buffers are below this */
export function makeFrameRun(frames: number, buffers = 0): FrameRun {
  const words = (count: number): Int32Array => new Int32Array(new SharedArrayBuffer(count * 4));
  return {
    offsets: words(frames),
    lengths: words(frames),
    targets: words(frames),
    sizes: words(frames),
    ...(buffers > 0 && { held: words(buffers) }),
  };
}

/** The loops over the frames of one FrameRun. */
export interface FrameLoops {
  readonly run: FrameRun;
  /**
   * Writes the next n frames of a generator to `targets`, their bytes to `sizes`, and moves the generator on.
   * @param g heap word of the generator's state block
   */
  write(g: number, n: number): void;
  /**
   * Passes over the frames of `offsets` and `lengths`, from index i on, that are intact (all but the MACs is what the
   * generator makes for their length, any flow and number), of this stream, of a length that has a cache line, and
   * the expected ones of their flows; moves the expectations on.
   * @param lines heap word of the checker's lines
   * @param pattern heap word of the pattern; index 0 is word 0 of a frame
   * @param expected two words a flow: next sequence number, low 32 bits then high 16; of length 0: any number will do
   * @returns the index of the first that is not so
   */
  inOrder(
    i: number,
    n: number,
    stream: number,
    lines: number,
    pattern: number,
    expected: Int32Array,
  ): number;
  /** Whether the bytes from 60 on are the pattern. @param w heap word of the frame, a multiple of 2 */
  patternHolds(w: number, pattern: number, length: number): boolean;
}

/** Makes the loops over these views. A thread makes one set: V8 no longer takes the views for constants once it has seen two. */
export function makeFrameLoops(views: ArenaViews, run: FrameRun): FrameLoops {
  const { i32: h, u64, u8, f64 } = views;
  const { offsets, lengths, targets, sizes, held } = run;

  function write(g: number, n: number): void {
    const flows = h[g + FLOWS];
    const turns = h[g + TURNS];
    const skip = h[g + SKIP];
    const host = h[g + HOST];
    const stream = h[g + STREAM];
    let flow = h[g + FLOW];
    let low = h[g + LOW];
    let high = h[g + HIGH];
    let turn = h[g + TURN];
    for (let i = 0; i < n; i = (i + 1) | 0) {
      const entry = (g + TABLE + (turn << 1)) | 0;
      const template = h[entry];
      const length = h[entry + 1];
      const w = targets[i];
      sizes[i] = length;
      if (held === undefined || held[w >>> BUF_WORD_SHIFT] !== template) {
        const to = w >>> 1;
        const from = template >>> 1;
        u64[to] = u64[from];
        u64[to + 1] = u64[from + 1];
        u64[to + 2] = u64[from + 2];
        u64[to + 3] = u64[from + 3];
        u64[to + 4] = u64[from + 4];
        u64[to + 5] = u64[from + 5];
        if (length > SHORTEST) body(w, template, length);
        if (held !== undefined) held[w >>> BUF_WORD_SHIFT] = template;
      }
      // The source port, 32768 + flow, as its two bytes lie in memory.
      const half = 0x80 | (flow >>> 8) | ((flow & 0xff) << 8);
      h[w + 8] = host | (half << 16);
      h[w + 11] = low;
      h[w + 12] = ~low;
      h[w + 13] = high | (~high << 16);
      h[w + 14] = stream | (half ^ 0xffff);
      flow = (flow + 1) | 0;
      turn = (turn + 1) | 0;
      if (flow === flows) {
        flow = 0;
        low = (low + 1) | 0;
        if (low === 0) high = (high + 1) & 0xffff;
        turn = (turn + skip) | 0;
      }
      if (turn >= turns) turn = (turn % turns) | 0;
    }
    h[g + FLOW] = flow;
    h[g + LOW] = low;
    h[g + HIGH] = high;
    h[g + TURN] = turn;
  }

  /** The pattern, from byte 60 on; no byte beyond the frame is changed. */
  function body(w: number, template: number, length: number): void {
    h[w + 15] = length >= 64 ? h[template + 15] : lastWord(w, template, 15, length);
    if (length >= BUILTIN_BYTES) {
      const start = ((template << 2) + 64) >>> 0;
      u8.copyWithin(((w << 2) + 64) >>> 0, start, (start + length - 64) >>> 0);
      return;
    }
    const to = w >>> 1;
    const from = template >>> 1;
    const quads = length >>> 3;
    for (let k = HEAD_QUADS + 1; k < quads; k = (k + 1) | 0) u64[to + k] = u64[from + k];
    const word = length >>> 2;
    if ((word & 1) !== 0 && word > 16) h[w + word - 1] = h[template + word - 1];
    if (word > 15 && (length & 3) !== 0) h[w + word] = lastWord(w, template, word, length);
  }

  /** Word k of the frame where the frame ends inside it. */
  function lastWord(w: number, template: number, k: number, length: number): number {
    const mask = (1 << ((length & 3) << 3)) - 1;
    return (h[w + k] & ~mask) | (h[template + k] & mask);
  }

  function inOrder(
    first: number,
    n: number,
    stream: number,
    lines: number,
    pattern: number,
    expected: Int32Array,
  ): number {
    const limit = expected.length;
    let i = first;
    for (; i < n; i = (i + 1) | 0) {
      const offset = offsets[i];
      const length = lengths[i];
      const w = offset >>> 2;
      const line = (lines + (((length ^ stream) & LINE_MASK) << 4)) | 0;
      if ((offset & 7) !== 0 || h[line] !== ((stream << 16) | length)) break;
      const word14 = h[w + 14];
      const ports = h[w + 8];
      const low = h[w + 11];
      const high = h[w + 13];
      let wrong = h[w + 3] ^ TYPE;
      wrong |= h[w + 4] ^ h[line + 4];
      wrong |= h[w + 5] ^ PROTOCOL;
      wrong |= h[w + 6] ^ h[line + 6];
      wrong |= h[w + 7] ^ h[line + 7];
      wrong |= h[w + 9] ^ h[line + 9];
      wrong |= h[w + 10] ^ h[line + 10];
      // Word 8: the host below, the flow's port above, whose two top bits are set.
      wrong |= (ports ^ h[line + 8]) & 0xc0ffff;
      // Word 14: complement of the port below, stream above. The line has those of flow 0.
      wrong |= ((ports ^ h[line + 8]) >>> 16) ^ h[line + 14] ^ word14;
      wrong |= ~(low ^ h[w + 12]);
      wrong |= ((high >>> 16) ^ high ^ 0xffff) & 0xffff;
      if (wrong !== 0 || ((word14 >>> 16) & 0xff) !== stream) break;
      if (length > SHORTEST && !patternHolds(w, pattern, length)) break;
      if (limit === 0) continue;
      const half = ports >>> 16;
      const at = (((half & 0x3f) << 8) | (half >>> 8)) << 1;
      if (at >= limit || expected[at] !== low || expected[at + 1] !== (high & 0xffff)) break;
      const next = (low + 1) | 0;
      expected[at] = next;
      if (next === 0) expected[at + 1] = expected[at + 1] + 1;
    }
    return i;
  }

  /**
   * Whether the bytes from 60 on are the pattern. Eight at a time as doubles: none of the pattern's is a
   * NaN or a zero, and any other two doubles are equal only where all their bits are.
   */
  function patternHolds(w: number, pattern: number, length: number): boolean {
    const whole = length >>> 2;
    if (whole > 15 && h[w + 15] !== h[pattern + 15]) return false;
    const doubles = length >>> 3;
    const from = w >>> 1;
    const like = pattern >>> 1;
    for (let k = HEAD_QUADS + 1; k < doubles; k = (k + 1) | 0) {
      if (f64[from + k] !== f64[like + k]) return false;
    }
    if ((whole & 1) !== 0 && whole > 16 && h[w + whole - 1] !== h[pattern + whole - 1]) {
      return false;
    }
    const mask = (1 << ((length & 3) << 3)) - 1;
    return mask === 0 || ((h[w + whole] ^ h[pattern + whole]) & mask) === 0;
  }

  return { run, write, inOrder, patternHolds };
}
