// The latency of a generator's stamped frames as one line for a person.

import type { LatencyRow } from '../../model/ports/latency.ts';
import { percentile } from '../../support/histogram.ts';

const PERCENTILES = [50, 90, 99, 99.9, 99.99];

/** "model port 0 latency of 1234 frames, of 1240 stamped: p50 1.2 us, ..., max 56.7 us". */
export function latencyLine({ port, stamped, samples, maxNs, buckets }: LatencyRow): string {
  const us = (ns: number): string => `${(ns / 1000).toFixed(1)} us`;
  const shares = PERCENTILES.map((p) => `p${p} ${us(percentile(buckets, p, maxNs))}`);
  const all = stamped === samples ? '' : `, of ${stamped} stamped`;
  return `model port ${port} latency of ${samples} frames${all}: ${shares.join(', ')}, max ${us(maxNs)}`;
}
