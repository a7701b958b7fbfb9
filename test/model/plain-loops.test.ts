// What the loops of the datapath owe to a driver on another core: the order in which it sees things.

import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import * as layout from '../../src/model/engine-layout.ts';
import { LOOP_BATCH, makeFrameBatch, makePlainLoops } from '../../src/model/plain-loops.ts';
import { viewsOver } from './nic-fixture.ts';

const V = 1024;
const Q = V + layout.V_RX_QUEUES;
const RING = 8192;
const BUFFERS = 16_384;
const ROUNDS = 20_000;

/** Looks from the last status to the first, as DPDK does, until told to stop. */
const OBSERVER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const h = new Int32Array(workerData.buffer);
  let wrong = 0, seen = 0;
  Atomics.store(h, 0, 1);
  while (h[1] === 0) {
    let later = 0;
    for (let i = workerData.n - 1; i >= 0; i--) {
      const now = h[workerData.ring + i * 4 + 2] & 1;
      if (later === 1 && now === 0) wrong++;
      seen += later ^ now;
      later = now;
    }
  }
  parentPort.postMessage({ wrong, seen });
`;

test('a burst is reported from the first descriptor to the last, as another core sees it', async () => {
  const views = viewsOver(new SharedArrayBuffer(1 << 20));
  const h = views.i32;
  const batch = makeFrameBatch();
  const loops = makePlainLoops(views, batch);
  h[V + layout.V_PLAIN_RX] = Q;
  h[Q + layout.Q_COUNT] = 2 * LOOP_BATCH;
  h[Q + layout.Q_RING] = RING;
  for (let i = 0; i < LOOP_BATCH; i++) {
    batch.targets[i] = BUFFERS + i * 512;
    batch.sizes[i] = 60;
  }
  const workerData = { buffer: views.i32.buffer, ring: RING, n: LOOP_BATCH };
  const observer = new Worker(OBSERVER, { eval: true, workerData });
  const said = new Promise<{ wrong: number; seen: number }>((resolve, reject) => {
    observer.once('message', resolve);
    observer.once('error', reject);
  });
  while (Atomics.load(h, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  for (let round = 0; round < ROUNDS; round++) {
    h[Q + layout.Q_HEAD] = 0;
    loops.commit(V, LOOP_BATCH);
    // Taken back from the last to the first, so that the order holds here, too.
    for (let i = LOOP_BATCH - 1; i >= 0; i--) h[RING + i * 4 + 2] = 0;
  }
  h[1] = 1;
  const { wrong, seen } = await said;
  expect(seen).toBeGreaterThan(0);
  expect(wrong).toBe(0);
});
