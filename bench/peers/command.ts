// `ixy l2fwd` beside Debian's dpdk-testpmd in `mac` mode: the same model, the same CPUs, in turns. A pair is a fresh
// model and a fresh forwarder for each of the two; rates and latencies are divided within a pair. Latency is measured
// at half of the lower of both rates. Exit status 77 where testpmd cannot be had.
// Usage: npm run bench -- peers [--pairs N --seconds N --size 64 --suite trixie --json FILE --quick]

import { writeFileSync } from 'node:fs';
import { type Contender, ours } from '../l2fwd/contender.ts';
import { parseSizes } from '../l2fwd/frame-sizes.ts';
import { latencyLine } from '../l2fwd/latency.ts';
import { modelText, runLatencyTrial, runTrial, type Trial } from '../l2fwd/trial.ts';
import { BenchError, integerOption, runBench } from '../method/life.ts';
import { chooseCores, coresLine, machine, machineLine, NO_SILICON } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import { compare, inTurn, ratioText } from '../method/pairs.ts';
import { median, pairedRatio, type Ratio, round, type Start } from '../method/statistics.ts';
import type { PeersResult, PeerTrial } from '../report/results.ts';
import { fetchDpdk } from './testpmd.ts';
import { testpmd, whyNoPreload } from './testpmd-contender.ts';

const LATENCY_LOAD = 0.5;
const UNAVAILABLE = 77;

const { values } = readOptions('bench peers', {
  options: {
    pairs: { type: 'string' },
    seconds: { type: 'string' },
    size: { type: 'string', default: '64' },
    suite: { type: 'string', default: 'trixie' },
    cores: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

/** One trial of each, in turn. @returns both, in the order of the contenders */
async function pair(
  number: number,
  contenders: readonly Contender[],
  rows: PeerTrial[],
  run: (contender: Contender) => Promise<Trial>,
): Promise<readonly Trial[]> {
  const trials = new Map<Contender, Trial>();
  for (const contender of inTurn(contenders, number)) {
    const trial = await run(contender);
    trials.set(contender, trial);
    rows.push({ run: number, contender: contender.name, trial });
    const { mpps, lostShare, latency } = trial;
    const what = latency === null ? `${(lostShare * 100).toFixed(2)} % lost` : latencyLine(latency);
    console.log(
      `pair ${number + 1} ${contender.name.padEnd(14)} ${mpps.toFixed(2)} Mpps, ${what}; ${modelText(trial)}`,
    );
  }
  return contenders.flatMap((contender) => trials.get(contender) ?? []);
}

await runBench('bench peers', async () => {
  const most = integerOption('pairs', values.pairs ?? (values.quick ? '1' : '20'), 1000);
  const seconds = integerOption('seconds', values.seconds ?? (values.quick ? '1' : '2'), 600);
  const [size] = parseSizes(values.size);
  const cores = chooseCores(values.cores);
  const missing = whyNoPreload();
  const dpdk = missing ?? fetchDpdk(values.suite);
  if (typeof dpdk === 'string')
    throw new BenchError(`no testpmd to compare with: ${dpdk}`, UNAVAILABLE);
  const contenders = [ours(), testpmd(dpdk)];
  const [mine, theirs] = contenders.map(({ name }) => name);
  const where = machine();
  const pairs = { least: Math.min(most, 5), most };
  const setup = { cores, size, seconds };
  console.log(machineLine(where));
  console.log(
    `${coresLine(cores)}; ${mine} and ${theirs} in turns, batch 32, rings of 512, ${size}-byte frames, both directions together`,
  );
  console.log(NO_SILICON);

  const rates: PeerTrial[] = [];
  const rateStarts = await compare(pairs, [[0, 1]], async (number) => {
    const run = (contender: Contender) => runTrial({ ...setup, contender, offerMpps: null });
    return [(await pair(number, contenders, rates, run)).map(({ mpps }) => mpps)];
  });
  const [ownMpps, theirMpps] = [0, 1].map((i) => median(rateStarts.map(([turn]) => turn[i])));
  const ratio = pairedRatio(rateStarts, 0, 1);
  console.log(
    `${mine} ${ownMpps.toFixed(2)} Mpps, ${theirs} ${theirMpps.toFixed(2)} Mpps, medians of ${rateStarts.length}; ratio ${ratioText(ratio)}`,
  );

  const latencyMpps = round(Math.min(ownMpps, theirMpps) * LATENCY_LOAD);
  console.log(`latency at ${LATENCY_LOAD * 100} % of the lower median, ${latencyMpps} Mpps:`);
  const latency: PeerTrial[] = [];
  const measured: (readonly Trial[])[] = [];
  for (let number = 0; number < pairs.least; number++) {
    const run = (contender: Contender) =>
      runLatencyTrial({ ...setup, contender, offerMpps: latencyMpps });
    measured.push(await pair(number, contenders, latency, run));
  }
  const latencyRatio = (key: 'p50' | 'p99_9' | 'max'): Ratio => {
    const figures = (trials: readonly Trial[]): Start => [
      trials.map((trial) => trial.latency?.[key] ?? Number.NaN),
    ];
    return pairedRatio(measured.map(figures), 0, 1);
  };
  const latencyRatios = {
    p50: latencyRatio('p50'),
    p99_9: latencyRatio('p99_9'),
    max: latencyRatio('max'),
  };
  for (const [name, value] of Object.entries(latencyRatios)) {
    console.log(`latency ${name.replace('_', '.')}: ratio ${ratioText(value)}`);
  }

  if (values.json !== undefined) {
    const head = { bench: 'peers', machine: where, silicon: NO_SILICON } as const;
    const result: PeersResult = {
      ...head,
      cores,
      names: [mine, theirs],
      size,
      seconds,
      rates,
      ratio,
      latencyMpps,
      latency,
      latencyRatios,
    };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});
