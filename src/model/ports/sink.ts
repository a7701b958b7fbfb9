// HOT. The receiving half of a gen port: checks each frame that leaves the chip, where it lies in the heap, against what
// the generator of its stream must have made. A frame that has next to nothing of a test frame is `other` traffic: ARP,
// ping, one that carries a VLAN tag.

import type { ArenaViews } from '../../memory/layout.ts';
import { ANY_NUMBER, FRAME_CHECK_BYTES, FrameCheck } from '../../traffic/frame-check.ts';
import { DUPLICATE, FlowSequences, LATE } from '../../traffic/sequence.ts';
import {
  flowOf,
  LONGEST,
  looksLikeTestFrame,
  MARK,
  PATTERN_START,
  STAMPED_MARK,
  STREAMS,
  sequenceOf,
  streamOf,
  swap16,
  WORD,
} from '../../traffic/test-frame.ts';
import type { PortCounters } from '../types.ts';
import type { WireContext } from './context.ts';

const FIGURES = 4;
const STAMPED_HALF = swap16(STAMPED_MARK);

/** Counts what the VFs of its port send, by VF. */
export class Sink {
  /** Frames that no generator made. */
  other = 0;
  private readonly context: WireContext;
  private readonly streams: (FlowSequences | undefined)[] = new Array(STREAMS).fill(undefined);
  private readonly frames: FrameCheck;
  /** Heap byte offset of room for a frame that is not aligned. */
  private readonly scratch: number;
  /** Per VF: received, gaps, duplicates, corrupt. */
  private readonly figures: Float64Array;

  constructor(context: WireContext) {
    this.context = context;
    const offset = context.allocate(FRAME_CHECK_BYTES);
    this.scratch = context.allocate(LONGEST);
    this.frames = new FrameCheck(context.views().i32, offset);
    this.figures = new Float64Array(context.vfs * FIGURES);
  }

  /** Checks the n frames of the NIC's batch. */
  check(n: number, vf: number): void {
    const views = this.context.views();
    const { i32 } = views;
    const { offsets, lengths } = this.context.batch;
    const loops = this.context.frameLoops();
    let received = 0;
    for (let i = 0; i < n; ) {
      const length = lengths[i];
      const stream = streamOf(i32, offsets[i] >>> 2);
      const sequences = this.streams[stream];
      let end = i;
      if (sequences !== undefined && length <= LONGEST) {
        end = this.frames.pass(loops, i32, i, n, length, stream, sequences.expected);
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
  private checkSlowly({ i32, u8 }: ArenaViews, i: number, vf: number): number {
    const { offsets, lengths } = this.context.batch;
    const offset = offsets[i] >>> 0;
    const length = lengths[i];
    if (length >= PATTERN_START && length <= LONGEST) {
      if ((offset & 7) !== 0) {
        u8.copyWithin(this.scratch, offset, offset + length);
        offsets[i] = this.scratch;
      }
      const w = offsets[i] >>> 2;
      const stream = streamOf(i32, w);
      const stamped = i32[w + WORD.MARK] >>> 16 === STAMPED_HALF;
      const mark = stamped ? STAMPED_MARK : MARK;
      const loops = this.context.frameLoops();
      if (this.frames.pass(loops, i32, i, i + 1, length, stream, ANY_NUMBER, mark) > i) {
        return this.inSequence(i32, w, vf, stamped);
      }
    }
    if (looksLikeTestFrame(u8, offset, length)) this.figures[vf * FIGURES + 3]++;
    else this.other++;
    return 0;
  }

  /** Takes in the number of an intact frame. @returns 1 where it is received for the first time */
  private inSequence(i32: Int32Array, w: number, vf: number, stamped: boolean): number {
    const stream = streamOf(i32, w);
    let sequences = this.streams[stream];
    if (sequences === undefined) {
      sequences = new FlowSequences();
      this.streams[stream] = sequences;
    }
    const flow = flowOf(i32[w + WORD.PORTS] >>> 16);
    const sequence = sequenceOf(i32, w);
    const verdict = sequences.accept(flow, sequence);
    if (verdict === DUPLICATE) {
      this.figures[vf * FIGURES + 2]++;
      return 0;
    }
    this.figures[vf * FIGURES + 1] += verdict === LATE ? -1 : verdict;
    if (stamped) this.context.latencies.find(stream)?.arrived(flow, sequence);
    return 1;
  }
}
