// What samples say: medians, and the ratio of two things that were measured in turns, with its 95 % interval.

/** A ratio and the ends of its 95 % interval. */
export interface Ratio {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

/** Slices of one fresh start of the programs: a row for each turn, in it a figure of each program, NaN where it was discarded. */
export type Start = readonly (readonly number[])[];

const RESAMPLES = 1000;
/** The same samples always give the same interval. */
const SEED = 1;

/** Middle of the sorted samples, the mean of two where their number is even; NaN for none. */
export function median(samples: ArrayLike<number>): number {
  const sorted = Float64Array.from(samples).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Median over those samples that are there; null for none. */
export function medianOf(samples: readonly (number | null | undefined)[]): number | null {
  const known = samples.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : median(known);
}

/** To `digits` places. */
export function round(value: number, digits = 3): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}

/** Random integers below a bound, the same for the same seed (Mulberry32). */
export function randomIntegers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Median of the ratios of neighbouring slices, with its interval by bootstrap. Memory layout differs from one start of
 * a program to the next and moves all slices of that start together, so starts are resampled first and then the
 * slices in them.
 * @param over column of the program above the line
 * @param under column of the program below it
 * @returns NaN three times where no turn has both
 */
export function pairedRatio(starts: readonly Start[], over: number, under: number): Ratio {
  const groups = starts
    .map((turns) =>
      turns.map((turn) => turn[over] / turn[under]).filter((ratio) => !Number.isNaN(ratio)),
    )
    .filter((group) => group.length > 0);
  const random = randomIntegers(SEED);
  // The mean over the starts drawn: a median of so few jumps from one start to the next, and its interval is too narrow.
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    const drawn = groups.map(() => {
      const group = groups[random(groups.length)];
      return median(group.map(() => group[random(group.length)]));
    });
    return drawn.reduce((sum, of) => sum + of, 0) / drawn.length;
  }).sort();
  // A bootstrap over few starts is too sure of itself, as a normal distribution is in place of Student's t.
  const wider = (groups.length + 1) / Math.max(1, groups.length - 1);
  const middle = median(groups.flat());
  const centre = means[RESAMPLES / 2];
  const end = (of: number): number => round(middle + wider * (of - centre));
  return {
    ratio: round(middle),
    low: end(means[RESAMPLES * 0.025]),
    high: end(means[RESAMPLES * 0.975 - 1]),
  };
}
