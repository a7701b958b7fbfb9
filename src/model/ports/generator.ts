// HOT. The gen port: makes frames in the heap, every one different (flow and sequence
// number), and offers them to the switch; what leaves the chip goes to its sink. One
// template a frame length; of each frame five words are written. Format: frame-format.ts.

import { OFFER, type PortCounters, type WirePort } from '../types.ts';
import { halfDestinationHost, halfStream, STREAMS, writeTemplate } from './frame-format.ts';
import { Pacer } from './pacer.ts';
import type { FinitePort, PortContext } from './port-context.ts';
import { Sink } from './sink.ts';
import type { GenSpec } from './spec.ts';

function coprime(a: number, b: number): boolean {
  return b === 0 ? a === 1 : coprime(b, a % b);
}

/** Generator and sink of one port. */
export class GenPort implements WirePort, FinitePort {
  readonly spec: string;
  readonly linkUp = true;
  readonly sink: Sink;
  private readonly context: PortContext;
  private readonly gen: GenSpec;
  private readonly pacer: Pacer | null;
  /** Heap word of each template, in the order of the lengths that take turns. */
  private readonly words: Int32Array;
  private readonly lengths: Int32Array;
  private readonly macs: Uint8Array;
  private addressed = false;
  private offered = 0;
  private turn = 0;
  /** Turns to skip after each round of the flows, so that every flow gets every length. */
  private readonly skip: number;
  private flow = 0;
  /** Sequence number of this round, the same in all flows. */
  private low = 0;
  private high = 0;

  /** @throws RangeError for a port or VF that does not exist */
  constructor(spec: string, gen: GenSpec, context: PortContext) {
    if (context.port < 0 || context.port >= STREAMS) {
      throw new RangeError(`gen port: expected a port index below ${STREAMS}, got ${context.port}`);
    }
    if (gen.vf >= context.vfs) {
      throw new RangeError(
        `port spec "${spec}": expected vf= below ${context.vfs}, the port's number of VFs, got ${gen.vf}`,
      );
    }
    this.spec = spec;
    this.gen = gen;
    this.context = context;
    this.pacer = gen.rate === null ? null : new Pacer(context.clock, gen.rate);
    this.sink = new Sink(context);
    this.lengths = Int32Array.from(gen.lengths);
    const templates = new Map<number, number>();
    this.words = this.lengths.map((length) => {
      const word = templates.get(length) ?? this.makeTemplate(length);
      templates.set(length, word);
      return word;
    });
    this.skip = 0;
    while (!coprime(gen.flows + this.skip, this.lengths.length)) this.skip++;
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
    this.offered += sent;
    return sent;
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void {
    this.sink.check(offsets, lengths, n, vf);
  }

  addCounters(vf: number, counters: PortCounters): void {
    if (vf === this.gen.vf) counters.offered += this.offered;
    this.sink.addCounters(vf, counters);
  }

  close(): void {}

  private send(n: number): number {
    const i32 = this.context.views().i32;
    const { ingress, port } = this.context;
    const { words, lengths, skip } = this;
    const flows = this.gen.flows;
    const closedLoop = this.pacer === null;
    const host = halfDestinationHost(port);
    const stream = halfStream(port) << 16;
    let turn = this.turn;
    let flow = this.flow;
    let low = this.low;
    let high = this.high;
    let sent = 0;
    while (sent < n) {
      const word = words[turn]!;
      // The source port, 49152 + flow, as its two bytes lie in memory.
      const half = 0xc0 | (flow >>> 8) | ((flow & 0xff) << 8);
      i32[word + 8] = host | (half << 16);
      i32[word + 11] = low;
      i32[word + 12] = ~low;
      i32[word + 13] = high | (~high << 16);
      i32[word + 14] = stream | (half ^ 0xffff);
      if (ingress.offer((word << 2) >>> 0, lengths[turn]!, closedLoop) === OFFER.AGAIN) break;
      sent = (sent + 1) | 0;
      turn = (turn + 1) | 0;
      flow = (flow + 1) | 0;
      if (flow === flows) {
        flow = 0;
        low = (low + 1) | 0;
        if (low === 0) high = (high + 1) & 0xffff;
        turn = (turn + skip) | 0;
      }
      if (turn >= lengths.length) turn = (turn % lengths.length) | 0;
    }
    this.turn = turn;
    this.flow = flow;
    this.low = low;
    this.high = high;
    return sent;
  }

  /** Brings the MACs in the templates up to date. @returns false while the VF has none to send to */
  private address(): boolean {
    const mac = this.gen.dst ?? this.context.vfMac(this.gen.vf);
    let changed = !this.addressed;
    let some = 0;
    for (let i = 0; i < 6; i++) {
      const byte = mac[i]!;
      some |= byte;
      if (this.macs[i] !== byte) {
        this.macs[i] = byte;
        changed = true;
      }
    }
    if (changed) {
      const { u8 } = this.context.views();
      for (const word of this.words) u8.set(this.macs, (word << 2) >>> 0);
      this.addressed = true;
    }
    return some !== 0;
  }

  private makeTemplate(length: number): number {
    const word = this.context.allocate((length + 3) & ~3) >>> 2;
    writeTemplate(this.context.views().i32, word, length, this.context.port);
    return word;
  }
}
