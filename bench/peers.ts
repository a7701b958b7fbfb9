// `ixy l2fwd` beside Debian's dpdk-testpmd in `mac` mode: the same model, the same CPUs, short runs in
// turns, a cache-line ping-pong before and after each, figures grouped by the state of the host that
// it shows. Then latency at half of the lower of both rates, between two probes of what the machine
// itself does to a program on that CPU. Exit status 77 where testpmd cannot be had.
// Usage: npm run bench:peers [-- --runs N --seconds N --size 64 --suite trixie --json FILE --quick]

import { writeFileSync } from 'node:fs';
import { type Contender, ours } from './lib/contender.ts';
import { parseSizes } from './lib/frame-sizes.ts';
import { duration, latencyLine } from './lib/latency.ts';
import { BenchError, integerOption, runBench } from './lib/life.ts';
import {
  type Cores,
  chooseCores,
  coresLine,
  machine,
  machineLine,
  NO_SILICON,
} from './lib/machine.ts';
import { readOptions } from './lib/options.ts';
import { groupByState, judgeLatency, type LatencyRun, type RateRun } from './lib/peer-results.ts';
import { type Gaps, hostState, Probes, SLOW_ABOVE_NS } from './lib/probes.ts';
import type { PeersResult } from './lib/results.ts';
import { median, round } from './lib/statistics.ts';
import { fetchDpdk } from './lib/testpmd.ts';
import { testpmd, whyNoPreload } from './lib/testpmd-contender.ts';
import { modelText, runLatencyTrial, runTrial } from './lib/trial.ts';

const LATENCY_LOAD = 0.5;
const UNAVAILABLE = 77;

const { values } = readOptions('bench:peers', {
  options: {
    runs: { type: 'string' },
    seconds: { type: 'string' },
    size: { type: 'string', default: '64' },
    suite: { type: 'string', default: 'trixie' },
    cores: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

/** The contenders in the order of a run: each goes first in turn. */
function turn(contenders: readonly Contender[], run: number): readonly Contender[] {
  return run % 2 === 0 ? contenders : [...contenders].reverse();
}

async function measureRates(
  contenders: readonly Contender[],
  setup: { readonly runs: number; readonly seconds: number; readonly size: string },
  cores: Cores,
  probes: Probes,
): Promise<RateRun[]> {
  const rows: RateRun[] = [];
  for (let run = 0; run < setup.runs; run++) {
    for (const contender of turn(contenders, run)) {
      const beforeNs = probes.roundTrip();
      const { size, seconds } = setup;
      const trial = await runTrial({
        contender,
        cores,
        size,
        seconds,
        offerMpps: null,
      });
      const afterNs = probes.roundTrip();
      const state = hostState(beforeNs, afterNs);
      rows.push({ run, contender: contender.name, beforeNs, afterNs, state, trial });
      console.log(
        `run ${run + 1} ${contender.name.padEnd(14)} ${trial.mpps.toFixed(2)} Mpps, ${(trial.lostShare * 100).toFixed(2)} % lost; ping-pong ${beforeNs.toFixed(0)} / ${afterNs.toFixed(0)} ns: ${state}; ${modelText(trial)}`,
      );
    }
  }
  return rows;
}

function gapText({ largestNs, timeP999Ns }: Gaps): string {
  return `${duration(largestNs)} (99.9 % of the time below ${duration(timeP999Ns)})`;
}

async function measureLatency(
  contenders: readonly Contender[],
  setup: { readonly runs: number; readonly seconds: number; readonly size: string },
  offerMpps: number,
  cores: Cores,
  probes: Probes,
): Promise<LatencyRun[]> {
  const rows: LatencyRun[] = [];
  for (let run = 0; run < setup.runs; run++) {
    for (const contender of turn(contenders, run)) {
      const { size, seconds } = setup;
      const before = await probes.gaps(seconds);
      const trial = await runLatencyTrial({ contender, cores, size, seconds, offerMpps });
      const after = await probes.gaps(seconds);
      rows.push({ run, contender: contender.name, before, after, trial });
      console.log(
        `run ${run + 1} ${contender.name.padEnd(14)} ${trial.mpps.toFixed(2)} Mpps, ${trial.lost} lost: ${latencyLine(trial.latency)}; gaps before ${gapText(before)}, after ${gapText(after)}; ${modelText(trial)}`,
      );
    }
  }
  return rows;
}

await runBench('bench:peers', async () => {
  const runs = integerOption('runs', values.runs ?? (values.quick ? '1' : '5'), 1000);
  const seconds = integerOption('seconds', values.seconds ?? (values.quick ? '1' : '2'), 600);
  const [size] = parseSizes(values.size);
  const cores = chooseCores(values.cores);
  const missing = whyNoPreload();
  const dpdk = missing ?? fetchDpdk(values.suite);
  if (typeof dpdk === 'string')
    throw new BenchError(`no testpmd to compare with: ${dpdk}`, UNAVAILABLE);
  const contenders = [ours(), testpmd(dpdk)];
  const names = contenders.map(({ name }) => name) as [string, string];
  const where = machine();
  const probes = new Probes(cores);
  console.log(machineLine(where));
  console.log(
    `${coresLine(cores)}; ${names.join(' and ')} in turns, batch 32, rings of 512, ${size}-byte frames, both directions together`,
  );
  console.log(NO_SILICON);
  console.log(`Cache-line round trip up to ${SLOW_ABOVE_NS} ns: host fast; above: slow.`);
  const setup = { runs, seconds, size };

  const rates = await measureRates(contenders, setup, cores, probes);
  const groups = groupByState(rates, names);
  for (const { state, ours: mine, theirs, ratio, runs: n } of groups) {
    const text = (mpps: number | null): string => (mpps === null ? 'none' : mpps.toFixed(2));
    const share = ratio === null ? '' : `, ratio ${ratio.toFixed(2)}`;
    console.log(
      `host ${state} (${n} runs), medians: ${names[0]} ${text(mine)} Mpps, ${names[1]} ${text(theirs)} Mpps${share}`,
    );
  }

  const of = (name: string): number =>
    median(rates.filter((row) => row.contender === name).map(({ trial }) => trial.mpps));
  const offerMpps = round(Math.min(of(names[0]), of(names[1])) * LATENCY_LOAD);
  console.log(`latency at ${LATENCY_LOAD * 100} % of the lower median, ${offerMpps} Mpps:`);
  const latency = await measureLatency(contenders, setup, offerMpps, cores, probes);
  const verdict = judgeLatency(latency, names);
  for (const line of verdict.lines) console.log(line);

  if (values.json !== undefined) {
    const result: PeersResult = {
      bench: 'peers',
      machine: where,
      silicon: NO_SILICON,
      cores,
      names,
      size,
      seconds,
      slowAboveNs: SLOW_ABOVE_NS,
      rates,
      groups,
      latencyMpps: offerMpps,
      latency,
      verdict,
    };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});
