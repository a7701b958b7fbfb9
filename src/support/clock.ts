// Time as an injected thing: the driver and the model wait and stamp through a
// Clock, so that a test can advance it by hand and nothing ever sleeps there.

/** A monotonic clock that can wait. */
export interface Clock {
  /** Microseconds since an arbitrary start; never goes back. */
  nowUs(): number;
  /** Waits at least `us` microseconds (blocking; the configuration path only). */
  sleepUs(us: number): void;
}

const sleepWord = new Int32Array(new SharedArrayBuffer(4));

/** The machine's monotonic clock. */
export const systemClock: Clock = {
  nowUs: () => performance.now() * 1000,
  sleepUs: (us) => {
    // Atomics.wait on a word nobody wakes is a sleep that works on the main thread of Node.
    if (us > 0) Atomics.wait(sleepWord, 0, 0, us / 1000);
  },
};
