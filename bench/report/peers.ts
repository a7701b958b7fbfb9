// The report's section on the peers bench: each pair of ours and theirs, and the ratios.

import type { Plot, Series } from '#dist/report/charts.js';
import { type Section, tableOf } from '#dist/report/page.js';
import { duration } from '../l2fwd/latency.ts';
import { coresLine, machineLine } from '../method/machine.ts';
import { ratioText } from '../method/pairs.ts';
import { idleText, latencyPlots, NO_LATENCY } from './latency.ts';
import type { PeersResult } from './results.ts';

function ratesPlot({ names, rates, size }: PeersResult): Plot {
  const series = names.map((name, colour): Series => {
    const own = rates.filter(({ contender }) => contender === name);
    const x = own.map(({ run }) => run + 1);
    return { name, only: 'points', colour, x, y: own.map(({ trial }) => trial.mpps) };
  });
  return {
    title: `Forwarded, ${size}-byte frames, both directions together`,
    x: { label: 'pair' },
    y: { label: 'throughput', unit: 'Mpps' },
    series,
  };
}

/** Makes the section. */
export function peersSection(result: PeersResult): Section {
  const { names, rates, latency, machine, cores, seconds, size } = result;
  const { ratio, latencyRatios } = result;
  const nsText = (ns: number | undefined): string =>
    ns === undefined ? 'not reported' : duration(ns);
  const latencies = latencyPlots(
    `Latency at ${result.latencyMpps.toFixed(2)} Mpps, ${size}-byte frames, every run`,
    latency.map(({ run, contender, trial }) => {
      const isPeer = contender !== names[0];
      const name = `${contender}, run ${run + 1}`;
      return { name, colour: Number(isPeer), dashed: isPeer, latency: trial.latency };
    }),
  );
  return {
    heading: 'Beside DPDK',
    parts: [
      `${names[1]} of Debian in mac mode, unmodified, under ixy preload, and ixy l2fwd on the same model and the same CPUs in turns: ${coresLine(cores)}; ${seconds} s a run, batch 32, rings of 512. ${machineLine(machine)}.`,
      'Both do the same work on the same software NIC: receive, rewrite both MACs, transmit. testpmd drops what a full ring does not take; ixy l2fwd keeps it for up to 1 ms. A pair is a fresh model and a fresh forwarder of each, one after the other; only figures of one pair are divided, and a ratio is the median over the pairs. The peer’s own register accesses are trapped and slower than on hardware, but none of them is made for a packet.',
      ...(rates.length === 0 ? [] : [ratesPlot(result)]),
      {
        list: [
          `Throughput of ${names[0]} over that of ${names[1]}: ${ratioText(ratio)}`,
          ...Object.entries(latencyRatios).map(
            ([key, value]) => `Latency, ${key.replace('_', '.')}: ${ratioText(value)}`,
          ),
        ],
      },
      {
        title: 'Runs',
        ...tableOf(rates, {
          run: ({ run, contender }) => `${run + 1} ${contender}`,
          Mpps: ({ trial }) => trial.mpps.toFixed(2),
          lost: ({ trial }) => `${(trial.lostShare * 100).toFixed(2)} %`,
          'model idle': ({ trial }) => idleText(trial.modelIdle),
        }),
      },
      ...(latencies.length > 0 ? latencies : [NO_LATENCY]),
      tableOf(latency, {
        run: ({ run, contender }) => `${run + 1} ${contender}`,
        p50: ({ trial }) => nsText(trial.latency?.p50),
        p99: ({ trial }) => nsText(trial.latency?.p99),
        'p99.9': ({ trial }) => nsText(trial.latency?.p99_9),
        max: ({ trial }) => nsText(trial.latency?.max),
      }),
    ],
  };
}
