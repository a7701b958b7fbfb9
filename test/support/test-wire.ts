// A wire port in the hands of a test: it offers the frames it is given, keeps a
// copy of each that leaves the chip, and has a link that can be pulled.

import type { Arena } from '../../src/memory/arena.ts';
import { type Ingress, OFFER, type PortCounters, type WirePort } from '../../src/model/types.ts';

const LONGEST = 16_384;

/** A frame that left the chip. */
export interface SentFrame {
  readonly vf: number;
  readonly bytes: Uint8Array;
}

/** See the head of this file. */
export class TestWire implements WirePort {
  readonly spec = 'test';
  linkUp = true;
  /** True: frames wait while their queue has no descriptor, so none is dropped. */
  closedLoop = false;
  /** What left the chip, in order. */
  readonly sent: SentFrame[] = [];
  /** Frames offered so far, and their bytes. */
  offered = 0;
  offeredBytes = 0;
  private readonly waiting: Uint8Array[] = [];
  private readonly arena: Arena;
  private readonly ingress: Ingress;
  private readonly scratch: number;
  private closed = false;

  constructor(arena: Arena, ingress: Ingress) {
    this.arena = arena;
    this.ingress = ingress;
    this.scratch = arena.allocateControl(LONGEST);
  }

  /** Frames given and not offered yet. */
  get left(): number {
    return this.waiting.length;
  }

  /** Offers frames as the model moves. */
  inject(...frames: readonly Uint8Array[]): void {
    this.waiting.push(...frames);
  }

  /** Takes what left the chip. */
  take(): Uint8Array[] {
    return this.sent.splice(0).map(({ bytes }) => bytes);
  }

  step(budget: number): number {
    let n = 0;
    while (n < budget && this.waiting.length > 0) {
      const next = this.waiting[0];
      this.arena.views.u8.set(next, this.scratch);
      const verdict = this.ingress.offer(this.scratch, next.length, this.closedLoop);
      if (verdict === OFFER.LATER) break;
      this.waiting.shift();
      this.offered++;
      this.offeredBytes += next.length;
      n++;
    }
    return n;
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void {
    const { u8 } = this.arena.views;
    for (let i = 0; i < n; i++) {
      const offset = offsets[i] >>> 0;
      this.sent.push({ vf, bytes: u8.slice(offset, offset + lengths[i]) });
    }
  }

  addCounters(_vf: number, _counters: PortCounters): void {}

  close(): void {
    if (!this.closed) this.arena.releaseControl(this.scratch);
    this.closed = true;
  }
}
