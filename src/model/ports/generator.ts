// HOT. The gen port: makes test frames, every one different (flow and sequence number), where the switch wants them, or
// hands it a copy; what leaves the chip goes to its sink.

import type { FrameLoops } from '../../traffic/frame-loops.ts';
import { GEN, layOutGenerator } from '../../traffic/generator.ts';
import { type Pacer, wirePacer } from '../../traffic/pacer.ts';
import { flowOf, markWord, STAMPED_MARK, sequenceOf, WORD } from '../../traffic/test-frame.ts';
import { type FrameBatch, LOOP_BATCH } from '../frame.ts';
import { OFFER, type PortCounters, type WirePort } from '../types.ts';
import type { FinitePort, WireContext } from './context.ts';
import type { LatencyTrack } from './latency.ts';
import { Sink } from './sink.ts';
import type { GenSpec } from './spec.ts';

/** Generator and sink of one port. */
export class GenPort implements WirePort, FinitePort {
  readonly spec: string;
  readonly linkUp = true;
  readonly sink: Sink;
  private readonly context: WireContext;
  private readonly gen: GenSpec;
  private readonly pacer: Pacer | null;
  /** Absent where no frame is stamped. */
  private readonly latency: LatencyTrack | undefined;
  /** Heap word of the state block (GEN), of each template, of room for a frame that cannot be written in place. */
  private readonly state: number;
  private readonly templates: readonly number[];
  private readonly scratch: number;
  private readonly longest: number;
  private readonly macs: Uint8Array;
  /** The destination as the frames' first two words hold it. */
  private destination0 = 0;
  private destination1 = 0;
  private addressed = false;
  private offered = 0;

  /** @throws RangeError for a port or VF that does not exist */
  constructor(spec: string, gen: GenSpec, context: WireContext) {
    if (gen.vf >= context.vfs) {
      throw new RangeError(
        `port spec "${spec}": expected vf= below ${context.vfs}, the port's number of VFs, got ${gen.vf}`,
      );
    }
    this.spec = spec;
    this.gen = gen;
    this.context = context;
    this.pacer = gen.rate === null ? null : wirePacer(context.clock, gen.rate);
    this.latency =
      gen.latency === null
        ? undefined
        : context.latencies.open(context.port, context.clock, gen.latency, gen.flows, gen.window);
    this.sink = new Sink(context);
    this.longest = Math.max(...gen.lengths);
    this.scratch = context.allocate(this.longest + 8) >>> 2;
    const { lengths, flows } = gen;
    const place = layOutGenerator(
      { lengths, flows, stream: context.port },
      context.allocate,
      context.views,
    );
    this.state = place.state;
    this.templates = place.templates;
    this.macs = new Uint8Array(12);
    this.macs.set([0x02, 0x09, 0xc0, 0xff, context.port, 0x00], 6);
  }

  /** True once count= frames were offered. */
  get done(): boolean {
    return this.gen.count !== null && this.offered >= this.gen.count;
  }

  step(budget: number): number {
    let n = budget;
    if (this.gen.count !== null) n = Math.min(n, this.gen.count - this.offered);
    if (n <= 0 || !this.address()) return 0;
    if (this.pacer !== null) n = this.pacer.allowance(n);
    const sent = n > 0 ? this.send(n) : 0;
    this.pacer?.sent(sent);
    return sent;
  }

  transmit(_offsets: Int32Array, _lengths: Int32Array, n: number, vf: number): void {
    this.sink.check(n, vf);
  }

  addCounters(vf: number, counters: PortCounters): void {
    if (vf === this.gen.vf) counters.offered += this.offered;
    this.sink.addCounters(vf, counters);
  }

  close(): void {}

  /** @returns frames offered, up to n */
  private send(n: number): number {
    const { ingress, batch } = this.context;
    const loops = this.context.frameLoops();
    // A run ends with the frame that is to be stamped.
    const every = this.gen.latency ?? LOOP_BATCH;
    const before = this.offered;
    const end = before + n;
    while (this.offered < end) {
      const toStamp = this.latency === undefined ? LOOP_BATCH : every - (this.offered % every);
      const wanted = Math.min(end - this.offered, LOOP_BATCH, toStamp);
      const room = ingress.claim(this.destination0, this.destination1, this.longest, wanted);
      if (room === 0) {
        if (!this.offerOne(batch, loops, toStamp === 1)) break;
        this.offered++;
        continue;
      }
      loops.write(this.state, room);
      if (room === toStamp && this.latency !== undefined) {
        const us = this.latency.now();
        this.stamp(this.latency, batch.targets[room - 1], batch.sizes[room - 1], us);
      }
      ingress.commit(room);
      this.offered += room;
    }
    return this.offered - before;
  }

  /** One frame by way of a copy. @returns false where it has to wait; it is the next one then */
  private offerOne(batch: FrameBatch, loops: FrameLoops, stamped: boolean): boolean {
    const { i32 } = this.context.views();
    const { state } = this;
    const flow = i32[state + GEN.FLOW];
    const low = i32[state + GEN.LOW];
    const high = i32[state + GEN.HIGH];
    const turn = i32[state + GEN.TURN];
    batch.targets[0] = this.scratch;
    loops.write(state, 1);
    const at = (this.scratch << 2) >>> 0;
    const closedLoop = this.pacer === null;
    const track = stamped ? this.latency : undefined;
    const us = track?.now() ?? 0;
    const length = batch.sizes[0];
    if (track !== undefined) i32[this.scratch + WORD.MARK] = this.stampedWord(length);
    if (this.context.ingress.offer(at, length, closedLoop) !== OFFER.LATER) {
      if (track !== undefined) this.stamp(track, this.scratch, length, us);
      return true;
    }
    i32[state + GEN.FLOW] = flow;
    i32[state + GEN.LOW] = low;
    i32[state + GEN.HIGH] = high;
    i32[state + GEN.TURN] = turn;
    return false;
  }

  /** Marks the frame at heap word w, which was or is about to be handed over at `us`. */
  private stamp(track: LatencyTrack, w: number, length: number, us: number): void {
    const { i32 } = this.context.views();
    i32[w + WORD.MARK] = this.stampedWord(length);
    track.sent(flowOf(i32[w + WORD.PORTS] >>> 16), sequenceOf(i32, w), us);
  }

  private stampedWord(length: number): number {
    return markWord(length, this.context.port, STAMPED_MARK);
  }

  /** Brings the MACs in the templates up to date. @returns false while the VF has none to send to */
  private address(): boolean {
    const mac = this.gen.dst ?? this.context.vfMac(this.gen.vf);
    let changed = !this.addressed;
    let some = 0;
    for (let i = 0; i < 6; i++) {
      const byte = mac[i];
      some |= byte;
      if (this.macs[i] !== byte) {
        this.macs[i] = byte;
        changed = true;
      }
    }
    if (changed) {
      const { u8, i32 } = this.context.views();
      for (const word of this.templates) u8.set(this.macs, (word << 2) >>> 0);
      this.destination0 = i32[this.templates[0]];
      this.destination1 = i32[this.templates[0] + 1] & 0xffff;
      this.addressed = true;
    }
    return some !== 0;
  }
}
