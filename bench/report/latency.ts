// What the report's sections share: plots of latency over percentiles, and texts.

import type { Plot, Series } from '#dist/report/charts.js';
import type { Latency } from '../l2fwd/latency.ts';

/** A share as a whole percentage. */
export const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;

/** The idle share of the model, which older models do not report. */
export const idleText = (idle: number | null): string =>
  idle === null ? 'not reported' : percent(idle);

/** A line of a latency plot. */
export interface LatencyLine extends Omit<Series, 'x' | 'y'> {
  readonly latency: Latency | null;
}

/** Makes a plot of latency over percentiles, as a list of one; of none where no line has a sample. */
export function latencyPlots(title: string, lines: readonly LatencyLine[], note = ''): Plot[] {
  const series = lines.flatMap(({ latency, ...line }): Series[] => {
    if (latency === null) return [];
    const x = latency.curve.map(([percentile]) => percentile);
    // The logarithmic axis has no place for 0.
    return [{ ...line, only: 'line', x, y: latency.curve.map(([, ns]) => Math.max(1, ns)) }];
  });
  const x = { label: 'percentile of frames', scale: 'percentile' } as const;
  const y = { label: 'latency, logarithmic', scale: 'duration' } as const;
  return series.length === 0 ? [] : [{ title, x, y, series, note }];
}

/** Stands where plots of latency would. */
export const NO_LATENCY = 'Latency: not reported by this model.';
