// The NIC of virtualization: a served software 82599 with one port, and a wire on it that offers
// frames to all receivers in turn at a given rate. Its CPU time stands for hardware.
// Usage: nic DIRECTORY VFS RECEIVERS BYTES RATE   (with the board at fd 3)

import { processArena } from '#dist/memory/arena.js';
import { runModel, serveModel } from '#dist/model/server/index.js';
import { systemClock } from '#dist/support/clock.js';

import { type Pacer, wirePacer } from '#dist/traffic/pacer.js';
import { mapBoard, PHASE } from './board.ts';
import { FRAME, makeFrame, STAMP_PER_US, vfMac } from './frame.ts';
import { Phases } from './phases.ts';

const [directory, ...numbers] = process.argv.slice(2);
const [vfs, receivers, bytes, rate] = numbers.map(Number);
const arena = processArena();
const board = mapBoard(receivers);
const macs = Array.from({ length: vfs }, (_, vf) => vfMac(vf));
const model = serveModel({ arena, ports: [{ vfs, macs }], clock: systemClock, directory });
const { nic, server } = model;

const frames = Array.from({ length: receivers }, (_, receiver) => {
  const frame = makeFrame(bytes, vfMac(vfs === 1 ? 0 : receiver), receiver);
  const offset = arena.allocateControl(frame.length);
  arena.views.u8.set(frame, offset);
  return { offset, length: frame.length };
});
const offsets = Int32Array.from(frames, ({ offset }) => offset);
const [{ length }] = frames;
const sequences = new Int32Array(receivers);
const stop = new Int32Array(new SharedArrayBuffer(4));
let turn = 0;
let offered = 0;
let pacer: Pacer | undefined;
const phases = new Phases(board, () => ({ offered, rows: nic.counters() }));

/** Offers what is due. */
function wire(budget: number): number {
  const phase = phases.look();
  if (phase === PHASE.END) stop[0] = 1;
  if (phase !== PHASE.WARM && phase !== PHASE.MEASURE) return 0;
  pacer ??= wirePacer(systemClock, rate);
  const n = pacer.allowance(budget);
  if (n === 0) return 0;
  const words = arena.views.i32;
  const stamp = Math.floor(systemClock.nowUs() * STAMP_PER_US) | 0;
  const ingress = nic.ingress(0);
  for (let i = 0; i < n; i++) {
    const word = offsets[turn] >>> 2;
    words[word + FRAME.SEQUENCE] = sequences[turn]++;
    words[word + FRAME.STAMP] = stamp;
    ingress.offer(offsets[turn], length, false);
    turn = turn + 1 === receivers ? 0 : turn + 1;
  }
  pacer.sent(n);
  offered += n;
  return n;
}

phases.ready();
try {
  const both = { step: (budget: number) => wire(budget) + nic.step(budget) };
  await runModel({ nic: both, server, stop, intervalSeconds: 0, report: () => {} });
  phases.report();
} finally {
  model.close();
}
