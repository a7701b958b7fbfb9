// HOT. The inner loops of the datapath, over frames that need nothing special: untagged unicast to one plain rx queue,
// tx frames of one descriptor without offloads. Each loop stops at the first frame that is not so and leaves it to the
// class that called it. So behaviour is decided there, and here is only speed: model and forwarder together take 1.9 to
// 2.0 times as long without `collect`, 3.2 to 3.4 times without `claim` and `commit`, 1.28 times without `sameRoute` and 1.01
// to 1.02 times without `markDone`. The views are constants of closures, one set a NIC, and all else is a word offset
// into them: over fields of an object the same loops take 1.15, 1.07 and 1.05 times as long (Node 20, 24, 26, batch 32).

import type { ArenaViews } from '../../memory/layout.ts';
import { batchWords, type FrameBatch } from '../frame.ts';
import * as layout from '../layout.ts';
import type { SwitchLoops } from '../types.ts';
import { packetType } from './offload/packet-type.ts';

// These are constants of this module, since an imported binding is loaded and checked at each use.
const { Q_COUNT, Q_HEAD, Q_PACKETS, Q_RING, Q_TAIL, Q_TAIL_WORD, R_BUFFER, V_PLAIN_RX } = layout;
const { Q_WINDOW_BASE, Q_WINDOW_BYTES, Q_WINDOW_HIGH, Q_WINDOW_START, C_RX_OCTETS } = layout;
const typeOf = packetType;

const DD_EOP = 3;
/** Descriptors of 16 bytes a cache line. */
const LINE_DESCRIPTORS = 4;
/** BSIZEPKT 1. */
const SMALLEST_BUFFER = 1024;

/** Word 2 of a tx descriptor without DTALEN, RS and the reserved bits; what a plain frame has there: DEXT, IFCS, EOP, DTYP 3. */
const PLAIN_MASK = 0x73fc0000 | (1 << 31);
const PLAIN = (1 << 29) | (1 << 25) | (1 << 24) | (3 << 20);
const RS = 1 << 27;
/** Tells data (3) from context (2) descriptors. */
const DATA = 1 << 20;
const DD = 1;
/** Word 3 without PAYLEN. */
const STATUS_MASK = 0x3fff;
const SHORTEST = 60;
const LONGEST = 9724;

/** The loops over one set of views: those of the switch, and the two of tx queues. */
export interface PlainLoops extends SwitchLoops {
  /**
   * Takes plain frames from the head of a tx ring into `offsets` and `lengths` from index `from` on; moves the head.
   * @param status word 3 of a plain frame without PAYLEN
   * @returns the index after the last; below `limit` where the ring is empty or the next is not plain
   */
  collect(q: number, status: number, from: number, limit: number): number;
  /**
   * Sets DD in the descriptors with RS from `index` to before `to` of a tx ring in one writable piece.
   * @returns how many
   */
  markDone(q: number, index: number, to: number): number;
}

/** Makes the loops over these views. Call it as seldom as views change: a second set is slower (one code, two sets of constants). */
export function makePlainLoops(views: ArenaViews, batch: FrameBatch): PlainLoops {
  const h = views.i32;
  const { offsets, lengths, targets, sizes } = batch;
  const octets = batchWords();

  /**
   * Loads one word of each cache line of n descriptors. They lie in another core's cache: a loop with nothing else to do
   * has all of them fetched at once, where one with work to do reaches only a few ahead.
   */
  function touch(ring: number, count: number, head: number, n: number): void {
    let touched = 0;
    for (let k = 0; k < n; k = (k + LINE_DESCRIPTORS) | 0) {
      let index = (head + k) | 0;
      if (index >= count) index = (index - count) | 0;
      touched |= h[(ring + (index << 2)) | 0];
    }
    octets[1] = touched; // a load whose value nobody uses is deleted
  }

  function claim(v: number, longest: number, n: number): number {
    const q = h[v + V_PLAIN_RX];
    if (q === 0 || (longest > SMALLEST_BUFFER && longest > h[q + R_BUFFER])) return 0;
    const count = h[q + Q_COUNT];
    const ring = h[q + Q_RING];
    const high = h[q + Q_WINDOW_HIGH];
    const start = h[q + Q_WINDOW_START];
    const base = h[q + Q_WINDOW_BASE];
    const room = (h[q + Q_WINDOW_BYTES] - longest) | 0;
    let head = h[q + Q_HEAD];
    let free = (h[q + Q_TAIL] - head) | 0;
    if (free < 0) free = (free + count) | 0;
    if (free < n) {
      // Read only when it is needed: the line is the driver's.
      const tail = h[h[q + Q_TAIL_WORD]];
      if (tail >>> 0 >= count) return 0;
      h[q + Q_TAIL] = tail;
      free = (tail - head) | 0;
      if (free < 0) free = (free + count) | 0;
    }
    const most = Math.min(free, n) | 0;
    touch(ring, count, head, most);
    let i = 0;
    for (; i < most; i = (i + 1) | 0) {
      const d = (ring + (head << 2)) | 0;
      const delta = (h[d] - start) | 0;
      const offset = (base + delta) | 0;
      if (h[d + 1] !== high || delta < 0 || delta > room || (offset & 7) !== 0) break;
      targets[i] = offset >>> 2;
      head = (head + 1) | 0;
      if (head === count) head = 0;
    }
    // The buffers lie in another core's cache: one store each, ahead of the frames' own, has all of them fetched at once.
    for (let k = 0; k < i; k = (k + 1) | 0) h[targets[k]] = k;
    return i;
  }

  function commit(v: number, n: number): void {
    const q = h[v + V_PLAIN_RX];
    const count = h[q + Q_COUNT];
    const ring = h[q + Q_RING];
    let head = h[q + Q_HEAD];
    let bytes = 0;
    let typeWord = 0;
    let protocolWord = 0;
    let type = 0;
    // In order: DPDK reads the status of several descriptors from the last to the first and counts those done.
    for (let i = 0; i < n; i = (i + 1) | 0) {
      const w = targets[i];
      const length = sizes[i];
      const d = (ring + (head << 2)) | 0;
      if (h[w + 3] !== typeWord || h[w + 5] !== protocolWord) {
        typeWord = h[w + 3];
        protocolWord = h[w + 5];
        type = typeOf(h, w);
      }
      h[d] = type;
      h[d + 1] = 0;
      h[d + 3] = length;
      // DD last: on x86 whoever sees it sees the rest.
      h[d + 2] = DD_EOP;
      bytes = (bytes + length + 4) | 0;
      head = (head + 1) | 0;
      if (head === count) head = 0;
    }
    h[q + Q_HEAD] = head;
    h[q + Q_PACKETS] = (h[q + Q_PACKETS] + n) | 0;
    h[v + C_RX_OCTETS] = (h[v + C_RX_OCTETS] + bytes) | 0;
  }

  function collect(q: number, status: number, from: number, limit: number): number {
    const count = h[q + Q_COUNT];
    const tail = h[q + Q_TAIL];
    const ring = h[q + Q_RING];
    const high = h[q + Q_WINDOW_HIGH];
    const start = h[q + Q_WINDOW_START];
    const bytes = h[q + Q_WINDOW_BYTES];
    const base = h[q + Q_WINDOW_BASE];
    let head = h[q + Q_HEAD];
    let n = from;
    const posted = (tail - head) | 0;
    touch(ring, count, head, Math.min(posted < 0 ? posted + count : posted, limit - n) | 0);
    while (head !== tail && n < limit) {
      const d = (ring + (head << 2)) | 0;
      const command = h[d + 2];
      const last = h[d + 3];
      const length = command & 0xffff;
      const delta = (h[d] - start) | 0;
      const offset = (base + delta) | 0;
      if (
        (command & PLAIN_MASK) !== PLAIN ||
        (last & STATUS_MASK) !== status ||
        last >>> 14 !== length ||
        length < SHORTEST ||
        length > LONGEST ||
        h[d + 1] !== high ||
        delta < 0 ||
        delta > ((bytes - length) | 0) ||
        (offset & 3) !== 0
      ) {
        break;
      }
      offsets[n] = offset;
      lengths[n] = length;
      n = (n + 1) | 0;
      head = (head + 1) | 0;
      if (head === count) head = 0;
    }
    h[q + Q_HEAD] = head;
    // The same for the frames.
    let touched = 0;
    for (let k = from; k < n; k = (k + 1) | 0) touched |= h[offsets[k] >>> 2];
    octets[1] = touched;
    return n;
  }

  function markDone(q: number, index: number, to: number): number {
    const count = h[q + Q_COUNT];
    const ring = h[q + Q_RING];
    let marked = 0;
    let i = index;
    while (i !== to) {
      const d = (ring + (i << 2)) | 0;
      if ((h[d + 2] & (RS | DATA)) === (RS | DATA)) {
        h[d + 3] = DD;
        marked = (marked + 1) | 0;
      }
      i = (i + 1) | 0;
      if (i === count) i = 0;
    }
    return marked;
  }

  function sameRoute(
    i: number,
    n: number,
    sourceHigh: number,
    sourceLow: number,
    destination0: number,
    destination1: number,
  ): number {
    const sourceMask = sourceHigh === -1 ? 0 : 0xffff;
    const lowMask = sourceHigh === -1 ? 0 : -1;
    const high = sourceHigh & sourceMask;
    const low = sourceLow & lowMask;
    let k = i;
    let bytes = 0;
    for (; k < n; k = (k + 1) | 0) {
      const w = offsets[k] >>> 2;
      const word1 = h[w + 1];
      if (
        h[w] !== destination0 ||
        (word1 & 0xffff) !== destination1 ||
        ((word1 >>> 16) & sourceMask) !== high ||
        (h[w + 2] & lowMask) !== low ||
        (h[w + 3] & 0xffff) === 0x0081
      ) {
        break;
      }
      bytes = (bytes + lengths[k] + 4) | 0;
    }
    octets[0] = bytes;
    return k;
  }

  return { claim, commit, collect, markDone, sameRoute, octets };
}
