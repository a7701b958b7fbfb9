// A cable between two ports of one model: what leaves one comes in on the other.
// Frames wait in a bounded queue of copies while the target VF has no descriptor;
// what does not fit is dropped and counted. The link is up while both ends are plugged in.

import { OFFER, type PortCounters, type WirePort } from '../types.ts';
import { countedVf, type PortContext } from './port-context.ts';

/** Bytes of copies that wait in one direction: 16,384 small frames or 106 of the largest. */
const QUEUE_BYTES = 1024 * 1024;
/** In a record's length word: the rest of the queue up to its end is unused. */
const SKIP = -1;

/** The cables of one model. */
export class CableBox {
  private readonly ends = new Map<number, Set<CablePort>>();

  /** @throws RangeError where both ends are taken */
  plug(cable: number, end: CablePort): void {
    const ends = this.ends.get(cable) ?? new Set();
    if (ends.size === 2) {
      throw new RangeError(
        `port spec "${end.spec}": expected a cable with a free end, got one that joins two ports; use another number`,
      );
    }
    ends.add(end);
    this.ends.set(cable, ends);
  }

  unplug(cable: number, end: CablePort): void {
    this.ends.get(cable)?.delete(end);
  }

  /** The other end, or undefined while nothing is plugged in there. */
  peerOf(cable: number, end: CablePort): CablePort | undefined {
    for (const other of this.ends.get(cable) ?? []) if (other !== end) return other;
    return undefined;
  }
}

/** One end of a cable. */
export class CablePort implements WirePort {
  readonly spec: string;
  /** Frames from the other end that found the queue of this end full. */
  dropped = 0;
  private readonly cable: number;
  private readonly context: PortContext;
  /** Heap byte offset of the queue towards this end: records of a length word and the frame. */
  private readonly queue: number;
  /** Byte positions in the queue; equal means empty, so one word always stays free. */
  private head = 0;
  private tail = 0;
  private readonly offered: Float64Array;

  /** @throws RangeError where both ends of the cable are taken */
  constructor(spec: string, cable: number, context: PortContext) {
    this.spec = spec;
    this.cable = cable;
    this.context = context;
    context.cables.plug(cable, this);
    this.queue = context.allocate(QUEUE_BYTES);
    this.offered = new Float64Array(context.vfs);
  }

  get linkUp(): boolean {
    return this.context.cables.peerOf(this.cable, this) !== undefined;
  }

  step(budget: number): number {
    const { i32, u8 } = this.context.views();
    let moved = 0;
    while (moved < budget && this.head !== this.tail) {
      const length = i32[(this.queue + this.head) >>> 2]!;
      if (length === SKIP) {
        this.head = 0;
        continue;
      }
      const offset = this.queue + this.head + 4;
      const vf = countedVf(this.context, u8, offset);
      if (this.context.ingress.offer(offset, length, true) === OFFER.AGAIN) break;
      this.offered[vf]!++;
      this.head += recordBytes(length);
      if (this.head === QUEUE_BYTES) this.head = 0;
      moved++;
    }
    return moved;
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, _vf: number): void {
    const peer = this.context.cables.peerOf(this.cable, this);
    if (peer === undefined) {
      this.dropped += n;
      return;
    }
    const { u8 } = this.context.views();
    for (let i = 0; i < n; i++) peer.receive(u8, offsets[i]! >>> 0, lengths[i]!);
  }

  addCounters(vf: number, counters: PortCounters): void {
    counters.offered += this.offered[vf]!;
  }

  /** Unplugs this end; what waited in it is gone. Idempotent. */
  close(): void {
    this.context.cables.unplug(this.cable, this);
    this.dropped += this.waiting();
    this.head = this.tail;
  }

  private receive(u8: Uint8Array, offset: number, length: number): void {
    const at = this.room(recordBytes(length));
    if (at < 0) {
      this.dropped++;
      return;
    }
    this.context.views().i32[(this.queue + at) >>> 2] = length;
    u8.copyWithin(this.queue + at + 4, offset, offset + length);
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

  private waiting(): number {
    const { i32 } = this.context.views();
    let frames = 0;
    for (let at = this.head; at !== this.tail; ) {
      const length = i32[(this.queue + at) >>> 2]!;
      at = length === SKIP ? 0 : (at + recordBytes(length)) % QUEUE_BYTES;
      if (length !== SKIP) frames++;
    }
    return frames;
  }
}

function recordBytes(length: number): number {
  return 4 + ((length + 3) & ~3);
}
