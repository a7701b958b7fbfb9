// The loop of a model that serves: moves the NIC, looks at the sockets now and then, sleeps when
// nothing moves. A doorbell in shared memory wakes nobody, so sleep is short; a message on a
// socket does. Runs in a Worker, whose main thread owns signals and printing (design: threads).

import { native } from '../../support/native.ts';

/** The parts of a running model that the loop drives. */
export interface LoopParts {
  /** A Nic. */
  readonly nic: { step(budget: number): number };
  /** A ModelServer. */
  readonly server: { serve(timeoutMs: number): number };
  /** Word 0, in shared memory: not 0 ends the loop, within a sleep or one turn. */
  readonly stop: Int32Array;
  /** Called about once a second, from inside the loop. */
  readonly report: () => void;
}

/** Frames that each queue and port may move at a step. */
const BUDGET = 64;
/** Steps between two looks at the sockets: a poll costs about as much as moving 30 frames. */
const STEPS = 8;
/** How long to go on looking after the last thing that moved, before sleeping: the gap of a slow sender. */
const SPIN_MS = 1;
/** Sleep when idle, and after a while without work: what a frame that comes meanwhile waits for. */
const IDLE_MS = 1;
const LONG_IDLE_MS = 2;
const LONG_AFTER_MS = 100;
const REPORT_MS = 1000;

/** Runs until the stop word says otherwise. */
export function runModel(parts: LoopParts): void {
  const { nic, server, stop, report } = parts;
  let now = performance.now();
  let lastWork = now;
  let nextReport = now + REPORT_MS;
  while (Atomics.load(stop, 0) === 0) {
    let work = 0;
    for (let i = 0; i < STEPS; i++) {
      const moved = nic.step(BUDGET);
      work += moved;
      if (moved === 0) break;
    }
    now = performance.now();
    const sleep = work > 0 ? 0 : sleepMs(now - lastWork);
    work += server.serve(sleep);
    if (work > 0) lastWork = now;
    else if (sleep === 0) native().yieldCpu(); // the driver may wait for this very CPU
    if (now >= nextReport) {
      nextReport = now + REPORT_MS;
      report();
    }
  }
}

function sleepMs(idleMs: number): number {
  if (idleMs <= SPIN_MS) return 0;
  return idleMs < LONG_AFTER_MS ? IDLE_MS : LONG_IDLE_MS;
}
