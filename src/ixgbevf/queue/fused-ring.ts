// HOT. Receive, call back, transmit in one pass: what rx-ring.ts and tx-ring.ts
// do, without the array in between. The callback says of each frame how many
// bytes of it leave, or 0 to drop it; a dropped frame's buffer stays in its slot.
// Each pair of queues has a copy of this module's code (support/code-copy.ts).

import {
  CRC_SIZE,
  DTYP_DATA,
  MAX_FRAME,
  MIN_TX_LENGTH,
  RX_FRAME_ERRORS,
  RX_STATUS,
  TX_COMMAND,
  TX_STATUS,
} from '../../hw/descriptors.ts';
import { IOVA_HIGH } from '../../memory/iova.ts';
import { type ArenaViews, BUF_SHIFT } from '../../memory/layout.ts';
import { POOL } from '../../memory/mempool.ts';
import { COUNT_UNIT, pairOf, QUEUE, TX_BLOCK } from './memory.ts';
import type { Doorbell } from './rx-ring.ts';
import { makeSkip } from './rx-skip.ts';

// Constants of this module, not imported bindings, in the loop: see rx-ring.ts.
const DD = RX_STATUS.mask.DD;
const EOP = RX_STATUS.mask.EOP;
const LOOK = DD | EOP | RX_FRAME_ERRORS;
const WHOLE = DD | EOP;
const COMMAND =
  TX_COMMAND.mask.DEXT |
  (DTYP_DATA << TX_COMMAND.shift.DTYP) |
  TX_COMMAND.mask.IFCS |
  TX_COMMAND.mask.EOP;
const RS = TX_COMMAND.mask.RS;
const TX_DD = TX_STATUS.mask.DD;
const CC = TX_STATUS.mask.CC;
const PAYLEN = TX_STATUS.shift.PAYLEN;
const BLOCK = TX_BLOCK;
const BLOCK_MASK = TX_BLOCK - 1;
const SHIFT = BUF_SHIFT;
const HIGH = IOVA_HIGH;
const UNIT = COUNT_UNIT;
const SHORTEST = MIN_TX_LENGTH;

/**
 * Looks at a frame, may change it, and says what becomes of it.
 * @param buf buffer index; not the callee's to keep
 * @param offset arena byte offset of the frame
 * @param length bytes without CRC
 * @returns bytes to send, 17 up to what the buffer holds; 0 drops the frame. One that it throws for is dropped, too, and
 *   the error goes to who called the loop
 */
export type FrameCallback = (buf: number, offset: number, length: number) => number;

/** What a fused loop is made of: one rx and one tx queue over one mempool. */
export interface FusedParts {
  readonly views: ArenaViews;
  /** State words of the rx and the tx queue. */
  readonly rxState: number;
  readonly txState: number;
  readonly headroom: number;
  readonly bufferBytes: number;
  readonly rxDoorbell: Doorbell;
  readonly txDoorbell: Doorbell;
  /** TxLoops.clean of the tx queue: gives back what is done. @returns frames still in the ring; called when a block is done */
  readonly clean: () => number;
  /** Called when the rx queue is stopped (returns 0) or closed (throws). */
  readonly idle: (next: number) => number;
  readonly callback: FrameCallback;
}

/**
 * Makes the loop of one direction.
 * @returns a function of n that takes up to n frames from the rx queue and gives their number;
 *   it takes no more than the tx ring has room for
 */
export function makeFused(parts: FusedParts): (n: number) => number {
  const { rxState, txState, headroom, rxDoorbell, txDoorbell, clean, idle, callback } = parts;
  const { heap, heap2 } = pairOf(parts.views);
  const { f64 } = parts.views;
  const rxRing = heap[rxState + QUEUE.DESCRIPTORS];
  const rxSlots = heap[rxState + QUEUE.SLOTS];
  const rxMask = heap[rxState + QUEUE.SIZE] - 1;
  const txRing = heap[txState + QUEUE.DESCRIPTORS];
  const txSlots = heap[txState + QUEUE.SLOTS];
  const txMask = heap[txState + QUEUE.SIZE] - 1;
  const usable = txMask - 1;
  const mempool = heap[rxState + QUEUE.MEMPOOL];
  const available = mempool + POOL.AVAILABLE;
  const highest = heap[mempool + POOL.STACK] - 1;
  const rxNext = rxState + QUEUE.NEXT;
  const skipping = rxState + QUEUE.CLEAN;
  const rxTail = rxState + QUEUE.TAIL;
  const txNext = txState + QUEUE.NEXT;
  const txClean = txState + QUEUE.CLEAN;
  const txTail = txState + QUEUE.TAIL;
  const rxPackets = (rxState >> 1) + QUEUE.PACKETS;
  const rxBytes = (rxState >> 1) + QUEUE.BYTES;
  const txPackets = (txState >> 1) + QUEUE.PACKETS;
  const txBytes = (txState >> 1) + QUEUE.BYTES;
  const txDropped = (txState >> 1) + QUEUE.DROPPED;
  const span = Math.min(MAX_FRAME - CRC_SIZE, parts.bufferBytes - headroom) - MIN_TX_LENGTH;
  const skip = makeSkip(parts.views, rxState, rxDoorbell);
  let resuming = false;

  /** The rest of a batch whose loop met something else than a whole frame, or an empty mempool. */
  function resume(n: number): number {
    if (resuming) return 0;
    resuming = true;
    let taken = 0;
    let dropped = 0;
    try {
      // A ring full of dropped frames must not hold the caller for ever.
      while (taken < n && dropped <= rxMask) {
        const more = skip();
        if (more === 0) break;
        dropped += more;
        taken += fusedBatch(n - taken);
      }
    } finally {
      resuming = false;
    }
    return taken;
  }

  function fusedBatch(n: number): number {
    let i = heap[rxNext];
    if (i < 0) return idle(i);
    const next = heap[txNext];
    if (next < 0) return 0;
    if (heap[skipping] !== 0) return resume(n);
    const first = heap[txClean];
    let used = (next - first) & txMask;
    if (
      used >= BLOCK &&
      (heap[txRing + (((first + BLOCK_MASK) & txMask) << 2) + 3] & TX_DD) !== 0
    ) {
      used = clean();
    }
    const room = (usable - used) | 0;
    const have = heap[available];
    let limit = n < room ? n | 0 : room;
    if (have < limit) limit = have;
    const top = (highest + have) | 0;
    let slot = (next - 1) & txMask;
    let taken = 0;
    let sent = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    let failed = false;
    let failure: unknown;
    try {
      while (taken < limit) {
        const d = (rxRing + (i << 2)) | 0;
        if ((heap2[d] & LOOK) !== WHOLE) break;
        const d1 = (d + 1) | 0;
        // DD was read before the length, and x86 keeps loads in order.
        const length = heap2[d1] & 0xffff;
        // A stale status would look like DD.
        heap2[d] = 0;
        heap2[d1] = 0;
        const place = (rxSlots + i) | 0;
        let buf = heap[place];
        taken = (taken + 1) | 0;
        bytesIn = (bytesIn + length) | 0;
        const out = callback(buf, ((buf << SHIFT) >>> 0) + headroom, length) | 0;
        if ((out - SHORTEST) >>> 0 <= span) {
          heap[txSlots + slot] = buf;
          slot = (slot + 1) & txMask;
          const t = (txRing + (slot << 2)) | 0;
          const t1 = (t + 1) | 0;
          heap[t] = (buf << SHIFT) + headroom;
          heap[t1] = HIGH;
          heap2[t] = COMMAND + out;
          heap2[t1] = CC + (out << PAYLEN);
          bytesOut = (bytesOut + out) | 0;
          buf = heap[(top - sent) | 0];
          sent = (sent + 1) | 0;
          heap[place] = buf;
        } else if (out !== 0) {
          f64[txDropped]++;
        }
        // The write-back destroyed the address.
        heap[d] = (buf << SHIFT) + headroom;
        heap[d1] = HIGH;
        i = (i + 1) & rxMask;
      }
    } catch (error) {
      // Only the callback throws. Its frame is dropped, and what was done before it is done.
      failed = true;
      failure = error;
      f64[txDropped]++;
      const d = (rxRing + (i << 2)) | 0;
      heap[d] = (heap[rxSlots + i] << SHIFT) + headroom;
      heap[(d + 1) | 0] = HIGH;
      i = (i + 1) & rxMask;
    }
    if (taken !== 0) {
      heap[rxNext] = i;
      f64[rxPackets] = f64[rxPackets] + taken * UNIT;
      f64[rxBytes] = f64[rxBytes] + bytesIn * UNIT;
      if (sent !== 0) {
        heap[available] = (have - sent) | 0;
        const stop = (next + sent) | 0;
        for (let e = (next + BLOCK_MASK) & ~BLOCK_MASK; e < stop; e = (e + BLOCK) | 0) {
          heap[txRing + ((e & txMask) << 2) + 2] |= RS;
        }
        const at = (slot + 1) & txMask;
        heap[txNext] = at;
        f64[txPackets] = f64[txPackets] + sent * UNIT;
        f64[txBytes] = f64[txBytes] + bytesOut * UNIT;
        const word = heap[txTail];
        if (word !== 0) heap[word] = at;
        else txDoorbell(at);
      }
      const tail = (i - 1) & rxMask;
      const word = heap[rxTail];
      if (word !== 0) heap[word] = tail;
      else rxDoorbell(tail);
    }
    if (failed) throw failure;
    if (taken === n || taken === room || (heap[rxRing + (i << 2) + 2] & DD) === 0) return taken;
    return (taken + resume(n - taken)) | 0;
  }

  return fusedBatch;
}
