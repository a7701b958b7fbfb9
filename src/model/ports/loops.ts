// HOT. The inner loops of what is plugged into the ports of a NIC: those over test frames, and the copying of frames
// from one end of a cable to the other. One set a NIC, over its FrameBatch.

import type { ArenaViews } from '../../memory/layout.ts';
import { type FrameLoops, makeFrameLoops } from '../../traffic/frame-loops.ts';
import type { FrameBatch } from '../frame.ts';
import { copyWords } from '../frame.ts';

/** Loops over the frames of the NIC's batch. */
export interface PortLoops extends FrameLoops {
  /** Copies the n frames of `offsets` (multiples of 4) and `lengths` to `targets`, their bytes to `sizes`. */
  copyRun(n: number): void;
}

/** Makes the loops over these views. */
export function makePortLoops(views: ArenaViews, batch: FrameBatch): PortLoops {
  const { offsets, lengths, targets, sizes } = batch;

  function copyRun(n: number): void {
    for (let i = 0; i < n; i = (i + 1) | 0) {
      sizes[i] = lengths[i];
      copyWords(views, targets[i], offsets[i] >>> 2, lengths[i]);
    }
  }

  return { ...makeFrameLoops(views, batch), copyRun };
}
