// The method of measuring on made-up slices: what it must see, and what must not disturb it.

import { describe, expect, it } from 'vitest';
import { compare, inTurn, isNarrow, ratioText, verdictText } from '../../bench/method/pairs.ts';
import { median, pairedRatio, type Start } from '../../bench/method/statistics.ts';

/** Numbers from 0 to 1, the same in every run. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Starts of two programs, the first one `factor` as slow, on a host that halves its speed every few turns. */
function starts(count: number, factor: number, layout = 0, seed = 1): Start[] {
  const random = makeRandom(seed);
  const noise = (width: number): number => 1 + (random() - 0.5) * width;
  return Array.from({ length: count }, () => {
    const own = factor * noise(layout);
    return Array.from({ length: 16 }, (_, turn) => {
      const host = turn % 8 < 4 ? 10 : 20;
      return [host * own * noise(0.04), host * noise(0.04)];
    });
  });
}

describe('the ratio of paired slices', () => {
  it('is not moved by a host that changes its speed', () => {
    const ratio = pairedRatio(starts(8, 0.8), 0, 1);
    expect(ratio.ratio).toBeCloseTo(0.8, 2);
    expect(isNarrow(ratio)).toBe(true);
  });

  it('has an interval that holds 1 for two that are alike, and not for one that is 5 % slower', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const alike = pairedRatio(starts(8, 1, 0.03, seed), 0, 1);
      expect([alike.low <= 1, alike.high >= 1]).toEqual([true, true]);
      expect(verdictText(alike)).toBe('no slower');
      expect(verdictText(pairedRatio(starts(8, 1.05, 0.03, seed), 0, 1))).toBe('slower');
    }
  });

  it('has a wide interval where the starts differ, however many slices each has', () => {
    const ratio = pairedRatio(starts(5, 1, 0.3), 0, 1);
    expect(isNarrow(ratio)).toBe(false);
    expect(ratioText(ratio)).toContain('NOT narrower than 5 %');
    expect(verdictText({ ratio: 1, low: 0.9, high: 1.1 })).toBe('not to be told');
  });

  it('leaves out turns in which a slice was discarded, and starts that have no other', () => {
    const disturbed: Start[] = [
      [
        [1, 2],
        [Number.NaN, 4],
        [1, Number.NaN],
      ],
      [[Number.NaN, 1]],
    ];
    expect(pairedRatio(disturbed, 0, 1)).toEqual({ ratio: 0.5, low: 0.5, high: 0.5 });
    expect(pairedRatio([[[Number.NaN, 1]]], 0, 1).ratio).toBeNaN();
  });

  it('is the same whenever it is computed from the same slices', () => {
    expect(pairedRatio(starts(6, 1, 0.1), 0, 1)).toEqual(pairedRatio(starts(6, 1, 0.1), 0, 1));
  });
});

describe('fresh starts', () => {
  const bounds = { least: 5, most: 12 };

  it('end when all intervals are narrow, and not before there are enough', async () => {
    const alike = starts(20, 1);
    expect(await compare(bounds, [[0, 1]], async (i) => alike[i])).toHaveLength(5);
  });

  it('end at their bound where an interval stays wide', async () => {
    const unlike = starts(20, 1, 1);
    expect(await compare(bounds, [[0, 1]], async (i) => unlike[i])).toHaveLength(12);
  });

  it('let each go first in turn', () => {
    expect([inTurn(['a', 'b'], 0), inTurn(['a', 'b'], 1)]).toEqual([
      ['a', 'b'],
      ['b', 'a'],
    ]);
  });
});

it('the median of an even number of samples is the mean of the middle two', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
  expect(median([])).toBeNaN();
});
