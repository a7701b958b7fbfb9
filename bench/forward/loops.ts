// HOT. The caller's side of `npm run bench`: what a forwarder's author writes.
// case.ts takes a copy of this module a direction, as the driver does for
// its own loops: code that two directions share is slower.

import type { RxQueue, TxQueue } from '#dist/ixgbevf/queue/queues.js';

/** Receives, adds one to the first byte of each frame and transmits, until the rx ring is empty. */
export function makeForward(
  rx: RxQueue,
  tx: TxQueue,
  bytes: Uint8Array,
  batch: number,
): () => number {
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    for (;;) {
      const n = rx.batch(bufs, 0, batch);
      if (n === 0) return moved;
      for (let i = 0; i < n; i = (i + 1) | 0) bytes[bufs[i] << 11]++;
      const sent = tx.batch(bufs, 0, n);
      if (sent !== n) throw new Error(`bench: expected room for ${n} frames, got ${sent}`);
      moved = (moved + n) | 0;
    }
  };
}
