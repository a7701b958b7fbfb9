// HOT. Receiving: the loop that takes finished descriptors, hands out their
// buffers and re-arms the slots. 82599 DS sec 7.1.6. Follows ixy's shape: one
// replacement buffer a slot, one tail write a batch. A queue has a copy of this
// module's code of its own (support/code-copy.ts).

import { RX_FRAME_ERRORS, RX_STATUS } from '../hw/descriptors.ts';
import { type ArenaViews, IOVA_TABLE, LENGTH_TABLE } from '../memory/layout.ts';
import { POOL } from '../memory/mempool.ts';
import { checkBatch, QUEUE } from './queue-memory.ts';

// Imported bindings are cells that V8 loads and checks at every use; constants of this module fold
// into the code (10 to 30 % of this loop, node 20).
const DD = RX_STATUS.mask.DD;
const EOP = RX_STATUS.mask.EOP;
/** One compare tells a whole, undamaged frame in one buffer from everything else. */
const LOOK = DD | EOP | RX_FRAME_ERRORS;
const WHOLE = DD | EOP;
/** ORed into what is looked at while the rest of a dropped frame passes by: WHOLE can never match. */
const SKIPPING = 1 << 3;
const LENGTHS = LENGTH_TABLE >>> 1;
const IOVAS = IOVA_TABLE >>> 3;

/** Called with the new tail once a batch, where the tail register is not mapped. */
export type Doorbell = (tail: number) => void;
/** See RxQueue.batch. */
export type Batch = (bufs: Int32Array, from: number, n: number) => number;

/**
 * Makes the receive loop of one queue.
 * @param state word index of the queue's state block
 * @param idle called when the queue is stopped (returns 0) or closed (throws)
 */
export function makeRxBatch(
  views: ArenaViews,
  state: number,
  doorbell: Doorbell,
  idle: (next: number) => number,
): Batch {
  const heap = views.i32;
  const u16 = views.u16;
  const f64 = views.f64;
  const u64 = views.u64;
  const descriptors = heap[state + QUEUE.DESCRIPTORS];
  const slots = heap[state + QUEUE.SLOTS];
  const mask = heap[state + QUEUE.SIZE] - 1;
  const mempool = heap[state + QUEUE.MEMPOOL];
  const stack = heap[mempool + POOL.STACK];
  const next = state + QUEUE.NEXT;
  const clean = state + QUEUE.CLEAN;
  const tailWord = state + QUEUE.TAIL;
  const available = mempool + POOL.AVAILABLE;
  const exhausted = mempool + POOL.EXHAUSTED;
  const packets = (state >> 1) + QUEUE.PACKETS;
  const octets = (state >> 1) + QUEUE.BYTES;
  const dropped = (state >> 1) + QUEUE.DROPPED;
  const check = checkBatch;

  return function rxBatch(bufs, from, n) {
    check(bufs, from, n);
    let i = heap[next];
    if (i < 0) return idle(i);
    let top = heap[available];
    let skipping = heap[clean];
    let k = 0;
    let bytes = 0;
    let seen = 0;
    while (k < n) {
      const d = (descriptors + (i << 2)) | 0;
      const status = heap[d + 2];
      const slot = (slots + i) | 0;
      let buf = heap[slot];
      if (((status & LOOK) | skipping) === WHOLE) {
        // DD was read before the length, and x86 keeps loads in order.
        if (top === 0) {
          heap[exhausted]++;
          break;
        }
        const length = heap[d + 3] & 0xffff;
        u16[LENGTHS + buf] = length;
        bufs[from + k] = buf;
        top = (top - 1) | 0;
        buf = heap[stack + top];
        heap[slot] = buf;
        bytes = (bytes + length) | 0;
        k = (k + 1) | 0;
      } else {
        if ((status & DD) === 0) break;
        // Damaged, or part of a frame larger than a buffer: the slot keeps its buffer.
        skipping = (status & EOP) === 0 ? SKIPPING : 0;
        if (skipping === 0) f64[dropped]++;
      }
      // The write-back destroyed both addresses; a stale second quadword would look like DD.
      const wide = d >>> 1;
      u64[wide] = u64[IOVAS + buf];
      u64[wide + 1] = 0n;
      i = (i + 1) & mask;
      seen = (seen + 1) | 0;
      // A ring full of dropped frames must not hold the caller for ever.
      if (seen > mask) break;
    }
    if (seen !== 0) {
      heap[next] = i;
      heap[clean] = skipping;
      heap[available] = top;
      f64[packets] = f64[packets] + k;
      f64[octets] = f64[octets] + bytes;
      // One behind on purpose: RDT == RDH would leave the device no descriptor at all.
      const tail = (i - 1) & mask;
      const word = heap[tailWord];
      if (word !== 0) heap[word] = tail;
      else doorbell(tail);
    }
    return k;
  };
}
