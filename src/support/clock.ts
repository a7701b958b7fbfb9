// Time as an injected thing: the driver and the model wait and stamp through a
// Clock, so that a test can advance it by hand and nothing ever sleeps there.

import { native } from './native.ts';

/** A monotonic clock that can wait. */
export interface Clock {
  /** Microseconds since an arbitrary start; never goes back. */
  nowUs(): number;
  /** Waits at least `us` microseconds (blocking; the configuration path only). */
  sleepUs(us: number): void;
  /** When every bounded wait (poll.ts) ends, whatever its own bound; absent: there is no such time. */
  readonly endUs?: number;
}

/** A clock whose owner can bound everything that waits by it. */
export class LimitedClock implements Clock {
  endUs = Number.POSITIVE_INFINITY;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  nowUs(): number {
    return this.clock.nowUs();
  }

  sleepUs(us: number): void {
    this.clock.sleepUs(us);
  }

  /** Runs `work`, none of whose waits goes on for more than `us` microseconds from now. */
  within<T>(us: number, work: () => T): T {
    this.endUs = this.nowUs() + us;
    try {
      return work();
    } finally {
      this.endUs = Number.POSITIVE_INFINITY;
    }
  }
}

const sleepWord = new Int32Array(new SharedArrayBuffer(4));

const now = new Float64Array(1);

/** The machine's monotonic clock. A hot loop reads it by `readUs`. */
export const systemClock: Clock = {
  nowUs: () => {
    native().monotonicUs(now);
    return now[0];
  },
  sleepUs: (us) => {
    // Atomics.wait on a word nobody wakes is a sleep that works on the main thread of Node.
    if (us > 0) Atomics.wait(sleepWord, 0, 0, us / 1000);
  },
};

/**
 * Puts the time into into[0]. For loops that must leave no garbage behind: a number that a function returns is an
 * object of its own unless V8 happens to inline the call.
 */
export function readUs(clock: Clock, into: Float64Array): void {
  if (clock === systemClock) native().monotonicUs(into);
  else into[0] = clock.nowUs();
}
