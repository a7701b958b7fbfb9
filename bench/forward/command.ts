// Nanoseconds a packet of the driver's hot path beside the same work in C (baseline.c), or beside that of another build,
// by slices in turns on one CPU. No device, no silicon: descriptors are marked done by a stub whose time is not counted.
// Usage: npm run bench -- forward [--batches 1,32] [--json FILE] [--quick]
//   [--against DIST]   another build's dist folder, in place of C: how "no slower" is judged
//   [--slow PERCENT]   waits so much longer in this build's case, to show that the method finds it
//   [--cores M,CPU]    the second CPU is used

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromCopies } from '../method/layout.ts';
import { BenchError, runBench } from '../method/life.ts';
import { chooseCores, machine, machineLine } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import { compare, type Division, ratioText, verdictText } from '../method/pairs.ts';
import { alternate, type Command, mayRunRealTime, type Slicing } from '../method/slices.ts';
import { median, pairedRatio, type Ratio, round, type Start } from '../method/statistics.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const SOURCE = here('../../../bench/forward/baseline.c');
/** Shapes of the C program, and the name of the ratio to each. */
const BASELINES = [
  { shape: 'ixy', name: "C in ixy's shape", key: 'vsIxyC' },
  { shape: 'side', name: 'C with side tables', key: 'vsSideC' },
  { shape: 'fused', name: 'fused C', key: 'vsFusedC' },
] as const;

const { values } = readOptions('bench forward', {
  options: {
    batches: { type: 'string' },
    json: { type: 'string' },
    against: { type: 'string' },
    slow: { type: 'string', default: '0' },
    cores: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
/** Layout differs from start to start, and an interval over fewer than eight of them is too narrow to be believed. */
const [STARTS, TURNS] = values.quick ? [{ least: 1, most: 1 }, 4] : [{ least: 8, most: 40 }, 16];

/** What this build is compared with. */
interface Rival {
  readonly name: string;
  readonly key: string;
  /** The dist folder of another build. */
  readonly dist?: string;
  /** @param dist this start's copy of it */
  command(batch: string, dist: string | undefined): Command;
}

const caseOf = (dist: string | undefined, batch: string, ...more: string[]): Command => [
  process.execPath,
  `${dist}/bench/forward/case.js`,
  batch,
  ...more,
];

/** Compiles baseline.c. @returns undefined where there is no such compiler @throws BenchError */
function compileBaseline(compiler: string): string | undefined {
  const output = here(`./baseline-${compiler}`);
  mkdirSync(dirname(output), { recursive: true });
  const args = ['-O3', '-march=native', '-o', output, SOURCE];
  const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (error !== undefined) return undefined;
  if (status !== 0)
    throw new BenchError(`${compiler}: ${SOURCE} did not compile: ${stderr.trim()}`);
  return output;
}

/** The C programs of all compilers that are here. @throws BenchError where there is none */
function baselines(): Rival[] {
  const rivals = ['gcc', 'clang'].flatMap((compiler) => {
    const program = compileBaseline(compiler);
    if (program === undefined) return [];
    return BASELINES.map(({ shape, name, key }) => ({
      name: `${name} (${compiler})`,
      key,
      command: (batch: string): Command => [program, shape, batch],
    }));
  });
  if (rivals.length === 0) throw new BenchError('expected gcc or clang, found neither');
  return rivals;
}

/** @throws BenchError where the folder holds no build that can be measured so */
function otherBuild(dist: string): Rival {
  const file = resolve(dist, 'bench/forward/case.js');
  if (!existsSync(file)) throw new BenchError(`--against: expected ${file}, which is not there`, 2);
  const command: Rival['command'] = (batch, copy) => caseOf(copy, batch, '0'); // as many arguments as this build's: they lie in the heap, too
  return { name: `the build in ${dist}`, key: 'vsOther', dist, command };
}

/** Nanoseconds a packet of each slice that counts. */
function figuresOf(starts: readonly Start[], column: number): number[] {
  return starts.flatMap((turns) => turns.map((turn) => turn[column])).filter((ns) => ns > 0);
}

type Row = { nsPerPacket: number; [ratio: string]: number | Ratio };

async function measure(batch: string, rivals: readonly Rival[], slicing: Slicing): Promise<Row> {
  const dists = [here('../..'), ...rivals.flatMap(({ dist }) => dist ?? [])];
  const divisions = rivals.map((_, i): Division => [0, i + 1]);
  const starts = await compare(STARTS, divisions, (number) =>
    fromCopies(number, dists, ([own, other]) => {
      const commands = rivals.map((rival) => rival.command(batch, other));
      return alternate([caseOf(own, batch, values.slow), ...commands], slicing, number);
    }),
  );
  const text = (column: number): string => {
    const figures = figuresOf(starts, column);
    if (figures.length === 0) return 'no slice';
    return `${Math.min(...figures).toFixed(2)} / ${median(figures).toFixed(2)} ns`;
  };
  const all = starts.flat(2);
  console.log(
    `batch ${batch}: ${starts.length} starts of ${TURNS} turns; ${all.filter(Number.isNaN).length} of ${all.length} slices discarded, in which the CPU was taken away; smallest / median`,
  );
  console.log(`  ${'forward'.padEnd(28)} ${text(0)}`);
  const row: Row = { nsPerPacket: round(median(figuresOf(starts, 0))) };
  const best = new Map<string, number>();
  for (const [i, { name, key }] of rivals.entries()) {
    const ratio = pairedRatio(starts, 0, i + 1);
    const verdict = key === 'vsOther' ? `: ${verdictText(ratio)}` : '';
    console.log(`  ${name.padEnd(28)} ${text(i + 1)}, ratio ${ratioText(ratio)}${verdict}`);
    // Of two compilers the one whose program is faster counts.
    const ns = median(figuresOf(starts, i + 1));
    if (ns >= (best.get(key) ?? Number.POSITIVE_INFINITY)) continue;
    best.set(key, ns);
    row[key] = ratio;
  }
  return row;
}

await runBench('bench forward', async () => {
  const batches = (values.batches ?? (values.quick ? '32' : '1,32')).split(',');
  for (const batch of batches) {
    if (/^\d+$/.test(batch) && Number(batch) >= 1 && Number(batch) <= 256) continue;
    throw new BenchError(`--batches: expected numbers from 1 to 256, got '${batch}'`, 2);
  }
  const { driver: cpu } = chooseCores(values.cores);
  // A quick run shows that it works, perhaps beside tests, which shall not wait for it.
  const realTime = !values.quick && mayRunRealTime();
  const rivals = values.against === undefined ? baselines() : [otherBuild(resolve(values.against))];
  const where = machine();
  console.log(machineLine(where));
  console.log(
    `receive, touch, transmit between two devices; slices of 25 ms in turns on ${cpu === null ? 'any CPU' : `CPU ${cpu}`}${realTime ? ' at a real-time priority' : ''}; no silicon`,
  );
  const slicing = { turns: TURNS, cpu, realTime };
  const rows: Record<string, Row> = {};
  for (const batch of batches) rows[`batch${batch}`] = await measure(batch, rivals, slicing);
  if (values.json !== undefined) {
    const result = { node: where.node, cpu: where.cpu, forward: rows };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});
