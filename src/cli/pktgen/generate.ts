// HOT. Makes the frames of `ixy pktgen` in packet buffers, every one different. A buffer that still holds a template of
// the right length gets only the words that differ from frame to frame.

import { BUF_SHIFT, LENGTH_TABLE, viewsOf } from '../../memory/layout.ts';
import type { Mempool } from '../../memory/mempool.ts';
import type { FrameLoops } from '../../traffic/frame-loops.ts';

// Imported bindings do not fold into the code of a loop; constants of this module do.
const BUF_WORD_SHIFT = BUF_SHIFT - 2;
const LENGTHS = LENGTH_TABLE >>> 1;

/** Fills buffers with the next frames to be sent. */
export interface FrameSource {
  /**
   * Takes up to `n` buffers from the mempool and fills them.
   * @param bufs receives them at 0..
   * @returns how many; 0 where none is due or none to be had
   */
  fill(bufs: Int32Array, n: number): number;
  /** True when there will be no more. */
  readonly ended: boolean;
  /** Buffers bufs[0 .. n) were received into: what the source wrote there is gone. */
  overwritten(bufs: Int32Array, n: number): void;
  /** The MACs are other ones: what the source wrote into any buffer is void. */
  renew(): void;
}

/**
 * Makes a source of generated frames.
 * @param state heap word of the generator, as layOutGenerator gives it
 * @param loops over a run that has room for the frames of a `fill`
 */
export function makeGenerator(mempool: Mempool, state: number, loops: FrameLoops): FrameSource {
  const { u16 } = viewsOf(mempool.handle.memory);
  const headroomWords = mempool.headroomBytes >>> 2;
  const { targets, sizes, held } = loops.run;

  function fill(bufs: Int32Array, n: number): number {
    const count = mempool.takeBatch(bufs, 0, n);
    for (let i = 0; i < count; i = (i + 1) | 0) {
      targets[i] = ((bufs[i] << BUF_WORD_SHIFT) + headroomWords) | 0;
    }
    loops.write(state, count);
    for (let i = 0; i < count; i = (i + 1) | 0) u16[LENGTHS + bufs[i]] = sizes[i];
    return count;
  }

  function overwritten(bufs: Int32Array, n: number): void {
    if (held === undefined) return;
    for (let i = 0; i < n; i = (i + 1) | 0) held[bufs[i]] = 0;
  }

  return { fill, ended: false, overwritten, renew: () => held?.fill(0) };
}
