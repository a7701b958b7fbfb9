// What the loops of the datapath owe to a driver on another core: the order in which it sees things.

import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { makePlainLoops } from '../../../src/model/engine/plain-loops.ts';
import { LOOP_BATCH, makeFrameBatch } from '../../../src/model/frame.ts';
import * as layout from '../../../src/model/layout.ts';
import { viewsOver } from '../nic-fixture.ts';

const V = 1024;
const Q = V + layout.V_RX_QUEUES;
const RING = 8192;
const BUFFERS = 16_384;
/** Changes of status that the other core has to have seen, and how long that may take. */
const ENOUGH = 10_000;
const LIMIT_MS = 10_000;

/** Looks from the last status to the first, as DPDK does, until told to stop. */
const OBSERVER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const h = new Int32Array(workerData.buffer);
  let wrong = 0, seen = 0;
  Atomics.store(h, 0, 1);
  while (h[1] === 0) {
    for (let i = workerData.n - 1; i > 0; i--) {
      // Odd while a burst is being reported; where it was the same before and after, none was taken back in between.
      const phase = h[2];
      const later = h[workerData.ring + i * 4 + 2] & 1;
      const earlier = h[workerData.ring + i * 4 - 2] & 1;
      if ((phase & 1) === 0 || h[2] !== phase) continue;
      if (later === 1 && earlier === 0) wrong++;
      seen += later ^ earlier;
    }
    h[3] = seen;
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
  const end = performance.now() + LIMIT_MS;
  for (let round = 0; h[3] < ENOUGH && performance.now() < end; round++) {
    h[Q + layout.Q_HEAD] = 0;
    h[2] = 2 * round + 1;
    loops.commit(V, LOOP_BATCH);
    h[2] = 2 * round + 2;
    for (let i = 0; i < LOOP_BATCH; i++) h[RING + i * 4 + 2] = 0;
  }
  h[1] = 1;
  const { wrong, seen } = await said;
  expect(seen).toBeGreaterThanOrEqual(ENOUGH);
  expect(wrong).toBe(0);
});
