// Nanoseconds a packet of the driver's hot path beside the same work in C
// (baseline.c), each case in a process of its own, alternated. C runs before and
// after each case that is compared with it, and a ratio is the median of those
// runs in which both times C was as fast: a host that changes its clock between
// two runs would else decide it. No device, no silicon: descriptors are marked
// done by a stub whose time is not counted.
// Usage: npm run bench [-- --json FILE] [--runs N] [--packets N] [--batches 1,8,32]

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readOptions } from './lib/options.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const CASE = here('./forward-case.js');
const SOURCE = here('../../bench/baseline.c');
const BASELINE = here('./baseline');

const { values } = readOptions('bench', {
  options: {
    json: { type: 'string' },
    runs: { type: 'string', default: '5' },
    packets: { type: 'string', default: '4000000' },
    batches: { type: 'string', default: '1,8,32,64,256' },
  },
});
const runs = Number(values.runs);
const { packets } = values;
const batches = values.batches.split(',').map(Number);

/** A line of the table: the command that prints ns a packet. */
interface Contender {
  readonly name: string;
  command(batch: number): readonly [string, readonly string[]];
}

const js = (name: string, shape: string, devices: number): Contender => ({
  name,
  command: (batch) => [
    process.execPath,
    [CASE, shape, String(devices), String(batch), packets, '1'],
  ],
});
const c = (name: string, shape: string): Contender => ({
  name,
  command: (batch) => [BASELINE, [shape, String(batch), packets, '1']],
});
const IXY = 'C, ixy shape';
const SIDE = 'C, side tables';
const FUSED = 'C, fused';
const BASELINES: readonly Contender[] = [c(IXY, 'ixy'), c(SIDE, 'side'), c(FUSED, 'fused')];
const COMPARED: readonly Contender[] = [js('forward', 'forward', 2)];
const OTHERS: readonly Contender[] = [
  js('rx', 'rx', 2),
  js('tx', 'tx', 2),
  js('forward, one device', 'forward', 1),
  js('rx, one device', 'rx', 1),
  js('tx, one device', 'tx', 1),
];
/** C's times before and after a case may differ by this factor. */
const STEADY = 1.1;

/** Nanoseconds a packet, a run each, by contender. */
type Samples = Map<string, number[]>;

function sample({ name, command }: Contender, batch: number, samples: Samples): number {
  const [program, args] = command(batch);
  const text = execFileSync(program, args, { encoding: 'utf8', timeout: 300_000 });
  const ns = Number(text.trim());
  samples.set(name, [...(samples.get(name) ?? []), ns]);
  return ns;
}

/** What a case took, and what C took before and after it. */
interface Comparison {
  readonly name: string;
  readonly to: string;
  readonly ratio: number;
  readonly steady: boolean;
}

/** One run of every contender at one batch size. */
function measure(batch: number, samples: Samples): Comparison[] {
  const made: Comparison[] = [];
  let before = BASELINES.map((one) => sample(one, batch, samples));
  for (const contender of COMPARED) {
    const ns = sample(contender, batch, samples);
    const after = BASELINES.map((one) => sample(one, batch, samples));
    for (const [i, { name: to }] of BASELINES.entries()) {
      const [low, high] = sorted([before[i], after[i]]);
      const ratio = ns / ((low + high) / 2);
      made.push({ name: contender.name, to, ratio, steady: high < low * STEADY });
    }
    before = after;
  }
  for (const other of OTHERS) sample(other, batch, samples);
  return made;
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

function median(values: readonly number[]): number {
  return sorted(values)[values.length >> 1];
}

mkdirSync(here('.'), { recursive: true });
execFileSync('cc', ['-O3', '-march=native', '-o', BASELINE, SOURCE]);
const cpu = cpus()[0]?.model ?? 'unknown CPU';
console.log(
  `Node ${process.version}, V8 ${process.versions.v8}, ${cpu}, ${cpus().length} CPUs, ${type()} ${release()} ${arch()}`,
);
console.log(
  `${runs} alternated runs of ${packets} packets, each the median of its rounds; min / median / max ns a packet; two devices where not said otherwise; no silicon`,
);

type Row = { nsPerPacket: number; vsIxyC: number; vsSideC: number; vsFusedC: number };
const result: { forward: Record<string, Row> } = { forward: {} };
const table = new Map<number, Samples>(batches.map((batch) => [batch, new Map()]));
const comparisons = new Map<number, Comparison[]>(batches.map((batch) => [batch, []]));
for (let run = 1; run <= runs; run++) {
  // To stderr: says that it lives.
  console.error(`run ${run} of ${runs}`);
  for (const [batch, samples] of table) {
    comparisons.get(batch)?.push(...measure(batch, samples));
  }
}

function ratioOf(batch: number, name: string, to: string): number {
  const all = (comparisons.get(batch) ?? []).filter((one) => one.name === name && one.to === to);
  const steady = all.filter((one) => one.steady);
  return median((steady.length > 0 ? steady : all).map(({ ratio }) => ratio));
}

for (const [batch, samples] of table) {
  console.log(`batch ${batch}`);
  for (const [name, list] of samples) {
    const [low, high] = [sorted(list)[0], sorted(list)[list.length - 1]];
    const text = [low, median(list), high].map((ns) => ns.toFixed(2).padStart(6)).join(' /');
    console.log(`  ${name.padEnd(20)} ${text}`);
  }
  for (const name of ['forward'] as const) {
    const row: Row = {
      nsPerPacket: median(samples.get(name) ?? []),
      vsIxyC: ratioOf(batch, name, IXY),
      vsSideC: ratioOf(batch, name, SIDE),
      vsFusedC: ratioOf(batch, name, FUSED),
    };
    result[name][`batch${batch}`] = row;
    console.log(
      `  ${name}: ${row.vsIxyC.toFixed(2)} x C in ixy's shape, ${row.vsSideC.toFixed(2)} x side tables, ${row.vsFusedC.toFixed(2)} x fused C`,
    );
  }
}
if (batches.includes(1) && batches.includes(32)) {
  for (const name of ['forward']) {
    // At the speed at which C was fastest: the medians of two batch sizes may be of different host states.
    const at = (batch: number): number =>
      ratioOf(batch, name, SIDE) * sorted(table.get(batch)?.get(SIDE) ?? [])[0];
    const share = (100 * at(32)) / at(1);
    console.log(`${name}: batch 1 moves ${share.toFixed(0)} % of what batch 32 does`);
  }
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.version, cpu, ...result }, null, 2)}\n`,
  );
}
