// The report's section on `npm run bench:l2fwd`: throughput over frame size, latency at three loads.

import { categoryAxis, linearAxis, logAxis, ninesAxis } from './axes.ts';
import { gigabits, lineRateMpps } from './frame-sizes.ts';
import { figure, paragraphs, type Section, table } from './html.ts';
import type { Latency } from './latency.ts';
import { coresLine, machineLine } from './machine.ts';
import type { Plot, Series } from './plot.ts';
import type { L2fwdResult, LatencyBase, SizeResult } from './results.ts';

const BASE_TEXT: Readonly<Record<LatencyBase, string>> = {
  lossFree: 'the loss-free rate',
  nearlyLossFree: 'the nearly loss-free rate, there being no loss-free one',
  throughput: 'the closed-loop rate, there being no loss-free one',
};

/** Share as a whole percentage. */
export const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;

/** "closed loop" and the like, for the idle share of the model. */
export function idleText(idle: number | null): string {
  return idle === null ? 'not reported' : percent(idle);
}

/** Percentiles that get a marker. */
const MARKED = [0, 50, 90, 99, 99.9, 99.99, 99.999, 100];

/** A power of ten, ns: "10 us". */
function tickText(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${ns / 1e3} us`;
  return ns < 1e9 ? `${ns / 1e6} ms` : `${ns / 1e9} s`;
}

/** Latency over percentiles. @returns undefined where no series has a sample */
export function latencyPlot(
  title: string,
  lines: readonly (Omit<Series, 'points'> & { readonly latency: Latency | null })[],
): Plot | undefined {
  const known = lines.filter(({ latency }) => latency !== null);
  if (known.length === 0) return undefined;
  const series = known.map(({ latency, ...rest }) => {
    const curve = latency?.curve ?? [];
    const points = curve.map(([p, ns]) => [p, Math.max(1, ns)] as const);
    return { ...rest, points, markAt: MARKED };
  });
  const inner = series.flatMap(({ points }) => points.map(([p]) => p)).filter((p) => p < 100);
  const values = series.flatMap(({ points }) => points.map(([, ns]) => ns));
  return {
    title,
    x: ninesAxis('percentile of frames', 100 - (100 - Math.max(...inner)) / 3),
    y: logAxis('latency, logarithmic', Math.min(...values), Math.max(...values), tickText),
    series,
  };
}

const empty = (name: string, style: number): Series => ({ name, style, points: [] });

function sizePlot({ sizes, someLoss }: L2fwdResult): Plot {
  const names = sizes.map(({ size }) => (size === 'imix' ? 'IMIX' : size));
  // IMIX is no size between others: a point of its own. What was not found has no point.
  const lines = (named: Series, of: (row: SizeResult) => number): Series[] => {
    const points = sizes.map((row, i) => [i, of(row)] as const).filter(([, mpps]) => mpps > 0);
    const isMix = ([i]: readonly [number, number]): boolean => sizes[i].size === 'imix';
    const mix = { ...named, points: points.filter(isMix), line: false, unnamed: true };
    return [{ ...named, points: points.filter((point) => !isMix(point)) }, mix];
  };
  const series = [
    ...lines(empty('forwarded, closed loop', 0), ({ throughput }) => throughput.mpps),
    ...lines(empty(`at most ${someLoss * 100} % lost`, 1), (row) => row.nearlyLossFree.mpps),
    ...lines(empty('nothing lost (RFC 2544)', 2), (row) => row.lossFree.mpps),
    ...lines(
      { ...empty('10 GbE line rate, both directions', 5), dashed: true },
      ({ size }) => 2 * lineRateMpps(size),
    ),
  ];
  const top = Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y)));
  return {
    title: 'End to end: forwarded over frame size, both directions together',
    x: categoryAxis('frame size with CRC [bytes]', names),
    y: linearAxis('throughput [Mpps]', top),
    series,
  };
}

/** Makes the section. */
export function l2fwdSection(result: L2fwdResult): Section {
  const { sizes, machine, cores, seconds } = result;
  const limited = sizes.filter((row) => row.modelIsLimit).map(({ size }) => size);
  const rows = sizes.map(({ size, throughput, lossFree, nearlyLossFree, modelIsLimit }) => [
    size,
    throughput.mpps.toFixed(2),
    gigabits(throughput.mpps, size).toFixed(1),
    lossFree.mpps === 0 ? 'none found' : lossFree.mpps.toFixed(2),
    nearlyLossFree.mpps === 0 ? 'none found' : nearlyLossFree.mpps.toFixed(2),
    `${idleText(throughput.modelIdle)}${modelIsLimit ? ': the limit' : ''}`,
  ]);
  const plots = sizes.flatMap(({ size, latency, latencyBase }) => {
    const lines = latency.map(({ load, trial }) => ({
      name: `${percent(load)} load, ${trial.mpps.toFixed(2)} Mpps`,
      latency: trial.latency,
    }));
    const name = size === 'imix' ? 'IMIX' : `${size}-byte frames`;
    const plot = latencyPlot(`Latency, ${name}`, lines);
    return plot === undefined
      ? []
      : [figure(plot, `Loads are shares of ${BASE_TEXT[latencyBase]}.`)];
  });
  const noLatency = plots.length === 0 ? paragraphs('Latency: not reported by this model.') : '';
  return {
    title: 'End to end on the model',
    body: [
      paragraphs(
        `The software 82599 in one process, ixy l2fwd in another, vfio-user between them: ${coresLine(cores)}; batch ${result.batch}, ${seconds} s a figure. ${machineLine(machine)}.`,
        'Counted: all that a NIC makes the driver do, from descriptor to descriptor, the rewriting of both MACs, and cache lines that another CPU wrote. Latency is from the moment the generator offers a frame on one port to the moment the other port’s sink has it, so it holds the model’s own batching, too. Not counted: cables, PCI Express, a real NIC’s queues.',
        limited.length > 0
          ? `The model, not the driver, was the limit for: ${limited.join(', ')}.`
          : 'The idle share of the model says how far it is from being what was measured; below 5 % it is.',
      ),
      figure(sizePlot(result)),
      table(
        [
          'size',
          'Mpps',
          'Gbit/s on the wire',
          'loss-free Mpps',
          `≤ ${result.someLoss * 100} % lost`,
          'model idle',
        ],
        rows,
      ),
      ...plots,
      noLatency,
    ].join('\n'),
  };
}
