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
} from '../hw/descriptors.ts';
import { type ArenaViews, BUF_SHIFT, IOVA_TABLE } from '../memory/layout.ts';
import { POOL } from '../memory/mempool.ts';
import { QUEUE, TX_BLOCK } from './queue-memory.ts';
import type { Doorbell } from './rx-ring.ts';

// Constants of this module, not imported bindings, in the loop: see rx-ring.ts.
const RX_DD = RX_STATUS.mask.DD;
const RX_EOP = RX_STATUS.mask.EOP;
const LOOK = RX_DD | RX_EOP | RX_FRAME_ERRORS;
const WHOLE = RX_DD | RX_EOP;
const SKIPPING = 1 << 3;
const COMMAND =
  TX_COMMAND.mask.DEXT |
  (DTYP_DATA << TX_COMMAND.shift.DTYP) |
  TX_COMMAND.mask.IFCS |
  TX_COMMAND.mask.EOP;
const RS = TX_COMMAND.mask.RS;
const CC = TX_STATUS.mask.CC;
const PAYLEN = TX_STATUS.shift.PAYLEN;
const BLOCK_MASK = TX_BLOCK - 1;
const IOVAS = IOVA_TABLE >>> 3;
const SHIFT = BUF_SHIFT;
const SHORTEST = MIN_TX_LENGTH;

/**
 * Looks at a frame, may change it, and says what becomes of it.
 * @param buf buffer index; not the callee's to keep
 * @param offset arena byte offset of the frame
 * @param length bytes without CRC
 * @returns bytes to send, 17 up to what the buffer holds; 0 drops the frame
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
  /** TxLoops.clean of the tx queue: gives back what is done. @returns frames still in the ring */
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
  const { i32: heap, u64, f64 } = parts.views;
  const rxRing = heap[rxState + QUEUE.DESCRIPTORS];
  const rxSlots = heap[rxState + QUEUE.SLOTS];
  const rxMask = heap[rxState + QUEUE.SIZE] - 1;
  const txRing = heap[txState + QUEUE.DESCRIPTORS];
  const txSlots = heap[txState + QUEUE.SLOTS];
  const txMask = heap[txState + QUEUE.SIZE] - 1;
  const usable = txMask - 1;
  const mempool = heap[rxState + QUEUE.MEMPOOL];
  const available = mempool + POOL.AVAILABLE;
  const exhausted = mempool + POOL.EXHAUSTED;
  const stack = heap[mempool + POOL.STACK];
  const rxNext = rxState + QUEUE.NEXT;
  const rxSkip = rxState + QUEUE.CLEAN;
  const rxTail = rxState + QUEUE.TAIL;
  const txNext = txState + QUEUE.NEXT;
  const txTail = txState + QUEUE.TAIL;
  const rxPackets = (rxState >> 1) + QUEUE.PACKETS;
  const rxBytes = (rxState >> 1) + QUEUE.BYTES;
  const rxDropped = (rxState >> 1) + QUEUE.DROPPED;
  const txPackets = (txState >> 1) + QUEUE.PACKETS;
  const txBytes = (txState >> 1) + QUEUE.BYTES;
  const txDropped = (txState >> 1) + QUEUE.DROPPED;
  const span = Math.min(MAX_FRAME - CRC_SIZE, parts.bufferBytes - headroom) - MIN_TX_LENGTH;

  return function fusedBatch(n) {
    const room = (usable - clean()) | 0;
    const limit = Math.min(n, room) | 0;
    let i = heap[rxNext];
    if (i < 0) return idle(i);
    let at = heap[txNext];
    if (at < 0) return 0;
    let top = heap[available];
    let skipping = heap[rxSkip];
    let taken = 0;
    let seen = 0;
    let sent = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    while (taken < limit) {
      const d = (rxRing + (i << 2)) | 0;
      const status = heap[d + 2];
      const slot = (rxSlots + i) | 0;
      let buf = heap[slot];
      if (((status & LOOK) | skipping) === WHOLE) {
        if (top === 0) {
          heap[exhausted]++;
          break;
        }
        const length = heap[d + 3] & 0xffff;
        taken = (taken + 1) | 0;
        bytesIn = (bytesIn + length) | 0;
        const out = callback(buf, ((buf << SHIFT) >>> 0) + headroom, length) | 0;
        if ((out - SHORTEST) >>> 0 <= span) {
          const t = (txRing + (at << 2)) | 0;
          u64[t >>> 1] = u64[IOVAS + buf];
          heap[t + 2] = COMMAND | out | ((at & BLOCK_MASK) === 0 ? RS : 0);
          heap[t + 3] = CC | (out << PAYLEN);
          heap[txSlots + at] = buf;
          at = (at + 1) & txMask;
          sent = (sent + 1) | 0;
          bytesOut = (bytesOut + out) | 0;
          top = (top - 1) | 0;
          buf = heap[stack + top];
          heap[slot] = buf;
        } else if (out !== 0) {
          f64[txDropped]++;
        }
      } else {
        if ((status & RX_DD) === 0) break;
        skipping = (status & RX_EOP) === 0 ? SKIPPING : 0;
        if (skipping === 0) f64[rxDropped]++;
      }
      const wide = d >>> 1;
      u64[wide] = u64[IOVAS + buf];
      u64[wide + 1] = 0n;
      i = (i + 1) & rxMask;
      seen = (seen + 1) | 0;
      // A ring full of dropped frames must not hold the caller for ever.
      if (seen > rxMask) break;
    }
    if (seen === 0) return 0;
    heap[rxNext] = i;
    heap[rxSkip] = skipping;
    heap[available] = top;
    f64[rxPackets] = f64[rxPackets] + taken;
    f64[rxBytes] = f64[rxBytes] + bytesIn;
    if (sent !== 0) {
      heap[txNext] = at;
      f64[txPackets] = f64[txPackets] + sent;
      f64[txBytes] = f64[txBytes] + bytesOut;
      const word = heap[txTail];
      if (word !== 0) heap[word] = at;
      else txDoorbell(at);
    }
    const tail = (i - 1) & rxMask;
    const word = heap[rxTail];
    if (word !== 0) heap[word] = tail;
    else rxDoorbell(tail);
    return taken;
  };
}
