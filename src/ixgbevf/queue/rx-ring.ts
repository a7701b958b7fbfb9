// HOT. Receiving: the loop takes finished descriptors, hands out their buffers and
// gives each slot another one (82599 DS sec 7.1.6). As in ixy, the tail register is
// written once a batch. The loop knows only whole frames and leaves by `break` for
// anything else, since a branch that never ran would keep V8 from hoisting the
// checks of `bufs` out of the loop. docs/hot-path.md has the rules that this file
// follows, and each queue has a copy of its code (support/code-copy.ts).

import { RX_FLAGS, RX_FRAME_ERRORS, RX_STATUS } from '../../hw/descriptors.ts';
import { IOVA_HIGH } from '../../memory/iova.ts';
import {
  type ArenaViews,
  BUF_SHIFT,
  FLAGS_TABLE,
  HASH_TABLE,
  LENGTH_TABLE,
  VLAN_TABLE,
} from '../../memory/layout.ts';
import { POOL } from '../../memory/mempool.ts';
import { native } from '../../support/native.ts';
import {
  type Batch,
  COUNT_UNIT,
  type Doorbell,
  HOST_TAG,
  METADATA,
  OPEN,
  pairOf,
  QUEUE,
  refuseBatch,
} from './memory.ts';
import { makeSkip } from './rx-skip.ts';

// V8 loads and checks an imported binding at every use, while a constant of this module becomes part of the code.
// With imported bindings a forwarder takes 1.36, 1.07 and 1.08 times as long on Node 20, 24 and 26 (batch 1: 1.25, 1.28, 1.17).
const DD = RX_STATUS.mask.DD;
const EOP = RX_STATUS.mask.EOP;
/** One comparison tells a whole, undamaged frame in one buffer from everything else. */
const LOOK = DD | EOP | RX_FRAME_ERRORS;
const WHOLE = DD | EOP;
/** The parts of the words 0 and 2 of a descriptor that become RX_FLAGS. */
const INFO = RX_FLAGS.mask.RSS_TYPE | RX_FLAGS.mask.PACKET_TYPE;
const STATUS = 0xff;
const TAG_STATUS = RX_STATUS.mask.VP;
const ERRORS = RX_FLAGS.mask.TCPE | RX_FLAGS.mask.IPE;
const LENGTHS = LENGTH_TABLE >>> 1;
const FLAGS = FLAGS_TABLE >>> 2;
const HASHES = HASH_TABLE >>> 2;
const VLANS = VLAN_TABLE >>> 1;
const SHIFT = BUF_SHIFT;
const HIGH = IOVA_HIGH;
const UNIT = COUNT_UNIT;

/**
 * Makes the receive loop of one queue.
 * @param state word index of the queue's state block
 * @param idle called when the queue is stopped (returns 0) or closed (throws)
 */
export function makeRxBatch(
  views: ArenaViews,
  state: number,
  doorbell: Doorbell,
  idle: (gate: number) => number,
): Batch {
  const { heap, heapPlus2 } = pairOf(views);
  const u16 = views.u16;
  const f64 = views.f64;
  const descriptors = heap[state + QUEUE.DESCRIPTORS];
  const slots = heap[state + QUEUE.SLOTS];
  const mask = heap[state + QUEUE.SIZE] - 1;
  const mempool = heap[state + QUEUE.MEMPOOL];
  const headroom = heap[mempool + POOL.HEADROOM];
  const highest = heap[mempool + POOL.STACK] - 1;
  const next = state + QUEUE.NEXT;
  const gate = state + QUEUE.GATE;
  const inside = state + QUEUE.INSIDE;
  const self = native().threadId();
  const tailWord = state + QUEUE.TAIL;
  const available = mempool + POOL.AVAILABLE;
  const packets = (state >> 1) + QUEUE.PACKETS;
  const octets = (state >> 1) + QUEUE.BYTES;
  const features = state + QUEUE.FEATURES;
  const metadata = (heap[features] & METADATA) !== 0;
  const hostTag = HOST_TAG;
  const i32 = views.i32;
  const refuse = refuseBatch;
  const skip = makeSkip(views, state, self, doorbell);
  let resuming = false;

  /** A doorbell that can fail is rung from outside: only the thread that owns the device has one, and that stops queues. */
  function ring(tail: number): void {
    heap[inside] = 0;
    doorbell(tail);
  }

  /** Goes on with a batch whose loop met something else than a whole frame, or an empty mempool. */
  function resume(bufs: Int32Array, from: number, n: number): number {
    if (resuming) return 0;
    resuming = true;
    let k = 0;
    let dropped = 0;
    try {
      // A ring full of dropped frames must not hold the caller for ever.
      while (k < n && dropped <= mask) {
        const more = skip();
        if (more === 0) break;
        dropped += more;
        k += rxBatch(bufs, from + k, n - k);
      }
    } finally {
      resuming = false;
    }
    return k;
  }

  /** A batch that was not let in, or that begins within a frame that is dropped. */
  function aside(bufs: Int32Array, from: number, n: number): number {
    const closed = heap[gate];
    return closed === OPEN ? resume(bufs, from, n) : idle(closed);
  }

  function rxBatch(bufs: Int32Array, from: number, n: number): number {
    if ((from | 0) !== from || (n | 0) !== n || (from | n) < 0 || from + n > bufs.length) {
      refuse(bufs, from, n);
    }
    // gate.ts has the other side of these two lines, and of the last store.
    heap[inside] = self;
    const closed = heap[gate];
    let i = heap[next];
    if ((closed | i) < 0) return aside(bufs, from, n);
    const have = heap[available];
    const end = (from + (n < have ? n | 0 : have)) | 0;
    // The top of the free stack plus `from`, so that `top - at` is the next free buffer and the loop has one index less to carry.
    const top = (((highest + have) | 0) + from) | 0;
    let at = from | 0;
    let bytes = 0;
    // What of status and VLAN the user sees: a tag of the host's is none of it.
    const tags = metadata && (heap[features] & hostTag) !== 0 ? 0 : -1;
    const shown = STATUS & (tags | ~TAG_STATUS);
    while (at < end) {
      const d = (descriptors + (i << 2)) | 0;
      const status = heapPlus2[d];
      if ((status & LOOK) !== WHOLE) break;
      // `metadata` is a constant of this closure, so a queue without metadata has no code for it.
      if (metadata) {
        const subject = heap[slots + i];
        const info = heap[d];
        i32[FLAGS + subject] = (info & INFO) | ((status & shown) << 16) | (status & ERRORS);
        i32[HASHES + subject] = heap[(d + 1) | 0];
        u16[VLANS + subject] = (heapPlus2[(d + 1) | 0] >>> 16) & tags;
      }
      // The write-back overwrote the address, so the slot is written anew. A stale status would look like DD.
      heapPlus2[d] = 0;
      const fresh = heap[(top - at) | 0];
      const e = (d + 1) | 0;
      heap[d] = (fresh << SHIFT) + headroom;
      heap[e] = HIGH;
      // DD was read before the length, and x86 keeps loads in order.
      const length = heapPlus2[e] & 0xffff;
      heapPlus2[e] = 0;
      bytes = (bytes + length) | 0;
      const slot = (slots + i) | 0;
      i = (i + 1) & mask;
      const buf = heap[slot];
      heap[slot] = fresh;
      u16[LENGTHS + buf] = length;
      bufs[at] = buf;
      at = (at + 1) | 0;
    }
    const k = (at - from) | 0;
    if (k !== 0) {
      heap[next] = i;
      heap[available] = (have - k) | 0;
      f64[packets] = f64[packets] + k * UNIT;
      f64[octets] = f64[octets] + bytes * UNIT;
      // One behind on purpose: RDT == RDH would leave the device no descriptor at all.
      const tail = (i - 1) & mask;
      const word = heap[tailWord];
      if (word !== 0) heap[word] = tail;
      else ring(tail);
    }
    heap[inside] = 0;
    if (k === n || (heap[descriptors + (i << 2) + 2] & DD) === 0) return k;
    return (k + resume(bufs, at, n - k)) | 0;
  }

  return rxBatch;
}
