// HOT. The receiving half of a gen port: checks each frame that leaves the chip, where
// it lies in the heap, against what the generator of its stream must have made. Every
// byte but the two MACs is compared (a forwarder rewrites those). A frame that has next to
// nothing of a generator's is `other` traffic: ARP, ping, one that carries a VLAN tag.

import type { ArenaViews } from '../../memory/layout.ts';
import type { PortCounters } from '../types.ts';
import {
  HALF_DESTINATION_NET,
  HALF_DESTINATION_PORT,
  HALF_MAGIC,
  HALF_SOURCE_NET,
  HEADER_BYTES,
  halfDestinationHost,
  halfStream,
  MAX_FRAME,
  patternWord,
  STREAMS,
  WORD_PROTOCOL,
  WORD_TYPE,
  wordHosts,
  wordIpChecksum,
  wordLength,
  wordUdpChecksum,
  wordUdpLength,
} from './frame-format.ts';
import type { PortContext } from './port-context.ts';
import { DUPLICATE, FlowSequences, LATE } from './sequence.ts';

/** Cached header words of a (stream, length), found by their low bits: 16 lines of 8 words. */
const LINES = 16;
const LINE_WORDS = 8;
const FIGURES = 4;
/** Of six marks, how many make a damaged frame ours. A foreign UDP frame to port 9 shows two. */
const MARKS_NEEDED = 3;

/** See the head of this file. */
export class Sink {
  /** Frames that no generator made. */
  other = 0;
  private readonly context: PortContext;
  private readonly streams: (FlowSequences | undefined)[] = new Array(STREAMS).fill(undefined);
  /** Heap word of the cache lines, of the pattern (index 0 is word 0 of a frame), of the copy below. */
  private readonly lines: number;
  private readonly pattern: number;
  private readonly scratch: number;
  /** Per VF: received, gaps, duplicates, corrupt. */
  private readonly figures: Float64Array;

  constructor(context: PortContext) {
    this.context = context;
    this.lines = context.allocate(LINES * LINE_WORDS * 4) >>> 2;
    this.pattern = context.allocate(MAX_FRAME) >>> 2;
    this.scratch = context.allocate(MAX_FRAME) >>> 2;
    this.figures = new Float64Array(context.vfs * FIGURES);
    const { i32 } = context.views();
    for (let k = HEADER_BYTES / 4; k * 4 < MAX_FRAME; k++) i32[this.pattern + k] = patternWord(k);
  }

  /** Checks n frames; arguments as WirePort.transmit. */
  check(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void {
    const views = this.context.views();
    const { i32, f64 } = views;
    const lines = this.lines;
    const pattern = this.pattern;
    let received = 0;
    for (let i = 0; i < n; i = (i + 1) | 0) {
      const offset = offsets[i]!;
      const length = lengths[i]!;
      const word = offset >>> 2;
      const stream = (i32[word + 14]! >>> 16) & 0xff;
      const line = lines + ((length ^ stream) & (LINES - 1)) * LINE_WORDS;
      // One in-order frame after the other takes no call: a call makes the compiler load the views again.
      if (
        (offset & 7) === 0 &&
        i32[line] === ((stream << 16) | length) &&
        headerMatches(i32, word, line) &&
        bodyMatches(i32, f64, word, pattern, length)
      ) {
        const half = i32[word + 8]! >>> 16;
        const at = (((half & 0x3f) << 8) | (half >>> 8)) << 1;
        const low = i32[word + 11]!;
        const sequences = this.streams[stream];
        if (sequences !== undefined) {
          const expected = sequences.expected;
          if (
            at < expected.length &&
            expected[at] === low &&
            expected[at + 1] === (i32[word + 13]! & 0xffff)
          ) {
            const next = (low + 1) | 0;
            expected[at] = next;
            if (next === 0) expected[at + 1]!++;
            received = (received + 1) | 0;
            continue;
          }
        }
      }
      received = (received + this.checkSlowly(views, offset >>> 0, length, vf)) | 0;
    }
    this.figures[vf * FIGURES]! += received;
  }

  /** Adds the sink figures of a VF: of the frames that it sent. */
  addCounters(vf: number, counters: PortCounters): void {
    counters.sinkReceived += this.figures[vf * FIGURES]!;
    counters.sinkGaps += this.figures[vf * FIGURES + 1]!;
    counters.sinkDuplicates += this.figures[vf * FIGURES + 2]!;
    counters.sinkCorrupt += this.figures[vf * FIGURES + 3]!;
  }

  /** Any frame: of whatever alignment, damaged, out of order. @returns 1 where it counts as received */
  private checkSlowly(views: ArenaViews, offset: number, length: number, vf: number): number {
    const { i32, f64, u8 } = views;
    const word = (offset & 7) === 0 ? offset >>> 2 : this.aligned(u8, offset, length);
    if (length >= HEADER_BYTES && length <= MAX_FRAME) {
      const stream = (i32[word + 14]! >>> 16) & 0xff;
      const line = this.lines + ((length ^ stream) & (LINES - 1)) * LINE_WORDS;
      if (i32[line] !== ((stream << 16) | length)) fillLine(i32, line, length, stream);
      if (headerMatches(i32, word, line) && bodyMatches(i32, f64, word, this.pattern, length)) {
        const half = i32[word + 8]! >>> 16;
        return this.inSequence(i32, word, ((half & 0x3f) << 8) | (half >>> 8), vf);
      }
    }
    if (looksGenerated(u8, offset, length)) this.figures[vf * FIGURES + 3]!++;
    else this.other++;
    return 0;
  }

  /** Takes in the number of an intact frame. @returns 1 where it is received for the first time */
  private inSequence(i32: Int32Array, word: number, flow: number, vf: number): number {
    const stream = (i32[word + 14]! >>> 16) & 0xff;
    let sequences = this.streams[stream];
    if (sequences === undefined) {
      sequences = new FlowSequences();
      this.streams[stream] = sequences;
    }
    const seq = (i32[word + 11]! >>> 0) + (i32[word + 13]! & 0xffff) * 2 ** 32;
    const verdict = sequences.accept(flow, seq);
    if (verdict === DUPLICATE) {
      this.figures[vf * FIGURES + 2]!++;
      return 0;
    }
    this.figures[vf * FIGURES + 1]! += verdict === LATE ? -1 : verdict;
    return 1;
  }

  /** Copies a frame that starts at no multiple of 8. @returns the copy's heap word */
  private aligned(u8: Uint8Array, offset: number, length: number): number {
    const to = (this.scratch << 2) >>> 0;
    u8.copyWithin(to, offset, offset + Math.min(length, MAX_FRAME));
    return this.scratch;
  }
}

/** Whether words 3..14 are what the stream's generator makes for this length, any flow and number. */
function headerMatches(i32: Int32Array, word: number, line: number): boolean {
  const ports = i32[word + 8]!;
  const high = i32[word + 13]!;
  let wrong = i32[word + 3]! ^ WORD_TYPE;
  wrong |= i32[word + 4]! ^ i32[line + 1]!;
  wrong |= i32[word + 5]! ^ WORD_PROTOCOL;
  wrong |= i32[word + 6]! ^ i32[line + 2]!;
  wrong |= i32[word + 7]! ^ i32[line + 3]!;
  wrong |= i32[word + 9]! ^ i32[line + 4]!;
  wrong |= i32[word + 10]! ^ i32[line + 5]!;
  // Word 8: the host below, the flow's port above, whose two top bits are set.
  wrong |= (ports & 0xc0ffff) ^ i32[line + 6]!;
  // Word 14: complement of the port below, stream above.
  wrong |= ((ports >>> 16) | i32[line + 7]!) ^ i32[word + 14]! ^ 0xffff;
  wrong |= ~(i32[word + 11]! ^ i32[word + 12]!);
  wrong |= ((high >>> 16) ^ high ^ 0xffff) & 0xffff;
  return wrong === 0;
}

/**
 * Whether the bytes from 60 on are the pattern. Eight at a time as doubles: none of the pattern's is a
 * NaN or a zero, and any other two doubles are equal only where all their bits are.
 * @param word heap word of the frame, even
 */
function bodyMatches(
  i32: Int32Array,
  f64: Float64Array,
  word: number,
  pattern: number,
  length: number,
): boolean {
  const whole = length >>> 2;
  if (whole > 15 && i32[word + 15] !== i32[pattern + 15]) return false;
  const doubles = length >>> 3;
  const from = word >>> 1;
  const like = pattern >>> 1;
  for (let k = 8; k < doubles; k = (k + 1) | 0) {
    if (f64[from + k] !== f64[like + k]) return false;
  }
  if ((whole & 1) !== 0 && whole > 16 && i32[word + whole - 1] !== i32[pattern + whole - 1]) {
    return false;
  }
  const mask = (1 << ((length & 3) << 3)) - 1;
  return mask === 0 || ((i32[word + whole]! ^ i32[pattern + whole]!) & mask) === 0;
}

function fillLine(i32: Int32Array, line: number, length: number, stream: number): void {
  i32[line] = (stream << 16) | length;
  i32[line + 1] = wordLength(length);
  i32[line + 2] = wordIpChecksum(length, stream);
  i32[line + 3] = wordHosts(stream);
  i32[line + 4] = wordUdpLength(length);
  i32[line + 5] = wordUdpChecksum(length, stream);
  i32[line + 6] = halfDestinationHost(stream) | 0xc00000;
  i32[line + 7] = halfStream(stream) << 16;
}

/**
 * Whether a frame that is not intact was a generator's once. Several independent marks, so that
 * damage to one of them cannot hide the frame among `other`.
 */
function looksGenerated(u8: Uint8Array, offset: number, length: number): boolean {
  const half = (at: number): number =>
    at + 2 <= length ? u8[offset + at]! | (u8[offset + at + 1]! << 8) : -1;
  const opposite = (a: number, b: number): boolean =>
    b + 2 <= length && (half(a) ^ half(b)) === 0xffff;
  let marks = 0;
  if ((half(12) | (half(14) << 16)) === WORD_TYPE) marks++;
  if (half(26) === HALF_SOURCE_NET && half(30) === HALF_DESTINATION_NET) marks++;
  if (half(36) === HALF_DESTINATION_PORT) marks++;
  if (half(42) === HALF_MAGIC) marks++;
  if (opposite(44, 48) && opposite(46, 50) && opposite(52, 54)) marks++;
  if (opposite(34, 56)) marks++;
  return marks >= MARKS_NEEDED;
}
