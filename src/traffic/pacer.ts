// HOT. Open-loop pacing by a clock: how many frames are due as time has passed. Waits for nothing and allocates nothing.
// What a sender was too late for may go at once up to a limit; what is beyond it is owed and goes at four times the
// rate, so that the mean stays right without long bursts, or is lost, as on a wire.

import { type Clock, readUs } from '../support/clock.ts';

/** Writes the time in microseconds to out[0]; native().monotonicUs is one. */
export type ReadClock = (out: Float64Array) => void;

/** Frames owed that go beside each one that is due. */
const REPAID = 3;

const NOW = 0;
const LAST = 1;
const DUE = 2;
const OWED = 3;

/** How a pacer treats what it was too late for, in frames. */
export interface PacerLimits {
  /** May go at once. */
  readonly burst: number;
  /** Are owed at most; more are lost. */
  readonly maxOwed: number;
  /** Are collected before any goes, so that a batch is worth its cost. */
  readonly collect: number;
}

/** Says how many frames are due. */
export class Pacer {
  private readonly read: ReadClock;
  private readonly perUs: number;
  private readonly limits: PacerLimits;
  /** Numbers in fields would be boxed anew at every write. */
  private readonly state = new Float64Array(4);

  /** @param rate frames a second, above 0; the first is due at once */
  constructor(read: ReadClock, rate: number, limits: PacerLimits) {
    this.read = read;
    this.perUs = rate / 1e6;
    this.limits = limits;
    read(this.state);
    this.state[LAST] = this.state[NOW];
    this.state[DUE] = 1;
  }

  /** @returns frames due now, at most `n`; 0 while it is better to wait for more */
  allowance(n: number): number {
    const { state } = this;
    const { burst, maxOwed, collect } = this.limits;
    this.read(state);
    const gained = (state[NOW] - state[LAST]) * this.perUs;
    state[LAST] = state[NOW];
    const repaid = Math.min(state[OWED], gained * REPAID);
    let due = state[DUE] + gained + repaid;
    let owed = state[OWED] - repaid;
    if (due > burst) {
      owed = Math.min(maxOwed, owed + due - burst);
      due = burst;
    }
    state[DUE] = due;
    state[OWED] = owed;
    return due < Math.min(n, collect) ? 0 : Math.min(n, Math.floor(due));
  }

  /** Takes off `n` frames that were sent. */
  sent(n: number): void {
    this.state[DUE] -= n;
  }
}

/**
 * The pacer of a port of the model: up to 2 ms of frames, 32 at least, are made up for at once; after a longer pause
 * the rest is lost, as on a wire.
 */
export function wirePacer(clock: Clock, rate: number): Pacer {
  const burst = Math.max(32, rate * 2e-3);
  return new Pacer((out) => readUs(clock, out), rate, { burst, maxOwed: 0, collect: 1 });
}

/**
 * The pacer of a sender that wants its rate right over a second: four batches may go at once, a tenth of a second's
 * frames are owed at most, and fast rates collect 20 us of frames, so that a batch is worth its doorbell.
 * @param batch most frames sent at once
 */
export function senderPacer(read: ReadClock, rate: number, batch: number): Pacer {
  const collect = Math.max(1, Math.floor(rate * 20e-6));
  return new Pacer(read, rate, { burst: 4 * batch, maxOwed: rate * 0.1, collect });
}
