// The loop of a model that serves: moves the NIC, looks at the sockets now and then, sleeps when
// nothing moves. A doorbell in shared memory wakes nobody, so sleep is short; a message on a
// socket does. Runs in a Worker, whose main thread owns signals and printing (design: threads).

import { systemClock } from '../../support/clock.ts';
import { native } from '../../support/native.ts';

/** The parts of a running model that the loop drives. */
export interface LoopParts {
  /** A Nic. */
  readonly nic: { step(budget: number): number };
  /** A ModelServer. */
  readonly server: { serve(timeoutMs: number): number };
  /** Word 0, in shared memory: not 0 ends the loop, within a sleep or one turn. */
  readonly stop: Int32Array;
  /** Between two reports; 0: none. */
  readonly intervalSeconds: number;
  /**
   * Called from inside the loop.
   * @param idle share, 0 to 1, of the time since the last call in which there was nothing to move
   */
  readonly report: (idle: number) => void;
}

/** Frames that each queue and port may move at a step. */
const BUDGET = 64;
/** Steps between two looks at the sockets: a poll costs about as much as moving 30 frames. */
const STEPS = 8;
/** How long to go on looking after the last thing that moved, before sleeping: the gap of a slow sender. */
const SPIN_US = 1000;
/** Sleep when idle: what a frame that comes meanwhile waits for. 4 % of a CPU where a process starts in 90 ms. */
const IDLE_MS = 1;

/**
 * Runs until the stop word says otherwise.
 * @returns idle share of the time from the first to the last frame or message, 1 where there were none
 */
export function runModel(parts: LoopParts): number {
  const { nic, server, stop, report } = parts;
  const reportUs =
    parts.intervalSeconds === 0 ? Number.POSITIVE_INFINITY : parts.intervalSeconds * 1e6;
  const clock = systemClock; // performance.now() leaves garbage behind
  let turnStart = clock.nowUs();
  let lastWork = turnStart;
  let nextReport = turnStart + reportUs;
  let reported = turnStart;
  let idle = 0;
  const underLoad = { from: -1, idleBefore: 0, until: 0, idle: 0 };
  let idleInAll = 0;
  while (Atomics.load(stop, 0) === 0) {
    let work = 0;
    for (let i = 0; i < STEPS; i++) {
      const moved = nic.step(BUDGET);
      work += moved;
      if (moved === 0) break;
    }
    let now = clock.nowUs();
    const busy = work > 0;
    const sleep = busy || now - lastWork <= SPIN_US ? 0 : IDLE_MS;
    work += server.serve(sleep);
    if (work > 0) lastWork = now;
    else if (sleep === 0) native().yieldCpu(); // the driver may wait for this very CPU
    if (busy) {
      if (underLoad.from < 0) {
        underLoad.from = turnStart;
        underLoad.idleBefore = idleInAll;
      }
      underLoad.until = now;
      underLoad.idle = idleInAll - underLoad.idleBefore;
    } else {
      now = clock.nowUs();
      idle += now - turnStart;
      idleInAll += now - turnStart;
    }
    turnStart = now;
    if (now >= nextReport) {
      nextReport = now + reportUs;
      report(idle / (now - reported));
      reported = now;
      idle = 0;
    }
  }
  const loaded = underLoad.until - underLoad.from;
  return underLoad.from < 0 || loaded <= 0 ? 1 : underLoad.idle / loaded;
}
