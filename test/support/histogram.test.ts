import { describe, expect, it } from 'vitest';
import {
  BUCKETS,
  bucketOf,
  histogramRows,
  lowestOf,
  percentile,
} from '../../src/support/histogram.ts';

describe('a bucket', () => {
  it('holds its values and no others, each to 1 in 64', () => {
    for (const value of [0, 1, 63, 64, 127, 128, 129, 255, 4095, 4096, 2 ** 31, 2 ** 33 + 5]) {
      const bucket = bucketOf(value);
      const [lowest, above] = [lowestOf(bucket), lowestOf(bucket + 1)];
      expect([lowest <= value, value < above]).toEqual([true, true]);
      expect(above - 1 - lowest).toBeLessThanOrEqual(value / 64);
    }
  });

  it('follows the one before it without a gap', () => {
    for (let bucket = 1; bucket < BUCKETS; bucket++) {
      expect(bucketOf(lowestOf(bucket))).toBe(bucket);
      expect(bucketOf(lowestOf(bucket) - 1)).toBe(bucket - 1);
    }
  });

  it('takes what is below the lowest and above the highest value', () => {
    expect([bucketOf(-5), bucketOf(2 ** 40 - 1), bucketOf(2 ** 50)]).toEqual([
      0,
      BUCKETS - 1,
      BUCKETS - 1,
    ]);
  });
});

it('rows are the buckets that have something, by their highest value', () => {
  const counts = new Float64Array(BUCKETS);
  for (const value of [5, 1000, 1001, 5]) counts[bucketOf(value)]++;
  expect(histogramRows(counts)).toEqual([
    [5, 2],
    [1007, 2],
  ]);
});

it('a percentile is the value that so many do not exceed, and never above the largest sample', () => {
  const rows = [
    [10, 50],
    [20, 49],
    [39, 1],
  ] as const;
  expect([0, 50, 50.1, 99, 99.1, 100].map((percent) => percentile(rows, percent, 35))).toEqual([
    10, 10, 20, 20, 35, 35,
  ]);
});
