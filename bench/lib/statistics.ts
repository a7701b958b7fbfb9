// Medians and rounding of samples.

/** Middle of the sorted samples, the mean of two where their number is even; NaN for none. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
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
