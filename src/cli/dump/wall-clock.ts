// The time since 1970 for the stamps of a capture, from a monotonic clock, which is quick to read and has microseconds.
// How far the two are apart is looked at again and again, because the system's time is corrected, set, and goes on
// while the machine sleeps.

/** A difference this large is no correction by NTP, which is gradual: somebody has set the clock, or the machine slept. */
const JUMP_US = 100_000;

/** Turns monotonic time into time since 1970. */
export class WallClock {
  private readonly monotonicUs: () => number;
  private readonly wallMs: () => number;
  private offsetUs: number;

  /** @param wallMs milliseconds since 1970, whole as Date.now() gives them */
  constructor(monotonicUs: () => number, wallMs: () => number = Date.now) {
    this.monotonicUs = monotonicUs;
    this.wallMs = wallMs;
    this.offsetUs = wallMs() * 1000 - monotonicUs();
  }

  /** Microseconds since 1970 at a monotonic time. */
  at(monotonicUs: number): number {
    return monotonicUs + this.offsetUs;
  }

  /**
   * Looks at the time since 1970 anew. Its whole milliseconds bound the offset to one millisecond, and a thread that
   * was not running between the readings bounds it less; an offset inside the bounds stays, so that stamps do not waver.
   * @returns by how many microseconds the time jumped; 0 where it did not, or was corrected a little
   */
  anchor(): number {
    const beforeUs = this.monotonicUs();
    const wallUs = this.wallMs() * 1000;
    const leastUs = wallUs - this.monotonicUs();
    const mostUs = wallUs + 1000 - beforeUs;
    const jumpUs = Math.min(Math.max(this.offsetUs, leastUs), mostUs) - this.offsetUs;
    this.offsetUs += jumpUs;
    return Math.abs(jumpUs) < JUMP_US ? 0 : jumpUs;
  }
}
