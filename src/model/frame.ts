// HOT. Frames in the heap, as the engine, the switch and the ports handle them: the batch in which they stand
// between two loops, copies, EtherTypes, VLAN tags and MACs as words of a little-endian heap.

import type { ArenaViews } from '../memory/layout.ts';
import type { MacNumber } from './tables.ts';

/** Frames a loop takes at once. */
export const LOOP_BATCH = 64;

/** Where frames stand between two loops. One batch a NIC. */
export interface FrameBatch {
  /** Tx: heap byte offsets as int32, and bytes, of frames on their way to the wire. */
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  /** Rx: heap words of claimed buffers, and bytes of the frames written there. */
  readonly targets: Int32Array;
  readonly sizes: Int32Array;
}

/** LOOP_BATCH words over shared memory, since a plain ArrayBuffer is slower in optimised code (Node 20, 22). */
export function batchWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(LOOP_BATCH * 4));
}

/** Makes an empty batch. */
export function makeFrameBatch(): FrameBatch {
  const [offsets, lengths, targets, sizes] = [0, 1, 2, 3].map(batchWords);
  return { offsets, lengths, targets, sizes } as FrameBatch;
}

/** EtherTypes as the low half of the word at byte 12 holds them. */
export const ETHERTYPE_IPV4 = 0x0008;
export const ETHERTYPE_IPV6 = 0xdd86;
export const ETHERTYPE_VLAN = 0x0081;

/** The control word (priority and VLAN id) of a tag, from the word of bytes 12 to 15 of its frame. */
export function tagControl(word: number): number {
  return ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** The word of bytes 12 to 15 for a tag: the inverse of `tagControl`. */
export function tagWord(tci: number): number {
  return ETHERTYPE_VLAN | ((tci & 0xff00) << 8) | ((tci & 0xff) << 24);
}

/** The destination MAC, from the first two words of a frame. */
export function macOfFrame(word0: number, word1: number): MacNumber {
  const b = (word: number, i: number): number => (word >>> (8 * i)) & 0xff;
  const high = (b(word0, 0) << 8) | b(word0, 1);
  const low = ((b(word0, 2) << 24) | (b(word0, 3) << 16) | (b(word1, 0) << 8) | b(word1, 1)) >>> 0;
  return high * 2 ** 32 + low;
}

/** From this many bytes on, the builtin's fixed cost pays (Node 20 on an EPYC: 35 ns and 2.5 bytes a cycle). */
const BUILTIN_BYTES = 448;

/**
 * Copies `length` bytes between word-aligned heap places that do not overlap; no byte beyond is changed.
 * @param to heap word
 * @param from heap word
 */
export function copyWords(views: ArenaViews, to: number, from: number, length: number): void {
  const h = views.i32;
  if (((to | from) & 1) !== 0 || length >= BUILTIN_BYTES) {
    const start = (from << 2) >>> 0;
    views.u8.copyWithin((to << 2) >>> 0, start, start + length);
    return;
  }
  const wide = views.u64;
  const t = to >>> 1;
  const f = from >>> 1;
  const quads = length >> 3;
  let i = 0;
  for (; i + 4 <= quads; i = (i + 4) | 0) {
    const x = (t + i) | 0;
    const y = (f + i) | 0;
    wide[x] = wide[y];
    wide[x + 1] = wide[y + 1];
    wide[x + 2] = wide[y + 2];
    wide[x + 3] = wide[y + 3];
  }
  for (; i < quads; i = (i + 1) | 0) wide[t + i] = wide[f + i];
  const rest = length & 7;
  if (rest === 0) return;
  let at = quads << 1;
  if (rest >= 4) {
    h[to + at] = h[from + at];
    at++;
  }
  if ((rest & 3) !== 0) {
    const mask = (1 << ((rest & 3) << 3)) - 1;
    h[to + at] = (h[to + at] & ~mask) | (h[from + at] & mask);
  }
}
