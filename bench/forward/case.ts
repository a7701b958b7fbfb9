// The hot path as a program that measures itself a slice at a time (method/slices.ts): receive, touch one byte,
// transmit, both ways between two devices, against a NIC that only sets DD. The device's work is not timed. A slice is
// hundreds of rounds of a ring's fill, and its figure that of the median round.
// Usage: node dist/bench/forward/case.js BATCH [SLOW_PERCENT]
//   SLOW_PERCENT: waits so much longer in every round, to show that a slower build is found

import { createInterface } from 'node:readline';
import { processArena } from '#dist/memory/arena.js';
import { createMempool } from '#dist/memory/mempool.js';
import { freshCopy } from '#dist/support/code-copy.js';
import * as loops from './loops.ts';
import { makeStubNic, type StubNic } from './stub-nic.ts';

const FRAME = 60;
const WARM_UP_MS = 250;
const SLICE_MS = 25;
const [, , batchText = '', slowText = '0'] = process.argv;
const batch = Number(batchText);
const slow = Number(slowText) / 100;
if (!(batch >= 1 && batch <= 256 && slow >= 0)) {
  console.error('usage: case BATCH [SLOW_PERCENT]');
  process.exit(2);
}

const mempool = createMempool(processArena(), { count: 4096 });
const nics = [await makeStubNic(mempool), await makeStubNic(mempool)];
const bytes = processArena().views.u8;

/** Frames are taken from one NIC and leave through the other until the rx ring is empty. @returns frames moved */
async function makeLoop(from: StubNic, to: StubNic): Promise<() => number> {
  const { module } = await freshCopy('./loops', import.meta.url, loops);
  return module.makeForward(from.rx, to.tx, bytes, batch);
}
const there = await makeLoop(nics[0], nics[1]);
const back = await makeLoop(nics[1], nics[0]);

/** Nanoseconds a packet of each round; more rounds than a slice holds. */
const rounds = new Float64Array(1 << 14);

function slice(): string {
  const switches = process.resourceUsage().involuntaryContextSwitches;
  const end = performance.now() + SLICE_MS;
  let now = performance.now();
  let longest = 0;
  let count = 0;
  let owed = 0;
  while (now < end && count < rounds.length) {
    for (const nic of nics) nic.drain();
    for (const nic of nics) nic.fill(FRAME);
    const start = performance.now();
    const moved = there() + back();
    let stop = performance.now();
    if (slow > 0) {
      // What is waited too long is made up for in the next round.
      owed += (stop - start) * slow;
      const until = stop + owed;
      owed = until;
      while (stop < until) stop = performance.now();
      owed -= stop;
    }
    rounds[count++] = ((stop - start) * 1e6) / moved;
    longest = Math.max(longest, stop - now);
    now = stop;
  }
  const median = rounds.subarray(0, count).sort()[count >> 1];
  const lost = process.resourceUsage().involuntaryContextSwitches - switches;
  return `${median.toFixed(4)} ${lost} ${(longest * 1000).toFixed(0)}`;
}

// The compiler works on threads of its own, which may have to wait for a CPU.
const warm = performance.now() + WARM_UP_MS;
while (performance.now() < warm) slice();
console.log('ready');
for await (const _ of createInterface({ input: process.stdin })) console.log(slice());
