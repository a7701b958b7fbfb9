// One case of `npm run bench` in a process of its own: nanoseconds a packet for
// receive, touch one byte, transmit, both ways between `devices` devices (one
// device: back out of where it came in), against a NIC that only sets DD. The
// device's work is not timed. A run is thousands of rounds of a ring's fill, and
// its result the median round: what other processes take of the CPU falls out.
// Prints one line a run.
// Usage: node dist/bench/forward-case.js forward|rx|tx DEVICES BATCH PACKETS RUNS

import { processArena } from '#dist/memory/arena.js';
import { BUF_LIMIT, LENGTH_TABLE } from '#dist/memory/layout.js';
import { createMempool } from '#dist/memory/mempool.js';
import { freshCopy } from '#dist/support/code-copy.js';
import * as forwardLoops from './forward-loops.ts';
import { makeStubNic, type StubNic } from './stub-nic.ts';

const FRAME = 60;
const WARM_UP_MS = 250;
const [, , shape = '', devices = '', batchText = '', packetText = '', runText = ''] = process.argv;
const batch = Number(batchText);
const packets = Number(packetText);
const runs = Number(runText);
if (!['forward', 'rx', 'tx'].includes(shape) || !(batch >= 1 && packets >= 1 && runs >= 1)) {
  console.error('usage: forward-case forward|rx|tx DEVICES BATCH PACKETS RUNS');
  process.exit(2);
}

const arena = processArena();
const mempool = createMempool(arena, { count: 4096 });
const nics: StubNic[] = [];
for (let i = 0; i < Number(devices); i++) nics.push(await makeStubNic(mempool));
const bytes = arena.views.u8;
const lengths = new Uint16Array(arena.memory.buffer, LENGTH_TABLE, BUF_LIMIT);

/** Frames are taken from one NIC and leave through the other until the rx ring is empty. @returns frames moved */
async function makeLoop(from: StubNic, to: StubNic): Promise<() => number> {
  const { module } = await freshCopy('./forward-loops', import.meta.url, forwardLoops);
  if (shape === 'rx') return module.makeRx(from.rx, mempool, batch);
  if (shape === 'tx') return module.makeTx(to.tx, mempool, lengths, batch);
  return module.makeForward(from.rx, to.tx, bytes, batch);
}

const loops: (() => number)[] = [];
for (const [i, nic] of nics.entries()) {
  loops.push(await makeLoop(nic, nics[(i + 1) % nics.length]));
}

/** @returns nanoseconds a packet, each round's */
function run(count: number): number[] {
  const rounds: number[] = [];
  let moved = 0;
  while (moved < count) {
    for (const nic of nics) nic.drain();
    if (shape !== 'tx') for (const nic of nics) nic.fill(FRAME);
    const start = process.hrtime.bigint();
    let round = 0;
    for (const loop of loops) round += loop();
    rounds.push(Number(process.hrtime.bigint() - start) / round);
    moved += round;
  }
  return rounds;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

// The compiler works on threads of its own, which may have to wait for a CPU.
const warm = performance.now() + WARM_UP_MS;
while (performance.now() < warm) run(100_000);
for (let i = 0; i < runs; i++) console.log(median(run(packets)).toFixed(4));
