// HOT. The caller's side of `npm run bench`: what a forwarder's author writes.
// forward-case.ts takes a copy of this module a direction, as the driver does for
// its own loops: code that two directions share is slower.

import type { RxQueue, TxQueue } from '#dist/ixgbevf/queue/queues.js';
import type { Mempool } from '#dist/memory/mempool.js';

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

/** Receives and gives the buffers back, until the rx ring is empty. */
export function makeRx(rx: RxQueue, mempool: Mempool, batch: number): () => number {
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    for (;;) {
      const n = rx.batch(bufs, 0, batch);
      if (n === 0) return moved;
      mempool.giveBatch(bufs, 0, n);
      moved = (moved + n) | 0;
    }
  };
}

/** Takes buffers, says how long the frames are, and transmits them: up to 448 frames. */
export function makeTx(
  tx: TxQueue,
  mempool: Mempool,
  lengths: Uint16Array,
  batch: number,
): () => number {
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    while (moved + batch <= 448) {
      mempool.takeBatch(bufs, 0, batch);
      for (let i = 0; i < batch; i = (i + 1) | 0) lengths[bufs[i]] = 60;
      if (tx.batch(bufs, 0, batch) !== batch) throw new Error('bench: tx ring full');
      moved = (moved + batch) | 0;
    }
    return moved;
  };
}
