// HOT. Transmitting: cleans finished blocks of 32 descriptors back into the
// mempool, then posts frames and rings the doorbell once a batch. 82599 DS sec
// 7.2.3. RS is asked for once a block, as DPDK does. A queue has a copy of this
// module's code of its own (support/code-copy.ts).

import {
  CRC_SIZE,
  DTYP_DATA,
  ETHER_HEADER,
  MAX_FRAME,
  MIN_FRAME,
  MIN_TX_LENGTH,
  TX_COMMAND,
  TX_STATUS,
} from '../hw/descriptors.ts';
import { type ArenaViews, IOVA_TABLE, LENGTH_TABLE } from '../memory/layout.ts';
import { POOL } from '../memory/mempool.ts';
import { checkBatch, QUEUE, TX_BLOCK } from './queue-memory.ts';
import type { Batch, Doorbell } from './rx-ring.ts';

// Constants of this module, not imported bindings, in the loop: see rx-ring.ts.
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
const IOVAS = IOVA_TABLE >>> 3;
const SHORTEST = MIN_TX_LENGTH;

/** The two loops of a tx queue. */
export interface TxLoops {
  readonly batch: Batch;
  /** Gives finished blocks back to the mempool; returns the number of frames still in the ring. */
  readonly clean: () => number;
}

/**
 * Makes the transmit loop of one queue.
 * @param state word index of the queue's state block
 * @param idle called when the queue is stopped (returns 0) or closed (throws)
 */
export function makeTxBatch(
  views: ArenaViews,
  state: number,
  headroom: number,
  bufferBytes: number,
  doorbell: Doorbell,
  idle: (next: number) => number,
  pad: (buf: number, length: number) => void,
): TxLoops {
  const heap = views.i32;
  const u16 = views.u16;
  const f64 = views.f64;
  const u64 = views.u64;
  const descriptors = heap[state + QUEUE.DESCRIPTORS];
  const slots = heap[state + QUEUE.SLOTS];
  const size = heap[state + QUEUE.SIZE];
  const mask = size - 1;
  const mempool = heap[state + QUEUE.MEMPOOL];
  const stack = heap[mempool + POOL.STACK];
  const nextWord = state + QUEUE.NEXT;
  const cleanWord = state + QUEUE.CLEAN;
  const tailWord = state + QUEUE.TAIL;
  const available = mempool + POOL.AVAILABLE;
  const packets = (state >> 1) + QUEUE.PACKETS;
  const octets = (state >> 1) + QUEUE.BYTES;
  const dropped = (state >> 1) + QUEUE.DROPPED;
  const check = checkBatch;
  // Two slots stay empty: one so that TDT == TDH means empty, one for the context
  // descriptor, which the device may not have taken in when the ring first fills.
  const usable = size - 2;
  const span = Math.min(MAX_FRAME - CRC_SIZE, bufferBytes - headroom) - MIN_TX_LENGTH;

  /** @returns the slots in use after cleaning */
  function clean(): number {
    const next = heap[nextWord];
    if (next < 0) return idle(next);
    let first = heap[cleanWord];
    let used = (next - first) & mask;
    if (used < BLOCK) return used;
    let last = (first + BLOCK_MASK) & mask;
    if ((heap[descriptors + (last << 2) + 3] & DD) === 0) return used;
    let top = heap[available];
    do {
      // A block never wraps inside, but for its last slot: it starts at 1 mod 32.
      const from = (slots + first) | 0;
      const to = (stack + top) | 0;
      for (let j = 0; j < BLOCK_MASK; j = (j + 1) | 0) heap[to + j] = heap[from + j];
      heap[to + BLOCK_MASK] = heap[slots + last];
      top = (top + BLOCK) | 0;
      used = (used - BLOCK) | 0;
      first = (first + BLOCK) & mask;
      last = (last + BLOCK) & mask;
    } while (used >= BLOCK && (heap[descriptors + (last << 2) + 3] & DD) !== 0);
    heap[available] = top;
    heap[cleanWord] = first;
    return used;
  }

  /** A length no frame can have: pads what is only too short, refuses the rest. @returns the length to send, 0 to drop */
  function unusual(buf: number, length: number): number {
    if (length >= ETHER_HEADER && length < MIN_TX_LENGTH) {
      pad(buf, length);
      return MIN_FRAME;
    }
    const top = heap[available];
    heap[stack + top] = buf;
    heap[available] = top + 1;
    f64[dropped]++;
    return 0;
  }

  function txBatch(bufs: Int32Array, from: number, n: number): number {
    check(bufs, from, n);
    const used = clean() | 0;
    let i = heap[nextWord];
    if (i < 0) return 0;
    const room = (usable - used) | 0;
    const count = Math.min(n, room) | 0;
    let bytes = 0;
    let posted = 0;
    for (let k = 0; k < count; k = (k + 1) | 0) {
      const buf = bufs[from + k];
      let length = u16[LENGTHS + buf];
      if ((length - SHORTEST) >>> 0 > span) {
        length = unusual(buf, length) | 0;
        if (length === 0) continue;
      }
      const d = (descriptors + (i << 2)) | 0;
      u64[d >>> 1] = u64[IOVAS + buf];
      heap[d + 2] = COMMAND | length | ((i & BLOCK_MASK) === 0 ? RS : 0) | 0;
      heap[d + 3] = CC | (length << PAYLEN) | 0;
      heap[slots + i] = buf;
      bytes = (bytes + length) | 0;
      i = (i + 1) & mask;
      posted = (posted + 1) | 0;
    }
    if (posted !== 0) {
      heap[nextWord] = i;
      f64[packets] = f64[packets] + posted;
      f64[octets] = f64[octets] + bytes;
      const word = heap[tailWord];
      if (word !== 0) heap[word] = i;
      else doorbell(i);
    }
    return count;
  }

  return { batch: txBatch, clean };
}
