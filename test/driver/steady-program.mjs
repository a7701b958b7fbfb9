// Forwards N packets on a software 82599 in this thread and says when the steady
// state begins and ends, so that `node --trace-gc` shows whether anything was
// collected in between. The sink of each port checks every frame's sequence.
// Usage: node --trace-gc test/driver/steady-program.mjs [PACKETS]

import { writeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createModel, mempool, open, packetViews } from 'ixy.ts';

const BATCH = 32;
const WARM_UP = 2_000_000;

const packets = Number(process.argv[2] ?? 10_000_000);
if (!Number.isInteger(packets) || packets < 1) {
  throw new RangeError(`steady: expected a number of packets, got '${process.argv[2]}'`);
}
const model = createModel({
  ports: [
    { vfs: 1, wire: 'gen' },
    { vfs: 1, wire: 'gen' },
  ],
});
const buffers = mempool({ count: 4096 });
const a = await open('model:0.0', { model, mempool: buffers });
const b = await open('model:1.0', { model, mempool: buffers });
const views = packetViews(buffers);

function makeDirection(from, to) {
  const bufs = new Int32Array(BATCH);
  const [rx] = from.rx;
  const [tx] = to.tx;
  const { words } = views;
  const source = to.macBytes;
  const high = source[0] | (source[1] << 8);
  const low = source[2] | (source[3] << 8) | (source[4] << 16) | (source[5] << 24);
  return () => {
    const n = rx.batch(bufs, 0, BATCH);
    for (let i = 0; i < n; i++) {
      const w = bufs[i] << 9;
      words[w] = -1;
      words[w + 1] = 0xffff | (high << 16);
      words[w + 2] = low;
    }
    const sent = tx.batch(bufs, 0, n);
    if (sent < n) buffers.giveBatch(bufs, sent, n - sent);
    return sent;
  };
}

const forward = makeDirection(a, b);
const backward = makeDirection(b, a);

function run(count) {
  let moved = 0;
  while (moved < count) {
    model.step(2 * BATCH);
    moved += forward() + forward() + backward() + backward();
  }
}

run(WARM_UP);
// Start from an empty young generation, so that what the run itself allocates is what shows.
setFlagsFromString('--expose-gc');
runInNewContext('gc')();
writeSync(1, 'steady\n');
const start = process.hrtime.bigint();
run(packets);
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
writeSync(1, 'done\n');
for (let i = 0; i < 100; i++) model.step(2 * BATCH);
const rows = model.counters();
const bad = rows.filter(
  (row) => row.sinkGaps + row.sinkDuplicates + row.sinkCorrupt + row.iommuFaults + row.spoofed > 0,
);
const received = rows.reduce((sum, row) => sum + row.sinkReceived, 0);
const violations = model.recorder.violationCount;
a.close();
b.close();
const { heapUsed } = process.memoryUsage();
console.log(JSON.stringify({ packets, seconds, received, heapUsed, violations }));
if (bad.length > 0 || violations > 0 || received < packets) {
  console.error(`steady: the sequence check failed: ${JSON.stringify(rows)}`);
  process.exitCode = 1;
}
