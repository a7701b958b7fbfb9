// The report's section on `npm run bench:peers`: each run of ours and theirs, by the state of the host.

import { categoryAxis, linearAxis } from './axes.ts';
import { figure, list, paragraphs, type Section, table } from './html.ts';
import { duration } from './latency.ts';
import { coresLine, machineLine } from './machine.ts';
import type { Plot, Series } from './plot.ts';
import { idleText, latencyPlot } from './report-l2fwd.ts';
import type { PeersResult } from './results.ts';

const OFFSET = 0.12;

function rateText(mpps: number | null): string {
  return mpps === null ? 'none' : mpps.toFixed(2);
}

function ratesPlot({ groups, names, rates, slowAboveNs, size }: PeersResult): Plot {
  const series = names.map((name, i): Series => {
    const side = i === 0 ? -OFFSET : OFFSET;
    const points = rates
      .filter((row) => row.contender === name)
      .map(
        ({ state, trial }) =>
          [groups.findIndex((g) => g.state === state) + side, trial.mpps] as const,
      );
    return { name, points, line: false, style: i };
  });
  const medians = groups.flatMap((group, g) =>
    ([group.ours, group.theirs] as const).flatMap((mpps, i): Series[] => {
      if (mpps === null) return [];
      const x = g + (i === 0 ? -OFFSET : OFFSET);
      const points = [
        [x - OFFSET * 0.7, mpps],
        [x + OFFSET * 0.7, mpps],
      ] as const;
      return [{ name: 'median', points, line: 'only', style: i, unnamed: true }];
    }),
  );
  return {
    title: `Forwarded, ${size}-byte frames, both directions together; each run, and the medians`,
    x: categoryAxis(
      `state of the host (cache-line round trip up to ${slowAboveNs} ns: fast)`,
      groups.map(({ state, runs }) => `${state}, ${runs} runs`),
    ),
    y: linearAxis('throughput [Mpps]', Math.max(...rates.map(({ trial }) => trial.mpps))),
    series: [...series, ...medians],
  };
}

/** Makes the section. */
export function peersSection(result: PeersResult): Section {
  const { names, groups, rates, latency, verdict, machine, cores, seconds } = result;
  const groupRows = groups.map(({ state, runs, ours, theirs, ratio }) => [
    state,
    String(runs),
    rateText(ours),
    rateText(theirs),
    ratio === null ? 'not compared' : ratio.toFixed(2),
  ]);
  const runRows = rates.map(({ run, contender, beforeNs, afterNs, state, trial }) => [
    `${run + 1} ${contender}`,
    trial.mpps.toFixed(2),
    `${(trial.lostShare * 100).toFixed(2)} %`,
    `${beforeNs.toFixed(0)} / ${afterNs.toFixed(0)}`,
    state,
    idleText(trial.modelIdle),
  ]);
  const seen = new Set<string>();
  const plot = latencyPlot(
    `Latency at ${result.latencyMpps.toFixed(2)} Mpps, ${result.size}-byte frames, every run`,
    latency.map(({ contender, trial }) => {
      const unnamed = seen.has(contender);
      seen.add(contender);
      const style = contender === names[0] ? 0 : 1;
      return { name: contender, style, dashed: style === 1, unnamed, latency: trial.latency };
    }),
  );
  const latencyRows = latency.map(({ run, contender, before, after, trial }) => [
    `${run + 1} ${contender}`,
    ...[trial.latency?.p50, trial.latency?.p99, trial.latency?.p99_9, trial.latency?.max].map(
      (ns) => (ns === undefined ? 'not reported' : duration(ns)),
    ),
    duration(before.largestNs),
    duration(after.largestNs),
  ]);
  return {
    title: 'Beside DPDK',
    body: [
      paragraphs(
        `${names[1]} of Debian in mac mode, unmodified, under ixy preload, and ixy l2fwd on the same model and the same CPUs in turns: ${coresLine(cores)}; ${seconds} s a run, batch 32, rings of 512. ${machineLine(machine)}.`,
        'Both do the same work on the same software NIC: receive, rewrite both MACs, transmit. testpmd drops what a full ring does not take; ixy l2fwd keeps it for up to 1 ms. A cache-line ping-pong before and after each run shows the state of the host; only runs in the same state are compared. The peer’s own register accesses are trapped and slower than on hardware, but none of them is made for a packet.',
      ),
      rates.length === 0 ? '' : figure(ratesPlot(result)),
      table(['host', 'runs', `${names[0]} Mpps`, `${names[1]} Mpps`, 'ratio'], groupRows),
      '<h3>Runs</h3>',
      table(
        ['run', 'Mpps', 'lost', 'ping-pong before / after [ns]', 'host', 'model idle'],
        runRows,
      ),
      plot === undefined ? paragraphs('Latency: not reported by this model.') : figure(plot),
      table(['run', 'p50', 'p99', 'p99.9', 'max', 'largest gap before', 'after'], latencyRows),
      list(verdict.lines),
    ].join('\n'),
  };
}
