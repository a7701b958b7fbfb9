// HOT. Copies of frames inside the heap, for the switch and for what is plugged into its ports.

import type { ArenaViews } from '../memory/layout.ts';

/** From this many bytes on, the builtin's fixed cost pays (node 20 on an EPYC: 35 ns and 2.5 bytes a cycle). */
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
