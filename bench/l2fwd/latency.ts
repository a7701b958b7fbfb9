// Latency as the model reports it (buckets counted since its start) turned into percentiles of what was
// measured between two reports.

/** A row of the model's report. */
export interface LatencyRow {
  /** Port whose generator stamped the frames. */
  readonly port: number;
  readonly samples: number;
  readonly maxNs: number;
  readonly buckets: readonly (readonly [ns: number, count: number])[];
}

/** Percentiles of a measurement, all ports together. */
export interface Latency {
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly p99_99: number;
  readonly max: number;
  /** For a plot: [percentile, ns], up to 100. */
  readonly curve: readonly (readonly [percentile: number, ns: number])[];
}

const CURVE = [
  0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99, 99.25, 99.5, 99.75, 99.9,
  99.95, 99.975, 99.99, 99.995, 99.9975, 99.999, 99.9995, 99.9999,
];

/**
 * Latency of the samples between two reports.
 * @param from rows of the earlier one, undefined for the start
 * @returns null where there was none
 */
export function latencyBetween(
  from: readonly LatencyRow[] | undefined,
  to: readonly LatencyRow[] | undefined,
): Latency | null {
  if (to === undefined) return null;
  const fresh: (readonly [ns: number, count: number])[] = [];
  let max = 0;
  for (const row of to) {
    const before = new Map(from?.find(({ port }) => port === row.port)?.buckets);
    let top = 0;
    let topOfAll = 0;
    for (const [ns, count] of row.buckets) {
      const more = count - (before.get(ns) ?? 0);
      topOfAll = Math.max(topOfAll, ns);
      if (more <= 0) continue;
      fresh.push([ns, more]);
      top = Math.max(top, ns);
    }
    // The largest sample is known exactly only where it is of this interval, that is in its highest bucket.
    max = Math.max(max, top > 0 && top === topOfAll ? row.maxNs : top);
  }
  const samples = fresh.reduce((sum, [, count]) => sum + count, 0);
  if (samples === 0) return null;
  fresh.sort(([a], [b]) => a - b);
  const at = (percentile: number): number => {
    let left = (percentile / 100) * samples;
    for (const [ns, count] of fresh) {
      left -= count;
      if (left <= 0) return Math.min(max, ns);
    }
    return max;
  };
  // Beyond one in `samples` there is nothing to see but the largest one.
  const shown = CURVE.filter((p) => p === 0 || 100 / (100 - p) <= samples);
  return {
    samples,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p99_9: at(99.9),
    p99_99: at(99.99),
    max,
    curve: [...shown.map((p) => [p, at(p)] as const), [100, max]],
  };
}

/** "12.3 us". */
export function duration(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(ns < 1e5 ? 1 : 0)} us`;
  return `${(ns / 1e6).toFixed(ns < 1e8 ? 2 : 0)} ms`;
}

/** All percentiles in one line. */
export function latencyLine(latency: Latency | null): string {
  if (latency === null) return 'no latency, no stamped frame came back';
  const { p50, p90, p99, p99_9, p99_99, max, samples } = latency;
  const parts = [
    ['p50', p50],
    ['p90', p90],
    ['p99', p99],
    ['p99.9', p99_9],
    ['p99.99', p99_99],
    ['max', max],
  ] as const;
  return `${parts.map(([name, ns]) => `${name} ${duration(ns)}`).join(', ')} (${samples} samples)`;
}
