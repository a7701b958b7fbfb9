// Virtual time for a driver and a model in one thread: time passes only when
// somebody looks at the clock or sleeps, and while it passes the model moves. So
// nothing sleeps, and a wait that is bounded in time ends in a test as well.

import type { Clock } from '../../src/support/clock.ts';

/** The driver's clock. Each look costs 1 us; looking and sleeping step the model once. */
export class SteppingClock implements Clock {
  /** The same time, for the model itself: looking at it moves nothing. */
  readonly model: Clock = { nowUs: () => this.us, sleepUs: () => {} };
  private us = 0;
  private readonly step: () => void;
  private readonly due: { readonly atUs: number; readonly run: () => void }[] = [];

  constructor(step: () => void) {
    this.step = step;
  }

  nowUs(): number {
    this.pass(1);
    return this.us;
  }

  sleepUs(us: number): void {
    this.pass(us);
  }

  /** Runs something `us` from now, inside somebody's look or sleep. */
  after(us: number, run: () => void): void {
    this.due.push({ atUs: this.us + us, run });
    this.due.sort((a, b) => a.atUs - b.atUs);
  }

  /** Lets time pass. */
  pass(us: number): void {
    const endUs = this.us + us;
    for (let next = this.due[0]; next !== undefined && next.atUs <= endUs; next = this.due[0]) {
      this.due.shift();
      this.us = Math.max(this.us, next.atUs);
      next.run();
    }
    this.us = endUs;
    this.step();
  }
}
