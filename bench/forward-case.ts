// One case of `npm run bench` in a process of its own: nanoseconds a packet for
// receive, touch one byte, transmit, both ways between `devices` devices (one
// device: back out of where it came in), against a NIC that only sets DD. The
// device's work is not timed. Prints one line a run.
// Usage: node dist/bench/forward-case.js forward|fused|rx|tx DEVICES BATCH PACKETS RUNS

import { openFused } from '#dist/ixgbevf/queues.js';
import { processArena } from '#dist/memory/arena.js';
import { LENGTH_TABLE } from '#dist/memory/layout.js';
import { createMempool } from '#dist/memory/mempool.js';
import { makeStubNic, type StubNic } from './stub-nic.ts';

const FRAME = 60;
const [, , shape = '', devices = '', batchText = '', packetText = '', runText = ''] = process.argv;
const batch = Number(batchText);
const packets = Number(packetText);
const runs = Number(runText);
if (
  !['forward', 'fused', 'rx', 'tx'].includes(shape) ||
  !(batch >= 1 && packets >= 1 && runs >= 1)
) {
  console.error('usage: forward-case forward|fused|rx|tx DEVICES BATCH PACKETS RUNS');
  process.exit(2);
}

const arena = processArena();
const mempool = createMempool(arena, { count: 4096 });
const nics: StubNic[] = [];
for (let i = 0; i < Number(devices); i++) nics.push(await makeStubNic(mempool));
const bytes = arena.views.u8;
const lengths = LENGTH_TABLE >>> 1;
const { u16 } = arena.views;

/** Receive, touch, transmit until the rx ring is empty. @returns frames moved */
function makeForward(from: StubNic, to: StubNic): () => number {
  const { rx } = from;
  const { tx } = to;
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    for (;;) {
      const n = rx.batch(bufs, 0, batch);
      if (n === 0) return moved;
      for (let i = 0; i < n; i = (i + 1) | 0) bytes[bufs[i] << 11]++;
      const sent = tx.batch(bufs, 0, n);
      if (sent !== n) throw new Error(`bench: expected room for ${n} frames, got ${sent}`);
      moved += n;
    }
  };
}

function makeRx(from: StubNic): () => number {
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    for (;;) {
      const n = from.rx.batch(bufs, 0, batch);
      if (n === 0) return moved;
      mempool.giveBatch(bufs, 0, n);
      moved += n;
    }
  };
}

function makeTx(to: StubNic): () => number {
  const bufs = new Int32Array(batch);
  return () => {
    let moved = 0;
    while (moved + batch <= 448) {
      mempool.takeBatch(bufs, 0, batch);
      for (let i = 0; i < batch; i = (i + 1) | 0) u16[lengths + bufs[i]] = FRAME;
      if (to.tx.batch(bufs, 0, batch) !== batch) throw new Error('bench: tx ring full');
      moved += batch;
    }
    return moved;
  };
}

async function makeFused(from: StubNic, to: StubNic): Promise<() => number> {
  const fused = await openFused(from.rx.handle, to.tx.handle, (_buf, offset, length) => {
    bytes[offset]++;
    return length;
  });
  return () => {
    let moved = 0;
    for (;;) {
      const n = fused(batch);
      if (n === 0) return moved;
      moved += n;
    }
  };
}

const loops: (() => number)[] = [];
for (const [i, nic] of nics.entries()) {
  const other = nics[(i + 1) % nics.length];
  if (shape === 'forward') loops.push(makeForward(nic, other));
  else if (shape === 'fused') loops.push(await makeFused(nic, other));
  else loops.push(shape === 'rx' ? makeRx(nic) : makeTx(nic));
}

function run(count: number): number {
  let moved = 0;
  let ns = 0n;
  while (moved < count) {
    for (const nic of nics) nic.drain();
    if (shape !== 'tx') for (const nic of nics) nic.fill(FRAME);
    const start = process.hrtime.bigint();
    for (const loop of loops) moved += loop();
    ns += process.hrtime.bigint() - start;
  }
  return Number(ns) / moved;
}

run(Math.max(packets / 2, 1_000_000));
for (let i = 0; i < runs; i++) console.log(run(packets).toFixed(4));
