// Forwards with two queues between two VFs of a software 82599 at full load, while ports are reset, taken down and brought
// up at random moments, and devices are taken away and given back. At the end every frame offered was delivered or is
// in a counter, every buffer is back, and memory and open files are what they were.
// Usage: node test/driver/endurance-program.mjs [RESETS] [REMOVALS] [SEED]

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createModel, mempool, open, processArena } from 'ixy.ts';
import { randomIntegers } from '../../dist/bench/method/statistics.js';
import { FORWARD, writeSource } from '../../dist/cli/l2fwd/forward.js';

const [resets = 100, removals = 10, seed = 1] = process.argv.slice(2).map(Number);
const QUEUES = 2;
const BUFFERS = 4096;
/** A recovery that takes longer has failed. */
const LIMIT_MS = 30_000;
/** One that takes longer is told with what the driver logged. */
const SLOW_MS = Number(process.env.IXY_ENDURANCE_SLOW_MS ?? LIMIT_MS);

/** A number below what it is given, from the seed. */
const random = randomIntegers(seed);

/** What the driver logged since the last event, to go with one that took long. */
let said = [];
function note(text) {
  said.push(`${Math.round(performance.now())} ms: ${text}`);
}

const arena = processArena();
const heap = arena.views.i32;
const wire = 'gen:flows=64';
const model = createModel({
  ports: [
    { vfs: 1, wire },
    { vfs: 1, wire },
  ],
});
const pools = Array.from({ length: QUEUES }, () => mempool({ count: BUFFERS }));

const options = { model, rxQueues: QUEUES, txQueues: QUEUES, mempool: pools };
const log = { debug: () => {}, info: note, warn: note };
const sides = [];
for (const port of [0, 1]) {
  const recovery = { recover: true, waitForDevice: true, log };
  sides.push({ port, vf: await open(`model:${port}.0`, { ...options, ...recovery }) });
}
const stopWord = arena.allocateControl(64) >>> 2;
const blocks = sides.map(({ vf }) =>
  pools.map(() => {
    const block = arena.allocateControl(FORWARD.BLOCK_BYTES) >>> 2;
    heap[block + FORWARD.PEER_LOW] = -1;
    heap[block + FORWARD.PEER_HIGH] = 0xffff;
    writeSource(heap, block, vf.macBytes);
    return block;
  }),
);

const workers = [];
for (const [q, pool] of pools.entries()) {
  const direction = (from, to) => ({
    rx: sides[from].vf.rx[q].handle,
    tx: sides[to].vf.tx[q].handle,
    outState: blocks[to][q],
    inState: blocks[from][q],
  });
  const worker = new Worker(new URL('../../dist/cli/l2fwd/worker.js', import.meta.url));
  const directions = [direction(0, 1), direction(1, 0)];
  worker.postMessage({ mempool: pool.handle, directions, batch: 32, dropAtOnce: false, stopWord });
  await once(worker, 'message');
  workers.push(worker);
}

/** Lets the model move as fast as it can, and timers run. */
let moving = true;
const moved = (async () => {
  while (moving) {
    for (let i = 0; i < 20; i++) model.step(64);
    await turn();
  }
})();

async function until(what, holds) {
  const endMs = performance.now() + LIMIT_MS;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`endurance: ${what}: not within ${LIMIT_MS} ms`);
    await turn();
  }
}

function footprint() {
  const { rss, heapUsed } = process.memoryUsage();
  const mib = (bytes) => Math.round(bytes / 2 ** 20);
  return {
    rssMiB: mib(rss),
    heapMiB: mib(heapUsed),
    fds: readdirSync('/proc/self/fd').length,
    dmaBytes: arena.dmaUsedBytes,
    controlBytes: arena.controlUsedBytes,
  };
}

const tookMs = [];
/** Waits for the VF to run once more. */
async function recovered({ vf }, before, sinceMs) {
  await until('restarted', () => vf.restarts > before && vf.running);
  const took = performance.now() - sinceMs;
  tookMs.push(took);
  if (took > SLOW_MS) console.error(`${Math.round(took)} ms: ${said.join('; ')}`);
  said = [];
}

async function reset(side) {
  const pf = model.pf(side.port);
  const before = side.vf.restarts;
  if (random(2) === 0) pf.reset();
  else {
    pf.goDown();
    await sleep(random(200));
    pf.comeUp();
  }
  await recovered(side, before, performance.now());
}

async function removal(side) {
  const before = side.vf.restarts;
  model.host.unplug(side.port, 0);
  await until('unplugged', () => model.host.presence(side.port, 0) === 'unplugged');
  if (!side.vf.removed)
    throw new Error('endurance: the VF was taken away before it was given back');
  await sleep(random(300));
  model.host.plug(side.port, 0);
  await recovered(side, before, performance.now());
}

const total = resets + removals;
let early;
for (let done = 0, left = removals; done < total; done++) {
  await sleep(random(50));
  const side = sides[random(2)];
  if (random(total - done) < left) {
    left--;
    await removal(side);
  } else await reset(side);
  if (done === Math.floor(total / 4)) early = footprint();
}
const late = footprint();
const restarts = sides.map(({ vf }) => vf.restarts);

await sleep(200);
// Without a cable nothing more arrives. What the threads have in hand finds no room then, and is given up after 100 ms,
// batch by batch.
for (const { port } of sides) model.host.setCable(port, false);
const received = () => sides.flatMap(({ vf }) => vf.rx.map(({ counters }) => counters.packets));
for (let before; before !== String(received()); await sleep(500)) before = String(received());
Atomics.store(heap, stopWord, 1);
await Promise.all(workers.map((worker) => once(worker, 'exit')));
moving = false;
await moved;
for (const { vf } of sides) vf.stop();
const rows = model.counters();
const sum = (queues, name) => queues.reduce((all, { counters }) => all + counters[name], 0);
const wrong = [];
const same = (what, got, expected) => {
  if (got !== expected) wrong.push(`${what}: expected ${expected}, got ${got}`);
};
const f64 = arena.views.f64;
for (const [here, { vf }] of sides.entries()) {
  const row = rows[here];
  const { rx } = vf;
  const out = sides[1 - here].vf.tx;
  const dropped = blocks[1 - here].reduce(
    (all, block) => all + f64[(block >> 1) + FORWARD.DROPPED],
    0,
  );
  const { missedNoDescriptor, missedDisabled, filtered } = row;
  const missed = missedNoDescriptor + missedDisabled + filtered;
  same(`port ${here}, offered`, row.delivered + missed, row.offered);
  const taken = sum(rx, 'packets') + sum(rx, 'dropped') + sum(rx, 'lost');
  same(`device ${here}, delivered`, taken, row.delivered);
  same(`device ${here}, received`, sum(out, 'packets') + dropped, sum(rx, 'packets'));
  const sent = rows[1 - here].sinkReceived + sum(out, 'lost');
  same(`device ${1 - here}, sent`, sent, sum(out, 'packets'));
  for (const name of ['sinkDuplicates', 'sinkCorrupt', 'iommuFaults', 'spoofed']) {
    same(`port ${here}, ${name}`, row[name], 0);
  }
}
same('violations', model.recorder.violationCount, 0);
for (const { vf } of sides) vf.close();
for (const [q, pool] of pools.entries()) {
  same(`buffers of queue ${q}`, pool.available, BUFFERS);
  const all = new Int32Array(BUFFERS);
  pool.takeBatch(all, 0, BUFFERS);
  same(`different buffers of queue ${q}`, new Set(all).size, BUFFERS);
}
same('open files', late.fds, early.fds);
same('DMA memory', late.dmaBytes, early.dmaBytes);
same('control memory', late.controlBytes, early.controlBytes);

tookMs.sort((a, b) => a - b);
const round = (ms) => Math.round(ms * 10) / 10;
const recovery = { medianMs: round(tookMs[total >> 1]), worstMs: round(tookMs[total - 1]) };
const frames = rows.map(({ offered, sinkReceived }) => ({ offered, sinkReceived }));
console.log(
  JSON.stringify({ resets, removals, seed, restarts, recovery, early, late, frames, wrong }),
);
if (wrong.length > 0) {
  console.error(`endurance: ${wrong.join('; ')}`);
  process.exitCode = 1;
}
