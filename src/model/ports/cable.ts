// A cable between two ports of one model: what leaves one comes in on the other.
// Frames wait in a bounded queue of copies while the target VF has no descriptor;
// what does not fit is dropped and counted. The link is up while both ends are plugged in.

import { copyWords, type FrameBatch, LOOP_BATCH } from '../frame.ts';
import { OFFER, type PortCounters, type WirePort } from '../types.ts';
import type { CableEnd } from './cables.ts';
import { countedVf, type WireContext } from './context.ts';

/** Bytes of copies that wait in one direction: 14,563 small frames or 106 of the largest. */
const QUEUE_BYTES = 1024 * 1024;
/** In a record's length word: the rest of the queue up to its end is unused. */
const SKIP = -1;
/** Bytes before the frame: its length, and a word that keeps it where 8 bytes can be copied at a time. */
const PREFIX_BYTES = 8;
/** Bytes 12 and 13 of a tagged frame, as the low half of word 3 has them. */
const TAG = 0x0081;
/** Longer than any frame a switch takes: `claim` refuses it. */
const TOO_LONG = 0x10000;

/** One end of a cable. */
export class CablePort implements WirePort, CableEnd {
  readonly spec: string;
  peer: CableEnd | undefined;
  /** Frames from the other end that found the queue of this end full. */
  dropped = 0;
  private readonly cable: number;
  private readonly context: WireContext;
  /** Heap byte offset of the queue towards this end: records of PREFIX_BYTES and the frame. */
  private readonly queue: number;
  /** Byte positions in the queue; equal means empty, so one word always stays free. */
  private head = 0;
  private tail = 0;
  /** Frames in the queue. */
  private waiting = 0;
  private readonly offered: Float64Array;
  /** Bytes of the longest frame of the last run. */
  private longest = 0;

  /** @throws RangeError where both ends of the cable are taken */
  constructor(spec: string, cable: number, context: WireContext) {
    this.spec = spec;
    this.cable = cable;
    this.context = context;
    context.cables.plug(cable, this);
    this.queue = context.allocate(QUEUE_BYTES);
    this.offered = new Float64Array(context.vfs);
  }

  get linkUp(): boolean {
    return this.peer !== undefined;
  }

  step(budget: number): number {
    const { context } = this;
    const { ingress, batch } = context;
    const { i32, u8 } = context.views();
    let moved = 0;
    while (moved < budget) {
      const run = this.run(i32, batch, Math.min(budget - moved, LOOP_BATCH));
      if (run === 0) break;
      const first = batch.offsets[0] >>> 0;
      const vf = countedVf(context, u8, first);
      const w = first >>> 2;
      let n = ingress.claim(i32[w], i32[w + 1] & 0xffff, this.longest, run);
      if (n > 0) {
        context.frameLoops().copyRun(n);
        ingress.commit(n);
      } else {
        if (ingress.offer(first, batch.lengths[0], true) === OFFER.LATER) break;
        n = 1;
      }
      for (let i = 0; i < n; i++) this.pass(i32);
      this.offered[vf] += n;
      moved += n;
    }
    return moved;
  }

  /**
   * Finds the frames at the head of the queue that have one unicast destination and no tag, and puts them into the batch.
   * @returns how many, at most `limit`; a first one that is not so is alone
   */
  private run(i32: Int32Array, { offsets, lengths }: FrameBatch, limit: number): number {
    let at = this.head;
    let n = 0;
    let word0 = 0;
    let word1 = 0;
    this.longest = 0;
    while (n < limit && at !== this.tail) {
      const length = i32[(this.queue + at) >>> 2];
      if (length === SKIP) {
        at = 0;
        continue;
      }
      const w = (this.queue + at + PREFIX_BYTES) >>> 2;
      const plain = (i32[w] & 1) === 0 && (i32[w + 3] & 0xffff) !== TAG;
      if (n === 0) {
        word0 = i32[w];
        word1 = i32[w + 1] & 0xffff;
      } else if (!plain || i32[w] !== word0 || (i32[w + 1] & 0xffff) !== word1) {
        break;
      }
      offsets[n] = w << 2;
      lengths[n] = length;
      if (length > this.longest) this.longest = length;
      n++;
      if (!plain) {
        // No destination of `claim`.
        this.longest = TOO_LONG;
        break;
      }
      at += recordBytes(length);
      if (at === QUEUE_BYTES) at = 0;
    }
    return n;
  }

  /** Goes past the frame at the head. */
  private pass(i32: Int32Array): void {
    if (i32[(this.queue + this.head) >>> 2] === SKIP) this.head = 0;
    this.waiting--;
    this.head += recordBytes(i32[(this.queue + this.head) >>> 2]);
    if (this.head === QUEUE_BYTES) this.head = 0;
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, _vf: number): void {
    const { peer } = this;
    if (peer === undefined) {
      this.dropped += n;
      return;
    }
    for (let i = 0; i < n; i++) peer.receive(offsets[i] >>> 0, lengths[i]);
  }

  /** The other end has no link either meanwhile; what waits stays. @throws RangeError where the cable got two other ends */
  setPlugged(plugged: boolean): void {
    const { cables } = this.context;
    if (plugged) cables.plug(this.cable, this);
    else cables.unplug(this.cable, this);
  }

  addCounters(vf: number, counters: PortCounters): void {
    counters.offered += this.offered[vf];
  }

  /** Unplugs this end; what waited in it is gone. Idempotent. */
  close(): void {
    this.context.cables.unplug(this.cable, this);
    this.dropped += this.waiting;
    this.waiting = 0;
    this.head = this.tail;
  }

  receive(offset: number, length: number): void {
    const at = this.room(recordBytes(length));
    if (at < 0) {
      this.dropped++;
      return;
    }
    const views = this.context.views();
    const to = this.queue + at + PREFIX_BYTES;
    views.i32[(this.queue + at) >>> 2] = length;
    if ((offset & 3) === 0) copyWords(views, to >>> 2, offset >>> 2, length);
    else views.u8.copyWithin(to, offset, offset + length);
    this.waiting++;
    this.tail = at + recordBytes(length);
    if (this.tail === QUEUE_BYTES) this.tail = 0;
  }

  /** @returns where a record of `bytes` may start, or -1. The tail never catches up with the head. */
  private room(bytes: number): number {
    if (this.tail < this.head) return this.tail + bytes < this.head ? this.tail : -1;
    const end = this.tail + bytes;
    if (end < QUEUE_BYTES || (end === QUEUE_BYTES && this.head > 0)) return this.tail;
    if (bytes >= this.head) return -1;
    this.context.views().i32[(this.queue + this.tail) >>> 2] = SKIP;
    return 0;
  }
}

function recordBytes(length: number): number {
  return PREFIX_BYTES + ((length + 7) & ~7);
}
