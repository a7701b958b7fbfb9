// The latency of a generator's stamped frames as one line for a person.

import type { LatencyRow } from '../../model/ports/latency.ts';

const PERCENTILES = [50, 90, 99, 99.9, 99.99];

/** Smallest bucket value that at least `percent` of the samples do not exceed, in ns; 0 without samples. */
export function percentileNs(row: LatencyRow, percent: number): number {
  const wanted = (row.samples * percent) / 100;
  let seen = 0;
  for (const [ns, count] of row.buckets) {
    seen += count;
    if (seen >= wanted) return Math.min(ns, row.maxNs);
  }
  return row.maxNs;
}

/** "model port 0 latency of 1234 frames, of 1240 stamped: p50 1.2 us, ..., max 56.7 us". */
export function latencyLine(row: LatencyRow): string {
  const us = (ns: number): string => `${(ns / 1000).toFixed(1)} us`;
  const shares = PERCENTILES.map((percent) => `p${percent} ${us(percentileNs(row, percent))}`);
  const missing = row.stamped - row.samples;
  const all = missing === 0 ? '' : `, of ${row.stamped} stamped`;
  return `model port ${row.port} latency of ${row.samples} frames${all}: ${shares.join(', ')}, max ${us(row.maxNs)}`;
}
