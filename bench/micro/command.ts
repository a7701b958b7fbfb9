// Single calls of the hot path, measured by mitata in one process: mempool, an
// empty poll, a full batch. For a look while working on one of them; what
// `npm run bench` says, beside C and with two devices, is what counts.
// Usage: npm run bench -- micro

import { bench, group, run } from 'mitata';
import { processArena } from '#dist/memory/arena.js';
import { createMempool } from '#dist/memory/mempool.js';
import { makeStubNic } from '../forward/stub-nic.ts';

const BATCH = 32;
const FRAME = 60;
const mempool = createMempool(processArena(), { count: 4096 });
const nic = await makeStubNic(mempool);
const bufs = new Int32Array(BATCH);

group('mempool', () => {
  bench('take and give one', () => mempool.give(mempool.take()));
  bench(`takeBatch and giveBatch of ${BATCH}`, () => {
    mempool.takeBatch(bufs, 0, BATCH);
    mempool.giveBatch(bufs, 0, BATCH);
  });
});

group(`one call for up to ${BATCH} frames, the stub NIC's work in it`, () => {
  bench('rx.batch, nothing there', () => nic.rx.batch(bufs, 0, BATCH));
  bench('rx.batch, giveBatch', () => {
    nic.fill(FRAME, BATCH);
    const n = nic.rx.batch(bufs, 0, BATCH);
    mempool.giveBatch(bufs, 0, n);
  });
  bench('rx.batch, tx.batch', () => {
    nic.fill(FRAME, BATCH);
    nic.drain();
    const n = nic.rx.batch(bufs, 0, BATCH);
    nic.tx.batch(bufs, 0, n);
  });
});

await run();
