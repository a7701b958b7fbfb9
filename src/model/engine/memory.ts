// HOT. How the engine reaches memory: the heap's views, the DMA address of a buffer through
// the queue's cached window, copies between heap places. Shared by rx and tx; one object a
// NIC. A translation that fails is recorded and nothing is touched.

import { at, type Register } from '../../hw/define.ts';
import { DESCRIPTOR_SIZE, MAX_FRAME_WITH_CRC } from '../../hw/descriptors.ts';
import type { ArenaViews } from '../../memory/layout.ts';
import { makeFrameBatch } from '../frame.ts';
import {
  Q_BASE_HIGH,
  Q_BASE_LOW,
  Q_COUNT,
  Q_INDEX,
  Q_PAGES,
  Q_SKEW,
  Q_STATE,
  Q_VF,
  Q_WARNED,
  Q_WINDOW_BASE,
  Q_WINDOW_BYTES,
  Q_WINDOW_HIGH,
  Q_WINDOW_START,
  STATE_HUNG,
  V_SLOT,
  WARN_TAIL,
} from '../layout.ts';
import type { ViolationKind } from '../recorder.ts';
import type { OwnRss, SwitchMemory } from '../types.ts';
import type { Iommu } from './iommu.ts';
import { makePlainLoops, type PlainLoops } from './plain-loops.ts';

/** What the hot parts need of the VF that a queue belongs to. */
export interface EngineVf {
  readonly iommu: Iommu;
  readonly ownRss: OwnRss | undefined;
  /** Records a refused DMA access and counts it. */
  fault(low: number, high: number, sizeBytes: number, write: boolean): void;
  /** @param offset BAR0 offset of the register concerned, or -1 */
  violation(kind: ViolationKind, offset: number, detail: string): void;
}

/** Room for the longest frame. */
export const SCRATCH_BYTES = MAX_FRAME_WITH_CRC + 64;

/** The heap of one NIC, and the ways in which its VFs' queues reach their memory. */
export class EngineMemory implements SwitchMemory {
  /** The heap as 32-bit words, as bytes, and as all kinds of words. */
  heap: Int32Array;
  bytes: Uint8Array;
  views: ArenaViews;
  /** By slot (V_SLOT). */
  readonly vfs: EngineVf[] = [];
  /** Heap word of SCRATCH_BYTES, for a frame that has to be put together before it is delivered. */
  readonly scratch: number;
  /** Where frames stand between two loops, and the loops, over the views as they are now. */
  readonly batch = makeFrameBatch();
  loops: PlainLoops;
  private readonly pieceOffsets: number[] = [];
  private readonly pieceLengths: number[] = [];

  /** @param scratch heap byte offset of SCRATCH_BYTES */
  constructor(views: ArenaViews, scratch: number) {
    this.scratch = scratch >>> 2;
    this.heap = views.i32;
    this.bytes = views.u8;
    this.views = views;
    this.loops = makePlainLoops(views, this.batch);
  }

  /** After the heap grew. */
  refreshViews(views: ArenaViews): void {
    if (views.i32 === this.heap) return;
    this.heap = views.i32;
    this.bytes = views.u8;
    this.views = views;
    this.loops = makePlainLoops(views, this.batch);
  }

  /** Heap word of a descriptor of any ring, -1 where no memory is behind it. */
  descriptor(q: number, index: number): number {
    const h = this.heap;
    const at = (h[q + Q_SKEW] + (index << 4)) | 0;
    const page = h[q + Q_PAGES + (at >> 12)];
    return page < 0 ? -1 : (page + ((at & 4095) >> 2)) | 0;
  }

  /** The VF of a queue. */
  vfOf(q: number): EngineVf {
    const h = this.heap;
    return this.vfs[h[h[q + Q_VF] + V_SLOT]];
  }

  /**
   * Heap byte offset of a buffer that the queue's window does not hold; moves the window there.
   * @returns the offset, or -1 where it is not in one piece, or not accessible
   */
  locate(q: number, low: number, high: number, sizeBytes: number, write: boolean): number {
    const iommu = this.vfOf(q).iommu;
    const offset = iommu.translate(low, high, sizeBytes, write);
    if (offset < 0) return -1;
    const h = this.heap;
    h[q + Q_WINDOW_HIGH] = high;
    h[q + Q_WINDOW_START] = iommu.windowStart;
    h[q + Q_WINDOW_BYTES] = iommu.windowBytes;
    h[q + Q_WINDOW_BASE] = iommu.windowBase;
    return offset;
  }

  /** True where the VF may write all of a buffer, in however many pieces. Records the fault otherwise. */
  writable(q: number, low: number, high: number, sizeBytes: number): boolean {
    return this.pieces(q, low, high, sizeBytes, true) > 0;
  }

  /**
   * Writes heap bytes to a buffer, piece by piece.
   * @returns false, with the fault recorded and nothing written, where any byte is not writable
   */
  scatter(q: number, low: number, high: number, from: number, sizeBytes: number): boolean {
    const n = this.pieces(q, low, high, sizeBytes, true);
    for (let i = 0, at = from; i < n; i++) {
      this.bytes.copyWithin(this.pieceOffsets[i], at, at + this.pieceLengths[i]);
      at += this.pieceLengths[i];
    }
    return n > 0;
  }

  /**
   * Reads a buffer into the heap, piece by piece.
   * @returns false, with the fault recorded and nothing copied, where any byte is not readable
   */
  gather(q: number, low: number, high: number, to: number, sizeBytes: number): boolean {
    const n = this.pieces(q, low, high, sizeBytes, false);
    for (let i = 0, at = to; i < n; i++) {
      const from = this.pieceOffsets[i];
      this.bytes.copyWithin(at, from, from + this.pieceLengths[i]);
      at += this.pieceLengths[i];
    }
    return n > 0;
  }

  /** A descriptor that cannot be read or written: records the fault, and the queue hangs. */
  ringFault(q: number, index: number, write: boolean): void {
    const h = this.heap;
    const low = h[q + Q_BASE_LOW] + (index << 4);
    this.vfOf(q).fault(low, h[q + Q_BASE_HIGH], DESCRIPTOR_SIZE, write);
    h[q + Q_STATE] = STATE_HUNG;
  }

  /** Records a tail beyond the ring, once a queue enable. */
  badTail(q: number, register: Register, tail: number): void {
    const h = this.heap;
    if ((h[q + Q_WARNED] & WARN_TAIL) !== 0) return;
    h[q + Q_WARNED] = h[q + Q_WARNED] | WARN_TAIL;
    const index = h[q + Q_INDEX];
    const expected = `expected a tail below ${h[q + Q_COUNT]}, got ${tail >>> 0}`;
    const detail = `${register.name} ${index}: ${expected}`;
    this.vfOf(q).violation('tail-range', at(register, index), detail);
  }

  /** Finds the pieces of a buffer. @returns how many, 0 with the fault recorded */
  private pieces(q: number, low: number, high: number, sizeBytes: number, write: boolean): number {
    const vf = this.vfOf(q);
    const { pieceOffsets, pieceLengths } = this;
    const n = vf.iommu.split(low, high, sizeBytes, write, pieceOffsets, pieceLengths);
    if (n === 0) vf.fault(low, high, sizeBytes, write);
    return n;
  }
}
