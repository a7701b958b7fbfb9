// Nanoseconds a packet of the driver's hot path beside the same work in C
// (baseline.c), each case in a process of its own, alternated, so that the
// machine's changes of speed hit all alike; a ratio is the median of the runs'
// ratios. No device, no silicon: descriptors are marked done by a stub whose
// time is not counted.
// Usage: npm run bench [-- --json FILE] [--runs N] [--packets N] [--batches 1,8,32]

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const CASE = here('./forward-case.js');
const SOURCE = here('../../bench/baseline.c');
const BASELINE = here('./baseline');

const { values } = parseArgs({
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
// What is compared runs next to what it is compared with.
const CONTENDERS: readonly Contender[] = [
  c(IXY, 'ixy'),
  js('forward', 'forward', 2),
  c(SIDE, 'side'),
  js('fused', 'fused', 2),
  c(FUSED, 'fused'),
  js('rx', 'rx', 2),
  js('tx', 'tx', 2),
  js('forward, one device', 'forward', 1),
  js('fused, one device', 'fused', 1),
  js('rx, one device', 'rx', 1),
  js('tx, one device', 'tx', 1),
];

/** Nanoseconds a packet, a run each, by contender. */
type Samples = Map<string, number[]>;

/** One run of every contender at one batch size. */
function measure(batch: number, samples: Samples): void {
  for (const { name, command } of CONTENDERS) {
    const [program, args] = command(batch);
    const text = execFileSync(program, args, { encoding: 'utf8', timeout: 300_000 });
    samples.set(name, [...(samples.get(name) ?? []), Number(text.trim())]);
  }
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
const result: { forward: Record<string, Row>; fused: Record<string, Row> } = {
  forward: {},
  fused: {},
};
const table = new Map<number, Samples>(batches.map((batch) => [batch, new Map()]));
for (let run = 1; run <= runs; run++) {
  // To stderr: says that it lives.
  console.error(`run ${run} of ${runs}`);
  for (const [batch, samples] of table) measure(batch, samples);
}
for (const [batch, samples] of table) {
  const of = (name: string): readonly number[] => samples.get(name) ?? [];
  const ratio = (name: string, to: string): number =>
    median(of(name).map((ns, run) => ns / of(to)[run]));
  console.log(`batch ${batch}`);
  for (const [name, list] of samples) {
    const [low, high] = [sorted(list)[0], sorted(list)[list.length - 1]];
    const text = [low, median(list), high].map((ns) => ns.toFixed(2).padStart(6)).join(' /');
    console.log(`  ${name.padEnd(20)} ${text}`);
  }
  for (const name of ['forward', 'fused'] as const) {
    const row: Row = {
      nsPerPacket: median(of(name)),
      vsIxyC: ratio(name, IXY),
      vsSideC: ratio(name, SIDE),
      vsFusedC: ratio(name, FUSED),
    };
    result[name][`batch${batch}`] = row;
    console.log(
      `  ${name}: ${row.vsIxyC.toFixed(2)} x C in ixy's shape, ${row.vsSideC.toFixed(2)} x side tables, ${row.vsFusedC.toFixed(2)} x fused C`,
    );
  }
}
for (const name of ['forward', 'fused']) {
  const one = table.get(1)?.get(name);
  const many = table.get(32)?.get(name);
  if (one === undefined || many === undefined) continue;
  const share = median(many.map((ns, run) => (100 * ns) / one[run]));
  console.log(`${name}: batch 1 moves ${share.toFixed(0)} % of what batch 32 does`);
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.version, cpu, ...result }, null, 2)}\n`,
  );
}
