// Open-loop pacing by the injected clock: so many frames are due as time has passed,
// with a bounded catch-up. Does not wait.

import { type Clock, readUs } from '../../support/clock.ts';

/** Longest pause that is made up for at once; after a longer one the rest is lost, as on a wire. */
const CATCH_UP_US = 2000;
/** Frames that may always be made up for, however slow the rate. */
const CATCH_UP_FRAMES = 32;

/** Says how many frames are due. */
export class Pacer {
  private readonly clock: Clock;
  private readonly perUs: number;
  private readonly limit: number;
  private readonly now = new Float64Array(1);
  private readonly last = new Float64Array(1);
  /** Frames due and not sent; the first is due at once. */
  private due = 1;

  /** @param rate frames a second, above 0 */
  constructor(clock: Clock, rate: number) {
    this.clock = clock;
    this.perUs = rate / 1e6;
    this.limit = Math.max(CATCH_UP_FRAMES, this.perUs * CATCH_UP_US);
    readUs(clock, this.last);
  }

  /** @returns whole frames due now, at most `budget` */
  allowance(budget: number): number {
    readUs(this.clock, this.now);
    const now = this.now[0];
    this.due = Math.min(this.limit, this.due + (now - this.last[0]) * this.perUs);
    this.last[0] = now;
    return Math.min(budget, Math.floor(this.due));
  }

  /** Takes n sent frames off. */
  sent(n: number): void {
    this.due -= n;
  }
}
