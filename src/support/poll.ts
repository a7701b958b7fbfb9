// The one loop that waits for hardware. It always ends, and when it ends without
// success its error names what was awaited and what was last seen.

import type { Clock } from './clock.ts';
import { DeviceError } from './errors.ts';

/** What to wait for. */
export interface PollSpec {
  /** Register or thing awaited, for the error: "VFTXDCTL(0).ENABLE". */
  readonly what: string;
  /** Wanted state, for the error: "1". */
  readonly wanted: string;
  /** Pause between two looks, microseconds. */
  readonly intervalUs: number;
  /** Bound on the whole wait, microseconds. */
  readonly timeoutUs: number;
  /** What the user should look at when this times out. */
  readonly advice?: string;
}

/**
 * Calls `look` until `done` accepts its value or the time is up; looks at least twice, unless the clock's own end has come.
 * @returns the accepted value
 * @throws DeviceError naming the register, the wanted and the last value, and the time waited
 */
export function pollUntil(
  clock: Clock,
  spec: PollSpec,
  look: () => number,
  done: (value: number) => boolean,
): number {
  return finish(pollSteps(clock, spec, look, done, clock.endUs));
}

/** Goes through steps to their end at once. */
export function finish<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * As `pollUntil`, but yields after every pause, for a caller that has something else to do as well and may come back
 * later: so the clock's own end is no end of it.
 */
export function* pollSteps(
  clock: Clock,
  spec: PollSpec,
  look: () => number,
  done: (value: number) => boolean,
  lastUs = Number.POSITIVE_INFINITY,
): Generator<void, number> {
  const startUs = clock.nowUs();
  const endUs = Math.min(startUs + spec.timeoutUs, lastUs);
  for (;;) {
    const expired = clock.nowUs() >= endUs;
    const value = look();
    if (done(value)) return value;
    if (expired) {
      const waitedMs = Math.round((clock.nowUs() - startUs) / 1000);
      const last = `0x${(value >>> 0).toString(16)}`;
      throw new DeviceError(spec.what, spec.wanted, last, waitedMs, spec.advice);
    }
    clock.sleepUs(spec.intervalUs);
    yield;
  }
}
