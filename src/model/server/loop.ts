// The loop of a model that serves: moves the NIC, looks at the sockets now and then, sleeps when
// nothing moves. A doorbell in shared memory wakes nobody, so sleep is short; a message on a
// socket does. The loop gives way to the event loop of its thread every few milliseconds, so that
// one thread is enough for a model, its signals, its clocks and its output.

import { readUs, systemClock } from '../../support/clock.ts';
import { native } from '../../support/native.ts';

/** The parts of a running model that the loop drives. */
export interface LoopParts {
  /** A Nic. */
  readonly nic: { step(budget: number): number };
  /** A ModelServer. */
  readonly server: { serve(timeoutMs: number): number };
  /** Word 0: not 0 ends the loop, within a sleep or one turn. Set by the event loop, or by another thread. */
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

/** Turns between two times in which the event loop runs: a few milliseconds while frames move. */
const TURNS = 512;
/** What a turn with a sleep counts for there. More would make signals wait, fewer would cost CPU while nothing moves. */
const SLEEP_TURNS = 32;

/** Times, in us, in one array: as variables each would be an object of its own wherever V8 does not optimise. */
const TIME = {
  NOW: 0,
  TURN_START: 1,
  LAST_WORK: 2,
  NEXT_REPORT: 3,
  REPORTED: 4,
  /** In which there was nothing to move: since the last report, since the start. */
  IDLE: 5,
  IDLE_IN_ALL: 6,
  /** First and last work, and the idle time until then. */
  FIRST: 7,
  IDLE_AT_FIRST: 8,
  LAST: 9,
  IDLE_AT_LAST: 10,
  WORDS: 11,
} as const;

/**
 * Runs until the stop word says otherwise.
 * @returns idle share of the time from the first to the last frame or message, 1 where there were none
 */
export async function runModel(parts: LoopParts): Promise<number> {
  const { nic, server, stop, report, intervalSeconds } = parts;
  const { NOW, TURN_START, LAST_WORK, NEXT_REPORT, REPORTED, IDLE, IDLE_IN_ALL } = TIME;
  const { FIRST, IDLE_AT_FIRST, LAST, IDLE_AT_LAST } = TIME;
  const time = new Float64Array(TIME.WORDS);
  const reportUs = intervalSeconds === 0 ? Number.POSITIVE_INFINITY : intervalSeconds * 1e6;
  let worked = false;

  function move(): number {
    let work = 0;
    for (let i = 0; i < STEPS; i++) {
      const moved = nic.step(BUDGET);
      work += moved;
      if (moved === 0) break;
    }
    return work;
  }

  /** @returns true where it may have slept */
  function turn(): boolean {
    const moved = move();
    readUs(systemClock, time);
    const sleep = moved > 0 || time[NOW] - time[LAST_WORK] <= SPIN_US ? 0 : IDLE_MS;
    const messages = server.serve(sleep);
    if (moved > 0 || messages > 0) time[LAST_WORK] = time[NOW];
    else if (sleep === 0) native().yieldCpu(); // the driver may wait for this very CPU
    if (moved > 0) {
      if (!worked) {
        worked = true;
        time[FIRST] = time[TURN_START];
        time[IDLE_AT_FIRST] = time[IDLE_IN_ALL];
      }
      time[LAST] = time[NOW];
      time[IDLE_AT_LAST] = time[IDLE_IN_ALL];
    } else {
      readUs(systemClock, time);
      time[IDLE] += time[NOW] - time[TURN_START];
      time[IDLE_IN_ALL] += time[NOW] - time[TURN_START];
    }
    time[TURN_START] = time[NOW];
    if (time[NOW] >= time[NEXT_REPORT]) {
      time[NEXT_REPORT] = time[NOW] + reportUs;
      report(time[IDLE] / (time[NOW] - time[REPORTED]));
      time[REPORTED] = time[NOW];
      time[IDLE] = 0;
    }
    return sleep > 0;
  }

  readUs(systemClock, time);
  for (const word of [TURN_START, LAST_WORK, REPORTED]) time[word] = time[NOW];
  time[NEXT_REPORT] = time[NOW] + reportUs;
  for (let turns = 0; Atomics.load(stop, 0) === 0; ) {
    turns += turn() ? SLEEP_TURNS : 1;
    if (turns < TURNS) continue;
    turns = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const loaded = time[LAST] - time[FIRST];
  return loaded > 0 ? (time[IDLE_AT_LAST] - time[IDLE_AT_FIRST]) / loaded : 1;
}
