// The report's section on the peers bench: each run of ours and theirs, by the state of the host.

import type { Plot, Series } from '#dist/report/charts.js';
import { type Section, tableOf } from '#dist/report/page.js';
import { duration } from '../lib/latency.ts';
import { coresLine, machineLine } from '../lib/machine.ts';
import type { PeersResult } from '../lib/results.ts';
import { idleText, latencyPlots, NO_LATENCY } from './latency.ts';

function ratesPlot({ groups, names, rates, slowAboveNs, size }: PeersResult): Plot {
  // A group of runs is 1 wide. Half of that holds our runs, beside each other, and half of it theirs.
  const series = names.flatMap((name, i): Series[] => {
    const from = (group: number): number => group - 0.3 + 0.35 * i;
    const runs = groups.map(({ state }) =>
      rates.filter((row) => row.contender === name && row.state === state),
    );
    const points = {
      x: runs.flatMap((own, g) => own.map((_, k) => from(g) + (0.25 * (k + 1)) / (own.length + 1))),
      y: runs.flatMap((own) => own.map(({ trial }) => trial.mpps)),
    };
    const median = {
      x: groups.flatMap((_, g) => [from(g), from(g) + 0.25, from(g) + 0.26]),
      y: groups.flatMap(({ ours, theirs }) =>
        i === 0 ? [ours, ours, null] : [theirs, theirs, null],
      ),
    };
    return [
      { name, only: 'points', colour: i, ...points },
      { name: `${name}, median`, only: 'line', colour: i, ...median },
    ];
  });
  return {
    title: `Forwarded, ${size}-byte frames, both directions together; each run, and the medians`,
    x: {
      label: 'state of the host',
      names: groups.map(({ state, runs }) => `${state}, ${runs} runs`),
    },
    y: { label: 'throughput', unit: 'Mpps' },
    series,
    note: `Fast: a cache-line round trip took up to ${slowAboveNs} ns, both before and after the run. Changed: only before it, or only after it.`,
  };
}

/** Makes the section. */
export function peersSection(result: PeersResult): Section {
  const { names, groups, rates, latency, verdict, machine, cores, seconds, size } = result;
  const mppsText = (mpps: number | null): string => mpps?.toFixed(2) ?? 'none';
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
      'Both do the same work on the same software NIC: receive, rewrite both MACs, transmit. testpmd drops what a full ring does not take; ixy l2fwd keeps it for up to 1 ms. A cache-line ping-pong before and after each run shows the state of the host; only runs in the same state are compared. The peer’s own register accesses are trapped and slower than on hardware, but none of them is made for a packet.',
      ...(rates.length === 0 ? [] : [ratesPlot(result)]),
      tableOf(groups, {
        host: ({ state }) => state,
        runs: ({ runs }) => String(runs),
        [`${names[0]} Mpps`]: ({ ours }) => mppsText(ours),
        [`${names[1]} Mpps`]: ({ theirs }) => mppsText(theirs),
        ratio: ({ ratio }) => ratio?.toFixed(2) ?? 'not compared',
      }),
      {
        title: 'Runs',
        ...tableOf(rates, {
          run: ({ run, contender }) => `${run + 1} ${contender}`,
          Mpps: ({ trial }) => trial.mpps.toFixed(2),
          lost: ({ trial }) => `${(trial.lostShare * 100).toFixed(2)} %`,
          'ping-pong before / after [ns]': ({ beforeNs, afterNs }) =>
            `${beforeNs.toFixed(0)} / ${afterNs.toFixed(0)}`,
          host: ({ state }) => state,
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
        'largest gap before': ({ before }) => duration(before.largestNs),
        after: ({ after }) => duration(after.largestNs),
      }),
      { list: verdict.lines },
    ],
  };
}
