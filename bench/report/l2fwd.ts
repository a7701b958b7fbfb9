// The report's section on the l2fwd bench: throughput over frame size, latency at three loads.

import type { Plot } from '#dist/report/charts.js';
import { type Section, tableOf } from '#dist/report/page.js';
import { gigabits, lineRateMpps } from '../l2fwd/frame-sizes.ts';
import { coresLine, machineLine } from '../method/machine.ts';
import { idleText, latencyPlots, NO_LATENCY, percent } from './latency.ts';
import type { L2fwdResult, LatencyBase, SizeResult } from './results.ts';

const BASE_TEXT: Readonly<Record<LatencyBase, string>> = {
  lossFree: 'the loss-free rate',
  nearlyLossFree: 'the nearly loss-free rate, there being no loss-free one',
  throughput: 'the closed-loop rate, there being no loss-free one',
};

function sizePlot({ sizes, someLoss }: L2fwdResult): Plot {
  const isMix = ({ size }: SizeResult): boolean => size === 'imix';
  // IMIX is no size behind the largest one, so a null before it keeps lines away from its point.
  const line = (name: string, mppsOf: (row: SizeResult) => number) => ({
    name,
    x: sizes.flatMap((row, i) => (isMix(row) ? [i - 0.5, i] : [i])),
    // What was not found has no point.
    y: sizes.flatMap((row) => [...(isMix(row) ? [null] : []), mppsOf(row) || null]),
  });
  const lineRate = line('10 GbE line rate, both directions', ({ size }) => 2 * lineRateMpps(size));
  return {
    title: 'End to end: forwarded over frame size, both directions together',
    x: { label: 'frame size with CRC [bytes]', names: sizes.map(({ size }) => size) },
    y: { label: 'throughput', unit: 'Mpps' },
    series: [
      line('forwarded, closed loop', ({ throughput }) => throughput.mpps),
      line(`at most ${someLoss * 100} % lost`, ({ nearlyLossFree }) => nearlyLossFree.mpps),
      line('nothing lost (RFC 2544)', ({ lossFree }) => lossFree.mpps),
      { ...lineRate, dashed: true, colour: 5 },
    ],
  };
}

/** Makes the section. */
export function l2fwdSection(result: L2fwdResult): Section {
  const { sizes, machine, cores, seconds, batch, someLoss } = result;
  const limited = sizes.filter((row) => row.modelIsLimit).map(({ size }) => size);
  const found = (mpps: number): string => (mpps === 0 ? 'none found' : mpps.toFixed(2));
  const latencies = sizes.flatMap(({ size, latency, latencyBase }) => {
    const lines = latency.map(({ load, trial }) => ({
      name: `${percent(load)} load, ${trial.mpps.toFixed(2)} Mpps`,
      latency: trial.latency,
    }));
    const frames = size === 'imix' ? 'IMIX' : `${size}-byte frames`;
    return latencyPlots(
      `Latency, ${frames}`,
      lines,
      `Loads are shares of ${BASE_TEXT[latencyBase]}.`,
    );
  });
  return {
    heading: 'End to end on the model',
    parts: [
      `The software 82599 in one process, ixy l2fwd in another, vfio-user between them: ${coresLine(cores)}; batch ${batch}, ${seconds} s a figure. ${machineLine(machine)}.`,
      'Counted: all that a NIC makes the driver do, from descriptor to descriptor, the rewriting of both MACs, and cache lines that another CPU wrote. Latency is from the moment the generator offers a frame on one port to the moment the other port’s sink has it, so it holds the model’s own batching, too. Not counted: cables, PCI Express, a real NIC’s queues.',
      limited.length > 0
        ? `The model, not the driver, was the limit for: ${limited.join(', ')}.`
        : 'The idle share of the model says how far it is from being what was measured; below 5 % it is.',
      sizePlot(result),
      tableOf(sizes, {
        size: ({ size }) => size,
        Mpps: ({ throughput }) => throughput.mpps.toFixed(2),
        'Gbit/s on the wire': ({ throughput, size }) => gigabits(throughput.mpps, size).toFixed(1),
        'loss-free Mpps': ({ lossFree }) => found(lossFree.mpps),
        [`≤ ${someLoss * 100} % lost`]: ({ nearlyLossFree }) => found(nearlyLossFree.mpps),
        'model idle': ({ throughput, modelIsLimit }) =>
          `${idleText(throughput.modelIdle)}${modelIsLimit ? ': the limit' : ''}`,
      }),
      ...(latencies.length > 0 ? latencies : [NO_LATENCY]),
    ],
  };
}
