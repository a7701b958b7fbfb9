// End to end over two CPUs: the software 82599 in one process, `ixy l2fwd` in another, vfio-user
// between them. Forwarded Mpps for each frame size, the loss-free rate (RFC 2544), and latency at
// 10, 50 and 90 % of it. Everything a NIC makes a driver do is in the figures; the model's own
// work is not the driver's, but where it is the slower of the two it is what was measured.
// Usage: npm run bench -- l2fwd [-- --sizes 64,imix --seconds N --json FILE --quick]

import { writeFileSync } from 'node:fs';
import { integerOption, runBench } from '../method/life.ts';
import { chooseCores, coresLine, machine, machineLine, NO_SILICON } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import type { L2fwdResult, LatencyBase, SizeResult } from '../report/results.ts';
import { ours } from './contender.ts';
import { ALL_SIZES, gigabits, parseSizes } from './frame-sizes.ts';
import { latencyLine } from './latency.ts';
import { type RateSearch, type RateTrial, searchRate } from './loss-free.ts';
import {
  modelIsLimit,
  modelText,
  offerReached,
  runLatencyTrial,
  runTrial,
  type Trial,
} from './trial.ts';

/** Loss that FD.io's "partial drop rate" would call good; on a machine that is shared, none at all may not be had. */
const SOME_LOSS = 0.001;

const BASE_TEXT: Readonly<Record<LatencyBase, string>> = {
  lossFree: 'the loss-free rate',
  nearlyLossFree: 'the nearly loss-free rate',
  throughput: 'the closed-loop rate, there being no loss-free one',
};

const { values } = readOptions('bench l2fwd', {
  options: {
    sizes: { type: 'string' },
    seconds: { type: 'string' },
    batch: { type: 'string', default: '32' },
    cores: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

const LIMITS = values.quick ? { resolution: 0.5, floor: 0.6 } : { resolution: 0.02, floor: 1 / 64 };
const LOADS = values.quick ? [0.5] : [0.1, 0.5, 0.9];

function mpps(value: number): string {
  return value.toFixed(value < 1 ? 3 : 2);
}

function rateText({ mpps: best, failedMpps }: RateSearch): string {
  if (best === 0) return `none found below ${mpps(failedMpps ?? 0)} Mpps`;
  return failedMpps === null
    ? `${mpps(best)} Mpps or more (all that a closed loop offers)`
    : `${mpps(best)} Mpps`;
}

await runBench('bench l2fwd', async () => {
  const sizes = parseSizes(values.sizes ?? (values.quick ? '64' : ALL_SIZES));
  const seconds = integerOption('seconds', values.seconds ?? (values.quick ? '1' : '3'), 600);
  const contender = ours(integerOption('batch', values.batch, 256));
  const cores = chooseCores(values.cores);
  const where = machine();
  console.log(machineLine(where));
  console.log(coresLine(cores));
  console.log(NO_SILICON);
  console.log('Rates are both directions together; sizes include the CRC.');
  const results: SizeResult[] = [];
  for (const size of sizes) results.push(await measure(size));

  async function measure(size: string): Promise<SizeResult> {
    const run = (offerMpps: number | null): Promise<Trial> =>
      runTrial({ contender, cores, size, offerMpps, seconds });
    const throughput = await run(null);
    console.log(
      `${size} bytes: ${mpps(throughput.mpps)} Mpps, ${gigabits(throughput.mpps, size).toFixed(1)} Gbit/s on the wire; ${modelText(throughput)}`,
    );
    const trials: Trial[] = [];
    const attempt = async (offerMpps: number): Promise<RateTrial> => {
      const trial = await run(offerMpps);
      trials.push(trial);
      const { lostShare } = trial;
      return { mpps: offerMpps, lostShare, reached: offerReached(trial) };
    };
    const known: RateTrial[] = [];
    const limits = { ...LIMITS, top: throughput.mpps };
    const lossFree = await searchRate(limits, 0, known, attempt);
    const nearlyLossFree = await searchRate(limits, SOME_LOSS, known, attempt);
    console.log(
      `  loss-free ${rateText(lossFree)}; at most ${SOME_LOSS * 100} % lost ${rateText(nearlyLossFree)} (${trials.length} trials of ${seconds} s)`,
    );
    const latencyBase: LatencyBase =
      lossFree.mpps > 0 ? 'lossFree' : nearlyLossFree.mpps > 0 ? 'nearlyLossFree' : 'throughput';
    const base = { lossFree, nearlyLossFree, throughput }[latencyBase].mpps;
    const latency: { load: number; trial: Trial }[] = [];
    for (const load of LOADS) {
      const offerMpps = base * load;
      const trial = await runLatencyTrial({ contender, cores, size, offerMpps, seconds });
      latency.push({ load, trial });
      console.log(
        `  at ${load * 100} % of ${BASE_TEXT[latencyBase]}, ${mpps(trial.mpps)} Mpps, ${trial.lost} lost: ${latencyLine(trial.latency)}; ${modelText(trial)}`,
      );
    }
    const limited = modelIsLimit(throughput);
    const rates = { throughput, modelIsLimit: limited, lossFree, nearlyLossFree };
    return { size, ...rates, trials, latencyBase, latency };
  }

  if (values.json !== undefined) {
    const result: L2fwdResult = {
      bench: 'l2fwd',
      machine: where,
      silicon: NO_SILICON,
      cores,
      seconds,
      batch: Number(values.batch),
      someLoss: SOME_LOSS,
      sizes: results,
    };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});
