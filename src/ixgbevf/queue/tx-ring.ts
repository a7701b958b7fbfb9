// HOT. Transmitting: the loop gives the buffers of finished blocks of 32 descriptors
// back to the mempool, then posts frames and writes the tail register once a batch
// (82599 DS sec 7.2.3). The device reports once a block, as in DPDK. The loop leaves
// by `break` for a length that no frame can have, as rx-ring.ts does for a damaged
// frame. docs/hot-path.md has the rules that this file follows, and each queue has a
// copy of its code (support/code-copy.ts).

import {
  CRC_SIZE,
  DTYP_DATA,
  ETHER_HEADER,
  MAX_FRAME_WITH_CRC,
  MIN_TX_LENGTH,
  TX_COMMAND,
  TX_STATUS,
} from '../../hw/descriptors.ts';
import { IOVA_HIGH } from '../../memory/iova.ts';
import { type ArenaViews, BUF_SHIFT, LENGTH_TABLE } from '../../memory/layout.ts';
import { POOL } from '../../memory/mempool.ts';
import { native } from '../../support/native.ts';
import {
  type Batch,
  COUNT_UNIT,
  type Doorbell,
  OPEN,
  pairOf,
  QUEUE,
  refuseBatch,
  TX_BLOCK,
} from './memory.ts';

// The loop uses constants of this module and not imported bindings, which are slower; rx-ring.ts has the figures.
const COMMAND =
  TX_COMMAND.mask.DEXT |
  (DTYP_DATA << TX_COMMAND.shift.DTYP) |
  TX_COMMAND.mask.IFCS |
  TX_COMMAND.mask.EOP;
const RS = TX_COMMAND.mask.RS;
const DD = TX_STATUS.mask.DD;
const CC = TX_STATUS.mask.CC;
const PAYLEN = TX_STATUS.shift.PAYLEN;
const LENGTHS = LENGTH_TABLE >>> 1;
const BLOCK = TX_BLOCK;
const BLOCK_MASK = TX_BLOCK - 1;
const SHIFT = BUF_SHIFT;
const HIGH = IOVA_HIGH;
const UNIT = COUNT_UNIT;
const SHORTEST = MIN_TX_LENGTH;

/** What a tx queue does in the loops of this file. */
export interface TxLoops {
  readonly batch: Batch;
  /** Gives finished blocks back to the mempool; returns the number of frames still in the ring. */
  readonly clean: () => number;
}

/**
 * Makes the transmit loop of one queue.
 * @param state word index of the queue's state block
 * @param idle called when the queue is stopped (returns 0) or closed (throws)
 * @param empty gives back what was in the ring when another thread stopped the queue, and begins it anew
 * @param pad makes a frame long enough and writes its new length into the table
 */
export function makeTxBatch(
  views: ArenaViews,
  state: number,
  headroom: number,
  bufferBytes: number,
  doorbell: Doorbell,
  idle: (gate: number) => number,
  empty: () => void,
  pad: (buf: number, length: number) => void,
): TxLoops {
  const { heap, heapPlus2 } = pairOf(views);
  const u16 = views.u16;
  const f64 = views.f64;
  const u64 = views.u64;
  const descriptors = heap[state + QUEUE.DESCRIPTORS];
  const slots = heap[state + QUEUE.SLOTS];
  const size = heap[state + QUEUE.SIZE];
  const mask = size - 1;
  const mempool = heap[state + QUEUE.MEMPOOL];
  const stack = heap[mempool + POOL.STACK];
  const gate = state + QUEUE.GATE;
  const inside = state + QUEUE.INSIDE;
  const self = native().threadId();
  const nextWord = state + QUEUE.NEXT;
  const cleanWord = state + QUEUE.CLEAN;
  const tailWord = state + QUEUE.TAIL;
  const available = mempool + POOL.AVAILABLE;
  const packets = (state >> 1) + QUEUE.PACKETS;
  const octets = (state >> 1) + QUEUE.BYTES;
  const dropped = (state >> 1) + QUEUE.DROPPED;
  const refuse = refuseBatch;
  // Two slots stay empty: one so that TDT == TDH means empty, one for the context
  // descriptor, which the device may not have taken in when the ring first fills.
  const usable = size - 2;
  const span = Math.min(MAX_FRAME_WITH_CRC - CRC_SIZE, bufferBytes - headroom) - MIN_TX_LENGTH;
  let resuming = false;

  /** True when the block that begins at slot `first` was reported. */
  function finished(first: number): boolean {
    return (heap[descriptors + (((first + BLOCK_MASK) & mask) << 2) + 3] & DD) !== 0;
  }

  /** Gives finished blocks back, the first known to be. @returns the slots in use afterwards */
  function reclaim(first: number, used: number): number {
    let block = first;
    let left = used;
    let top = heap[available];
    do {
      // 30 buffers move as 15 pairs, to an even word of the stack. The last two move alone, the first of them to the
      // place that is left over before or behind the pairs. With a loop over the pairs a
      // forwarder takes 1.05, 1.03 and 1.00 times as long on Node 20, 24 and 26; over 32 words 1.11, 1.07 and 1.06 times.
      const from = (slots + block - 1) | 0;
      const to = (stack + top) | 0;
      const odd = to & 1;
      heap[odd === 0 ? to + 30 : to] = heap[from + 30];
      heap[to + 31] = heap[from + 31];
      const f = from >>> 1;
      const t = (to + odd) >>> 1;
      u64[t] = u64[f];
      u64[t + 1] = u64[f + 1];
      u64[t + 2] = u64[f + 2];
      u64[t + 3] = u64[f + 3];
      u64[t + 4] = u64[f + 4];
      u64[t + 5] = u64[f + 5];
      u64[t + 6] = u64[f + 6];
      u64[t + 7] = u64[f + 7];
      u64[t + 8] = u64[f + 8];
      u64[t + 9] = u64[f + 9];
      u64[t + 10] = u64[f + 10];
      u64[t + 11] = u64[f + 11];
      u64[t + 12] = u64[f + 12];
      u64[t + 13] = u64[f + 13];
      u64[t + 14] = u64[f + 14];
      top = (top + BLOCK) | 0;
      left = (left - BLOCK) | 0;
      block = (block + BLOCK) & mask;
    } while (left >= BLOCK && finished(block));
    heap[available] = top;
    heap[cleanWord] = block;
    return left;
  }

  /** @returns the slots in use after cleaning */
  function clean(): number {
    heap[inside] = self;
    if (heap[gate] !== OPEN) return idle(heap[gate]);
    if (heap[nextWord] < 0) empty();
    const first = heap[cleanWord];
    let used = (heap[nextWord] - first) & mask;
    if (used >= BLOCK && finished(first)) used = reclaim(first, used);
    heap[inside] = 0;
    return used;
  }

  /**
   * Pads a frame that is only too short, and drops one of a length that no frame can have.
   * @returns 1 when the frame was dropped, 0 when it can be posted now, -1 when nothing was wrong with it
   */
  function padOrDrop(buf: number): number {
    const length = u16[LENGTHS + buf];
    if (length >= SHORTEST && length <= SHORTEST + span) return -1;
    if (length >= ETHER_HEADER && length < SHORTEST) {
      pad(buf, length);
      return 0;
    }
    const top = heap[available];
    heap[stack + top] = buf;
    heap[available] = top + 1;
    f64[dropped]++;
    return 1;
  }

  /** Goes on with a batch whose loop met a length that no frame can have. */
  function resume(bufs: Int32Array, from: number, n: number): number {
    if (resuming) return 0;
    resuming = true;
    let k = 0;
    try {
      while (k < n) {
        const handled = padOrDrop(bufs[from + k]);
        if (handled < 0) break;
        k += handled;
        k += txBatch(bufs, from + k, n - k);
      }
    } finally {
      resuming = false;
    }
    return k;
  }

  /** A doorbell that can fail is rung from outside: only the thread that owns the device has one, and that stops queues. */
  function ring(tail: number): void {
    heap[inside] = 0;
    doorbell(tail);
  }

  /** A batch that was not let in, or the first one after another thread restarted the queue. */
  function aside(bufs: Int32Array, from: number, n: number): number {
    const closed = heap[gate];
    if (closed !== OPEN) return idle(closed);
    empty();
    return txBatch(bufs, from, n);
  }

  function txBatch(bufs: Int32Array, from: number, n: number): number {
    if ((from | 0) !== from || (n | 0) !== n || (from | n) < 0 || from + n > bufs.length) {
      refuse(bufs, from, n);
    }
    // gate.ts has the other side of these two lines, and of the last store.
    heap[inside] = self;
    const closed = heap[gate];
    const next = heap[nextWord];
    if ((closed | next) < 0) return aside(bufs, from, n);
    const first = heap[cleanWord];
    let used = (next - first) & mask;
    if (used >= BLOCK && finished(first)) used = reclaim(first, used);
    const room = (usable - used) | 0;
    const count = n < room ? n | 0 : room;
    const end = (from + count) | 0;
    let at = from | 0;
    let slot = (next - 1) & mask;
    let bytes = 0;
    while (at < end) {
      const buf = bufs[at];
      const length = u16[LENGTHS + buf];
      if ((length - SHORTEST) >>> 0 > span) break;
      heap[slots + slot] = buf;
      slot = (slot + 1) & mask;
      const d = (descriptors + (slot << 2)) | 0;
      const e = (d + 1) | 0;
      heap[d] = (buf << SHIFT) + headroom;
      heap[e] = HIGH;
      heapPlus2[d] = COMMAND + length;
      heapPlus2[e] = CC + (length << PAYLEN);
      bytes = (bytes + length) | 0;
      at = (at + 1) | 0;
    }
    const posted = (at - from) | 0;
    if (posted !== 0) {
      // The device looks at none of these before the tail is written, so RS can be set afterwards.
      const stop = (next + posted) | 0;
      for (let e = (next + BLOCK_MASK) & ~BLOCK_MASK; e < stop; e = (e + BLOCK) | 0) {
        heap[descriptors + ((e & mask) << 2) + 2] |= RS;
      }
      const tail = (slot + 1) & mask;
      heap[nextWord] = tail;
      f64[packets] = f64[packets] + posted * UNIT;
      f64[octets] = f64[octets] + bytes * UNIT;
      const word = heap[tailWord];
      if (word !== 0) heap[word] = tail;
      else ring(tail);
    }
    heap[inside] = 0;
    if (posted === count) return count;
    return (posted + resume(bufs, at, n - posted)) | 0;
  }

  return { batch: txBatch, clean };
}
