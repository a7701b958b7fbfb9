// Nanoseconds a packet for receive, touch one byte, transmit, both ways between
// two devices, against a NIC that only sets DD. The device's work is not timed.
// Usage: npm run bench [-- --json]

import { cpus } from 'node:os';
import { processArena } from '#dist/memory/arena.js';
import { createMempool } from '#dist/memory/mempool.js';
import { makeStubNic, type StubNic } from './stub-nic.ts';

const BATCHES = [1, 8, 32, 64, 256];
const FRAME = 60;
const RUNS = 5;
const RUN_PACKETS = 4_000_000;
const HEADROOM = 0;

const arena = processArena();
const mempool = createMempool(arena, { count: 4096, headroomBytes: HEADROOM });
const nics: [StubNic, StubNic] = [await makeStubNic(mempool), await makeStubNic(mempool)];
const bytes = arena.views.u8;
const bufs = new Int32Array(256);

function makeForward(from: StubNic, to: StubNic): (batch: number) => number {
  const { rx } = from;
  const { tx } = to;
  return (batch) => {
    let moved = 0;
    for (;;) {
      const n = rx.batch(bufs, 0, batch);
      if (n === 0) return moved;
      for (let i = 0; i < n; i++) bytes[bufs[i] << 11]++;
      const sent = tx.batch(bufs, 0, n);
      if (sent !== n) throw new Error(`bench: expected room for ${n} frames, got ${sent}`);
      moved += n;
    }
  };
}

const directions = [makeForward(nics[0], nics[1]), makeForward(nics[1], nics[0])] as const;

function run(batch: number, packets: number): number {
  let moved = 0;
  let ns = 0n;
  while (moved < packets) {
    for (const nic of nics) nic.drain();
    for (const nic of nics) nic.fill(FRAME);
    const start = process.hrtime.bigint();
    moved += directions[0](batch);
    moved += directions[1](batch);
    ns += process.hrtime.bigint() - start;
  }
  return Number(ns) / moved;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

run(32, RUN_PACKETS);
const rows = BATCHES.map((batch) => {
  run(batch, RUN_PACKETS / 4);
  const samples = Array.from({ length: RUNS }, () => run(batch, RUN_PACKETS));
  return { batch, min: Math.min(...samples), median: median(samples), max: Math.max(...samples) };
});
const cpu = cpus()[0]?.model ?? 'unknown CPU';
if (process.argv.includes('--json')) {
  const forward = Object.fromEntries(
    rows.map((row) => [
      `batch${row.batch}`,
      { nsPerPacket: row.median, min: row.min, max: row.max },
    ]),
  );
  console.log(JSON.stringify({ node: process.version, v8: process.versions.v8, cpu, forward }));
} else {
  console.log(`forward, two devices, ${FRAME}-byte frames; Node ${process.version}, ${cpu}`);
  console.log(`${RUNS} runs of ${RUN_PACKETS} packets; the device's work is not timed; no silicon`);
  for (const row of rows) {
    const figures = [row.min, row.median, row.max].map((ns) => ns.toFixed(2)).join(' / ');
    console.log(
      `  batch ${String(row.batch).padStart(3)}: min / median / max ${figures} ns/packet`,
    );
  }
}
