// HOT. The receiving half of a gen port: checks each frame that leaves the chip, where
// it lies in the heap, against what the generator of its stream must have made. Every
// byte but the two MACs is compared (a forwarder rewrites those). A frame that has next to
// nothing of a generator's is `other` traffic: ARP, ping, one that carries a VLAN tag.

import type { ArenaViews } from '../../memory/layout.ts';
import type { PortCounters } from '../types.ts';
import type { PortContext } from './context.ts';
import {
  HALF_DESTINATION_NET,
  HALF_DESTINATION_PORT,
  HALF_MAGIC,
  HALF_SOURCE_NET,
  HALF_STAMPED_MAGIC,
  HEADER_BYTES,
  halfDestinationHost,
  halfStream,
  MAX_FRAME,
  patternWord,
  STREAMS,
  WORD_TYPE,
  wordHosts,
  wordIpChecksum,
  wordLength,
  wordUdpChecksum,
  wordUdpLength,
} from './frame-format.ts';
import { LINE_WORDS, LINES } from './frame-loops.ts';
import { DUPLICATE, FlowSequences, LATE } from './sequence.ts';

const FIGURES = 4;
const ANY_NUMBER = new Int32Array(new SharedArrayBuffer(0));
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
    // A second cache for stamped frames.
    this.lines = context.allocate(2 * LINES * LINE_WORDS * 4) >>> 2;
    this.pattern = context.allocate(MAX_FRAME) >>> 2;
    this.scratch = context.allocate(MAX_FRAME) >>> 2;
    this.figures = new Float64Array(context.vfs * FIGURES);
    const { i32 } = context.views();
    for (let k = HEADER_BYTES / 4; k * 4 < MAX_FRAME; k++) i32[this.pattern + k] = patternWord(k);
  }

  /** Checks the n frames of the NIC's batch. */
  check(n: number, vf: number): void {
    const views = this.context.views();
    const { offsets, lengths } = this.context.batch;
    const loops = this.context.frameLoops();
    let received = 0;
    for (let i = 0; i < n; ) {
      const length = lengths[i];
      const stream = (views.i32[(offsets[i] >>> 2) + 14] >>> 16) & 0xff;
      const sequences = this.streams[stream];
      let end = i;
      if (sequences !== undefined && length <= MAX_FRAME) {
        this.fillLine(views.i32, length, stream);
        end = loops.inOrder(i, n, stream, this.lines, this.pattern, sequences.expected);
      }
      received += end - i;
      if (end === i) {
        received += this.checkSlowly(views, i, vf);
        end++;
      }
      i = end;
    }
    this.figures[vf * FIGURES] += received;
  }

  /** Adds the sink figures of a VF: of the frames that it sent. */
  addCounters(vf: number, counters: PortCounters): void {
    counters.sinkReceived += this.figures[vf * FIGURES];
    counters.sinkGaps += this.figures[vf * FIGURES + 1];
    counters.sinkDuplicates += this.figures[vf * FIGURES + 2];
    counters.sinkCorrupt += this.figures[vf * FIGURES + 3];
  }

  /**
   * Any frame: of whatever alignment, damaged, out of order.
   * @param i index in the batch
   * @returns 1 where it counts as received
   */
  private checkSlowly(views: ArenaViews, i: number, vf: number): number {
    const { i32, u8 } = views;
    const { offsets, lengths } = this.context.batch;
    const offset = offsets[i] >>> 0;
    const length = lengths[i];
    const word = (offset & 7) === 0 ? offset >>> 2 : this.aligned(u8, offset, length);
    if (length >= HEADER_BYTES && length <= MAX_FRAME) {
      const stream = (i32[word + 14] >>> 16) & 0xff;
      const stamped = i32[word + 10] >>> 16 === HALF_STAMPED_MAGIC;
      this.fillLine(i32, length, stream, stamped);
      const lines = this.lines + (stamped ? LINES * LINE_WORDS : 0);
      offsets[i] = word << 2;
      const loops = this.context.frameLoops();
      if (loops.inOrder(i, i + 1, stream, lines, this.pattern, ANY_NUMBER) > i) {
        const half = i32[word + 8] >>> 16;
        return this.inSequence(i32, word, ((half & 0x3f) << 8) | (half >>> 8), vf, stamped);
      }
    }
    if (looksGenerated(u8, offset, length)) this.figures[vf * FIGURES + 3]++;
    else this.other++;
    return 0;
  }

  /** Takes in the number of an intact frame. @returns 1 where it is received for the first time */
  private inSequence(
    i32: Int32Array,
    word: number,
    flow: number,
    vf: number,
    stamped: boolean,
  ): number {
    const stream = (i32[word + 14] >>> 16) & 0xff;
    let sequences = this.streams[stream];
    if (sequences === undefined) {
      sequences = new FlowSequences();
      this.streams[stream] = sequences;
    }
    const seq = (i32[word + 11] >>> 0) + (i32[word + 13] & 0xffff) * 2 ** 32;
    const verdict = sequences.accept(flow, seq);
    if (verdict === DUPLICATE) {
      this.figures[vf * FIGURES + 2]++;
      return 0;
    }
    this.figures[vf * FIGURES + 1] += verdict === LATE ? -1 : verdict;
    if (stamped) this.context.latencies.find(stream)?.arrived(flow, seq);
    return 1;
  }

  /** Fills the cache line of a length and a stream. */
  private fillLine(i32: Int32Array, length: number, stream: number, stamped = false): void {
    const index = ((length ^ stream) & (LINES - 1)) + (stamped ? LINES : 0);
    const line = this.lines + index * LINE_WORDS;
    if (i32[line] !== ((stream << 16) | length)) fillLine(i32, line, length, stream, stamped);
  }

  /** Copies a frame that starts at no multiple of 8. @returns the copy's heap word */
  private aligned(u8: Uint8Array, offset: number, length: number): number {
    const to = (this.scratch << 2) >>> 0;
    u8.copyWithin(to, offset, offset + Math.min(length, MAX_FRAME));
    return this.scratch;
  }
}

function fillLine(
  i32: Int32Array,
  line: number,
  length: number,
  stream: number,
  stamped: boolean,
): void {
  i32[line] = (stream << 16) | length;
  i32[line + 1] = wordLength(length);
  i32[line + 2] = wordIpChecksum(length, stream);
  i32[line + 3] = wordHosts(stream);
  i32[line + 4] = wordUdpLength(length);
  i32[line + 5] = wordUdpChecksum(length, stream, stamped);
  i32[line + 6] = halfDestinationHost(stream) | 0xc00000;
  i32[line + 7] = halfStream(stream) << 16;
}

/**
 * Whether a frame that is not intact was a generator's once. Several independent marks, so that
 * damage to one of them cannot hide the frame among `other`.
 */
function looksGenerated(u8: Uint8Array, offset: number, length: number): boolean {
  const half = (at: number): number =>
    at + 2 <= length ? u8[offset + at] | (u8[offset + at + 1] << 8) : -1;
  const opposite = (a: number, b: number): boolean =>
    b + 2 <= length && (half(a) ^ half(b)) === 0xffff;
  let marks = 0;
  if ((half(12) | (half(14) << 16)) === WORD_TYPE) marks++;
  if (half(26) === HALF_SOURCE_NET && half(30) === HALF_DESTINATION_NET) marks++;
  if (half(36) === HALF_DESTINATION_PORT) marks++;
  if (half(42) === HALF_MAGIC || half(42) === HALF_STAMPED_MAGIC) marks++;
  if (opposite(44, 48) && opposite(46, 50) && opposite(52, 54)) marks++;
  if (opposite(34, 56)) marks++;
  return marks >= MARKS_NEEDED;
}
