// HOT. How the engine reaches memory: the heap's views, the DMA address of a buffer through
// the queue's cached window, copies between heap places. Shared by rx and tx; one object a
// NIC. A translation that fails is recorded and nothing is touched.

import { MAX_FRAME } from '../../hw/descriptors.ts';
import type { ArenaViews } from '../../memory/layout.ts';
import { makeFrameBatch } from '../frame.ts';
import {
  Q_PAGES,
  Q_SKEW,
  Q_VF,
  Q_WINDOW_BASE,
  Q_WINDOW_BYTES,
  Q_WINDOW_HIGH,
  Q_WINDOW_START,
  V_SLOT,
} from '../layout.ts';
import type { ViolationKind } from '../recorder.ts';
import type { SwitchMemory } from '../types.ts';
import type { Iommu } from './iommu.ts';
import { makePlainLoops, type PlainLoops } from './plain-loops.ts';

/** What the hot parts need of the VF that a queue belongs to. */
export interface EngineVf {
  readonly iommu: Iommu;
  /** Records a refused DMA access and counts it. */
  fault(low: number, high: number, sizeBytes: number, write: boolean): void;
  /** @param offset BAR0 offset of the register concerned, or -1 */
  violation(kind: ViolationKind, offset: number, detail: string): void;
}

/** Room for the longest frame. */
export const SCRATCH_BYTES = MAX_FRAME + 64;

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
    const vf = this.vfOf(q);
    const n = vf.iommu.split(low, high, sizeBytes, true, this.pieceOffsets, this.pieceLengths);
    if (n === 0) vf.fault(low, high, sizeBytes, true);
    return n > 0;
  }

  /**
   * Writes heap bytes to a buffer, piece by piece.
   * @returns false, with the fault recorded and nothing written, where any byte is not writable
   */
  scatter(q: number, low: number, high: number, from: number, sizeBytes: number): boolean {
    if (!this.writable(q, low, high, sizeBytes)) return false;
    let at = from;
    for (let i = 0, left = sizeBytes; left > 0; i++) {
      const length = this.pieceLengths[i];
      this.bytes.copyWithin(this.pieceOffsets[i], at, at + length);
      at += length;
      left -= length;
    }
    return true;
  }

  /**
   * Reads a buffer into the heap, piece by piece.
   * @returns false, with the fault recorded and nothing copied, where any byte is not readable
   */
  gather(q: number, low: number, high: number, to: number, sizeBytes: number): boolean {
    const vf = this.vfOf(q);
    const { pieceOffsets, pieceLengths } = this;
    const n = vf.iommu.split(low, high, sizeBytes, false, pieceOffsets, pieceLengths);
    if (n === 0) {
      vf.fault(low, high, sizeBytes, false);
      return false;
    }
    let at = to;
    for (let i = 0; i < n; i++) {
      const from = pieceOffsets[i];
      const length = pieceLengths[i];
      this.bytes.copyWithin(at, from, from + length);
      at += length;
    }
    return true;
  }
}
