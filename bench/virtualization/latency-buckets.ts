// Latency counted in log-linear buckets, 64 an octave (1.6 %), without allocation: add() is called for
// every frame.

const STEPS = 64;
const OCTAVES = 26;

/** Counts of latencies, each in the bucket that it falls into. */
export class LatencyBuckets {
  private readonly counts = new Float64Array(OCTAVES * STEPS);
  private readonly nsPerStep: number;

  /** @param stepsPerUs unit of what is added */
  constructor(stepsPerUs: number) {
    this.nsPerStep = 1000 / stepsPerUs;
  }

  /** Counts a value; below 0 counts as 0. */
  add(value: number): void {
    this.counts[bucketOf(value)]++;
  }

  /** [ns, count] of the buckets that have one, ascending. */
  rows(): [number, number][] {
    const rows: [number, number][] = [];
    for (const [i, count] of this.counts.entries()) {
      if (count > 0) rows.push([lowestOf(i) * this.nsPerStep, count]);
    }
    return rows;
  }
}

/** Bucket of a value. */
export function bucketOf(value: number): number {
  if (value < STEPS) return Math.max(0, value | 0);
  const octave = 31 - Math.clz32(value) - 6;
  return octave * STEPS + (value >>> octave);
}

/** Lowest value of a bucket. */
export function lowestOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const octave = Math.floor(bucket / STEPS) - 1;
  return (bucket - octave * STEPS) * 2 ** octave;
}
