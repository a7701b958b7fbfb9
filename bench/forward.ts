// Nanoseconds a packet of the driver's hot path beside the same work in C
// (baseline.c), each case in a process of its own, alternated, so that the
// machine's changes of speed hit all alike. No device, no silicon: descriptors
// are marked done by a stub whose time is not counted.
// Usage: npm run bench [-- --json FILE] [--runs N] [--packets N] [--batches 1,8,32]

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
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
const CONTENDERS: readonly Contender[] = [
  js('forward', 'forward', 2),
  c('C, ixy shape', 'ixy'),
  js('fused', 'fused', 2),
  c('C, side tables', 'side'),
  c('C, fused', 'fused'),
  js('forward, one device', 'forward', 1),
  js('rx', 'rx', 2),
  js('tx', 'tx', 2),
];

interface Figures {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

function figures(samples: readonly number[]): Figures {
  const sorted = [...samples].sort((a, b) => a - b);
  return { min: sorted[0], median: sorted[sorted.length >> 1], max: sorted[sorted.length - 1] };
}

function measure(batch: number): Map<string, Figures> {
  const samples = new Map<string, number[]>(CONTENDERS.map(({ name }) => [name, []]));
  for (let run = 0; run < runs; run++) {
    for (const { name, command } of CONTENDERS) {
      const [program, args] = command(batch);
      const text = execFileSync(program, args, { encoding: 'utf8', timeout: 300_000 });
      samples.get(name)?.push(Number(text.trim()));
    }
  }
  return new Map([...samples].map(([name, list]) => [name, figures(list)]));
}

mkdirSync(here('.'), { recursive: true });
execFileSync('cc', ['-O3', '-march=native', '-o', BASELINE, SOURCE]);
const cpu = cpus()[0]?.model ?? 'unknown CPU';
console.log(`Node ${process.version}, V8 ${process.versions.v8}, ${cpu}, ${cpus().length} CPUs`);
console.log(
  `${runs} alternated runs of ${packets} packets; min / median / max ns a packet; no silicon`,
);

type Row = { nsPerPacket: number; vsIxyC: number; vsSideC: number; vsFusedC: number };
const result: { forward: Record<string, Row>; fused: Record<string, Row> } = {
  forward: {},
  fused: {},
};
for (const batch of batches) {
  const table = measure(batch);
  const median = (name: string): number => table.get(name)?.median ?? Number.NaN;
  console.log(`batch ${batch}`);
  for (const [name, { min, median: mid, max }] of table) {
    const text = [min, mid, max].map((ns) => ns.toFixed(2).padStart(6)).join(' /');
    console.log(`  ${name.padEnd(20)} ${text}`);
  }
  for (const name of ['forward', 'fused'] as const) {
    const row: Row = {
      nsPerPacket: median(name),
      vsIxyC: median(name) / median('C, ixy shape'),
      vsSideC: median(name) / median('C, side tables'),
      vsFusedC: median(name) / median('C, fused'),
    };
    result[name][`batch${batch}`] = row;
    console.log(
      `  ${name}: ${row.vsIxyC.toFixed(2)} x C in ixy's shape, ${row.vsSideC.toFixed(2)} x side tables, ${row.vsFusedC.toFixed(2)} x fused C`,
    );
  }
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.version, cpu, ...result }, null, 2)}\n`,
  );
}
