// What the receive loop leaves aside: frames that arrived damaged, or that were larger
// than a buffer and so lie in several. They are dropped here, and their slots keep
// their buffers, so that the loop of rx-ring.ts holds nothing but the
// way of a whole frame.

import { RX_FRAME_ERRORS, RX_STATUS } from '../../hw/descriptors.ts';
import { IOVA_HIGH } from '../../memory/iova.ts';
import { type ArenaViews, BUF_SHIFT } from '../../memory/layout.ts';
import { POOL } from '../../memory/mempool.ts';
import { type Doorbell, OPEN, QUEUE } from './memory.ts';

const { DD, EOP } = RX_STATUS.mask;
const LOOK = DD | EOP | RX_FRAME_ERRORS;
const WHOLE = DD | EOP;

/**
 * Makes what an rx queue does where its loop stopped early.
 * @param state word index of the queue's state block
 * @param self the kernel's id of this thread
 * @returns a function that drops what is not a whole frame at the head of the ring, at most a ring full of it, and
 *   counts an empty mempool that keeps a whole one there. It returns the descriptors it went past: more may be had
 *   unless 0
 */
export function makeSkip(
  views: ArenaViews,
  state: number,
  self: number,
  doorbell: Doorbell,
): () => number {
  const { i32: heap, f64 } = views;
  const descriptors = heap[state + QUEUE.DESCRIPTORS];
  const slots = heap[state + QUEUE.SLOTS];
  const mask = heap[state + QUEUE.SIZE] - 1;
  const mempool = heap[state + QUEUE.MEMPOOL];
  const headroom = heap[mempool + POOL.HEADROOM];
  const dropped = (state >> 1) + QUEUE.DROPPED;

  /** The end of every way through: this thread is out of the queue again. */
  function leave(seen: number): number {
    heap[state + QUEUE.INSIDE] = 0;
    return seen;
  }

  return function skip() {
    heap[state + QUEUE.INSIDE] = self;
    if (heap[state + QUEUE.GATE] !== OPEN) return leave(0);
    const next = heap[state + QUEUE.NEXT];
    let skipping = next < 0;
    let i = skipping ? ~next : next;
    let seen = 0;
    while (seen <= mask) {
      const d = descriptors + i * 4;
      const status = heap[d + 2];
      if ((status & DD) === 0) break;
      if ((status & LOOK) === WHOLE && !skipping) break;
      skipping = (status & EOP) === 0;
      if (!skipping) f64[dropped]++;
      // The write-back overwrote the address, so the slot is written anew. A stale status would look like DD.
      heap[d] = (heap[slots + i] << BUF_SHIFT) + headroom;
      heap[d + 1] = IOVA_HIGH;
      heap[d + 2] = 0;
      heap[d + 3] = 0;
      i = (i + 1) & mask;
      seen++;
    }
    if (seen === 0) {
      const whole = (heap[descriptors + i * 4 + 2] & DD) !== 0;
      if (whole && heap[mempool + POOL.AVAILABLE] === 0) heap[mempool + POOL.EXHAUSTED]++;
      return leave(0);
    }
    heap[state + QUEUE.NEXT] = skipping ? ~i : i;
    const tail = (i - 1) & mask;
    const word = heap[state + QUEUE.TAIL];
    if (word !== 0) heap[word] = tail;
    leave(seen);
    if (word === 0) doorbell(tail);
    return seen;
  };
}
