import { describe, expect, it } from 'vitest';
import { type RateTrial, searchRate } from '../../bench/l2fwd/loss-free.ts';

const LIMITS = { top: 20, resolution: 0.02, floor: 1 / 64 };

/** A forwarder that loses whatever exceeds `capacity`. */
function runs(capacity: number, tried: number[] = []) {
  return async (mpps: number): Promise<RateTrial> => {
    tried.push(mpps);
    return { mpps, lostShare: Math.max(0, 1 - capacity / mpps), reached: true };
  };
}

describe('the search for the loss-free rate', () => {
  it('finds it within the resolution', async () => {
    const { mpps, failedMpps } = await searchRate(LIMITS, 0, [], runs(7.3));
    expect(mpps).toBeLessThanOrEqual(7.3);
    expect(failedMpps).toBeGreaterThan(7.3);
    expect((failedMpps as number) - mpps).toBeLessThanOrEqual(0.02 * 7.5);
  });

  it('ends after one trial where nothing is lost at the top', async () => {
    const tried: number[] = [];
    expect(await searchRate(LIMITS, 0, [], runs(50, tried))).toEqual({
      mpps: 20,
      failedMpps: null,
    });
    expect(tried).toEqual([20]);
  });

  it('says so where even a small rate loses frames', async () => {
    const { mpps, failedMpps } = await searchRate(LIMITS, 0, [], runs(0));
    expect(mpps).toBe(0);
    expect(failedMpps).toBeLessThan(20 / 64);
  });

  it('does not call a rate passed that was not offered', async () => {
    const run = async (mpps: number) => ({ mpps, lostShare: 0, reached: mpps <= 5 });
    const { mpps } = await searchRate(LIMITS, 0, [], run);
    expect(mpps).toBeGreaterThan(4.8);
    expect(mpps).toBeLessThanOrEqual(5);
  });

  it('uses trials of another search again', async () => {
    const tried: number[] = [];
    const known: RateTrial[] = [];
    await searchRate(LIMITS, 0, known, runs(7.3, tried));
    const before = tried.length;
    const some = await searchRate(LIMITS, 0.1, known, runs(7.3, tried));
    expect(some.mpps).toBeGreaterThan(7.9);
    expect(some.mpps).toBeLessThanOrEqual(7.3 / 0.9);
    expect(tried.length - before).toBeLessThan(before);
    expect(new Set(tried).size).toBe(tried.length);
  });
});
