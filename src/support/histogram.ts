// Counts of values in log-linear buckets, 64 to each power of two, so that a bucket tells a value to 1 in 64 (1.6 %).
// Values below 128 have a bucket each. Counting allocates nothing.

const STEP_BITS = 6;
const STEPS = 1 << STEP_BITS;
/** Values from 2**40 on, which as nanoseconds are 18 minutes, are counted as the highest below it. */
const LIMIT = 2 ** 40;
/** Buckets of a histogram. */
export const BUCKETS = bucketOf(LIMIT - 1) + 1;

/** [highest value, how many], ascending, none of them empty: what a histogram is reported and plotted as. */
export type HistogramRows = readonly (readonly [value: number, count: number])[];

/** Index of the bucket of a whole number; below 0 counts as 0. */
export function bucketOf(value: number): number {
  if (value < STEPS) return Math.max(0, value | 0);
  const held = Math.min(value, LIMIT - 1);
  const bits = held < 2 ** 32 ? 31 - Math.clz32(held) : 63 - Math.clz32(held / 2 ** 32);
  const octave = bits - STEP_BITS;
  return octave * STEPS + Math.floor(held / 2 ** octave);
}

/** Lowest value of a bucket; its highest is the lowest of the next one less 1. */
export function lowestOf(bucket: number): number {
  const octave = Math.max(0, Math.floor(bucket / STEPS) - 1);
  return (bucket - octave * STEPS) * 2 ** octave;
}

/** What was counted. @param counts how many values by bucket, BUCKETS elements */
export function histogramRows(counts: Float64Array): HistogramRows {
  const rows: [number, number][] = [];
  for (const [bucket, count] of counts.entries()) {
    if (count > 0) rows.push([lowestOf(bucket + 1) - 1, count]);
  }
  return rows;
}

/**
 * Smallest value that at least `percent` of the samples do not exceed.
 * @param max the largest sample, which is known better than its bucket; returned where there are no samples
 */
export function percentile(rows: HistogramRows, percent: number, max: number): number {
  const wanted = (rows.reduce((sum, [, count]) => sum + count, 0) * percent) / 100;
  let seen = 0;
  for (const [value, count] of rows) {
    seen += count;
    if (seen >= wanted) return Math.min(value, max);
  }
  return max;
}
