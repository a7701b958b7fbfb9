// HOT. Software rate control by the machine's clock. What could not be sent in time is owed: a few
// batches of it go at once, the rest at four times the rate, so that the mean is right over a second and
// there are no long bursts. Waits for nothing and allocates nothing.

/** Writes the time in microseconds to out[0]; native().monotonicUs is one. */
export type ReadClock = (out: Float64Array) => void;

/** Batches that may go at once. */
const BURST_BATCHES = 4;
/** Frames owed that go beside each one that is due. */
const REPAID = 3;
/** Seconds' worth of frames that are owed at most: a longer stall lowers the mean. */
const MAX_OWED_SECONDS = 0.1;
/** Fast rates collect frames for this long, so that a batch is worth its doorbell. */
const COLLECT_SECONDS = 20e-6;

const NOW = 0;
const LAST = 1;
const DUE = 2;
const OWED = 3;

/** See the head of this file. */
export class RateLimiter {
  private readonly read: ReadClock;
  private readonly perUs: number;
  private readonly burst: number;
  private readonly maxOwed: number;
  private readonly collect: number;
  /** Numbers in fields would be boxed anew at every write. */
  private readonly state = new Float64Array(4);

  /**
   * @param rate frames a second, above 0
   * @param batch most frames sent at once
   */
  constructor(rate: number, batch: number, read: ReadClock) {
    this.read = read;
    this.perUs = rate / 1e6;
    this.burst = BURST_BATCHES * batch;
    this.maxOwed = rate * MAX_OWED_SECONDS;
    this.collect = Math.max(1, Math.floor(rate * COLLECT_SECONDS));
    read(this.state);
    this.state[LAST] = this.state[NOW];
    // The first frame is due at once.
    this.state[DUE] = 1;
  }

  /** @returns frames due now, at most `n`; 0 while it is better to wait for more */
  allowance(n: number): number {
    const { state, burst } = this;
    this.read(state);
    const gained = (state[NOW] - state[LAST]) * this.perUs;
    state[LAST] = state[NOW];
    const repaid = Math.min(state[OWED], gained * REPAID);
    let due = state[DUE] + gained + repaid;
    let owed = state[OWED] - repaid;
    if (due > burst) {
      owed = Math.min(this.maxOwed, owed + due - burst);
      due = burst;
    }
    state[DUE] = due;
    state[OWED] = owed;
    return due < Math.min(n, this.collect) ? 0 : Math.min(n, Math.floor(due));
  }

  /** Takes off `n` frames that were sent. */
  sent(n: number): void {
    this.state[DUE] -= n;
  }
}
