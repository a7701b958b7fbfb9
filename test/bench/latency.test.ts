import { describe, expect, it } from 'vitest';
import { latencyBetween } from '../../bench/l2fwd/latency.ts';

const row = (port: number, maxNs: number, buckets: [number, number][]) => ({
  port,
  samples: buckets.reduce((sum, [, count]) => sum + count, 0),
  maxNs,
  buckets,
});

describe('latency between two reports', () => {
  it('counts only what came between them', () => {
    const from = [
      row(0, 9_100_000, [
        [1000, 50],
        [9_000_000, 3],
      ]),
    ];
    const to = [
      row(0, 9_100_000, [
        [1000, 950],
        [2000, 100],
        [9_000_000, 3],
      ]),
    ];
    const latency = latencyBetween(from, to);
    expect(latency?.samples).toBe(1000);
    expect(latency?.p50).toBeCloseTo(1000, -1);
    expect(latency?.p99).toBeCloseTo(2000, -1);
    // The 9 ms were before.
    expect(latency?.max).toBe(2000);
  });

  it('knows the largest sample exactly where it is new', () => {
    const latency = latencyBetween(undefined, [
      row(0, 5123, [
        [1000, 1],
        [5100, 1],
      ]),
    ]);
    expect(latency?.max).toBe(5123);
    expect(latency?.curve.at(-1)).toEqual([100, 5123]);
  });

  it('puts the ports together', () => {
    const to = [row(0, 100, [[100, 90]]), row(1, 90_000, [[90_000, 10]])];
    const latency = latencyBetween(undefined, to);
    expect(latency?.samples).toBe(100);
    expect(latency?.p90).toBeCloseTo(100, -1);
    expect(latency?.p99).toBeGreaterThan(89_000);
    expect(latency?.max).toBe(90_000);
  });

  it('has none where the model reports none, or nothing was stamped', () => {
    expect(latencyBetween(undefined, undefined)).toBeNull();
    expect(latencyBetween(undefined, [row(0, 0, [])])).toBeNull();
  });
});
