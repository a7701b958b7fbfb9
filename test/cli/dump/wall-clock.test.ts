import { describe, expect, it } from 'vitest';
import { WallClock } from '../../../src/cli/dump/wall-clock.ts';

/** A monotonic clock and a wall clock, both set by hand; a look at the wall clock may take a while. */
function clocks() {
  const state = { monotonicUs: 5e6, wallUs: 1_700_000_000e6, lookUs: 0 };
  const wall = new WallClock(
    () => state.monotonicUs,
    () => {
      const wallMs = Math.floor(state.wallUs / 1000);
      state.monotonicUs += state.lookUs;
      state.wallUs += state.lookUs;
      return wallMs;
    },
  );
  const pass = (us: number, wallUs = us): void => {
    state.monotonicUs += us;
    state.wallUs += wallUs;
  };
  const errorUs = (): number => wall.at(state.monotonicUs) - state.wallUs;
  return { state, wall, pass, errorUs };
}

describe('the clock of a capture', () => {
  it.each([
    ['forward by an hour', 3600e6],
    ['back by a minute', -60e6],
    ['forward by a second', 1e6],
  ])('follows a step %s, and says by how much', (_, stepUs) => {
    const { state, wall, pass, errorUs } = clocks();
    pass(100_000);
    expect(wall.anchor()).toBe(0);
    state.wallUs += stepUs;
    pass(100_000);
    expect(Math.abs(wall.anchor() - stepUs)).toBeLessThanOrEqual(1000);
    expect(Math.abs(errorUs())).toBeLessThanOrEqual(1000);
    expect(wall.anchor()).toBe(0);
  });

  it('follows the time that passed while the machine slept', () => {
    const { wall, pass, errorUs } = clocks();
    pass(100, 7200e6);
    expect(wall.anchor()).toBeGreaterThan(7199e6);
    expect(Math.abs(errorUs())).toBeLessThanOrEqual(1000);
  });

  it('follows corrections by NTP without a word, to a millisecond', () => {
    const { wall, pass, errorUs } = clocks();
    for (let i = 0; i < 10_000; i++) {
      pass(100_000, 100_050);
      expect(wall.anchor()).toBe(0);
      expect(Math.abs(errorUs())).toBeLessThanOrEqual(1000);
    }
  });

  it('does not waver with the milliseconds that it is read in', () => {
    const { state, wall, pass } = clocks();
    for (let i = 0; i < 100; i++) {
      pass(100_317);
      wall.anchor();
    }
    const before = wall.at(state.monotonicUs);
    for (let i = 0; i < 100; i++) {
      pass(100_317);
      wall.anchor();
    }
    expect(Math.abs(wall.at(state.monotonicUs) - before - 100 * 100_317)).toBeLessThan(20);
  });

  it('takes a thread that was held up for no jump', () => {
    const { state, wall, errorUs } = clocks();
    state.lookUs = 800_000;
    expect(wall.anchor()).toBe(0);
    expect(Math.abs(errorUs())).toBeLessThanOrEqual(1000);
  });
});
