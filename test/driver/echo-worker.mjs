// A thread that sends back whatever one queue pair receives, and in between takes and gives buffers as any owner of a
// mempool does, until the stop word is set.

import { parentPort, workerData } from 'node:worker_threads';
import { Mempool, openRxQueue, openTxQueue } from 'ixy.ts';

const BATCH = 32;
const { rxHandle, txHandle, mempoolHandle, stopWord } = workerData;
const rx = await openRxQueue(rxHandle);
const tx = await openTxQueue(txHandle);
const mempool = new Mempool(mempoolHandle);
const heap = new Int32Array(mempoolHandle.memory.buffer);
const bufs = new Int32Array(BATCH);
const own = new Int32Array(8);

parentPort.postMessage('started');
while (Atomics.load(heap, stopWord) === 0) {
  for (let i = 0; i < 64; i++) {
    const n = rx.batch(bufs, 0, BATCH);
    const sent = tx.batch(bufs, 0, n);
    if (sent < n) mempool.giveBatch(bufs, sent, n - sent);
    mempool.giveBatch(own, 0, mempool.takeBatch(own, 0, own.length));
  }
}
parentPort.postMessage('stopped');
