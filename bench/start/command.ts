// How long a user waits for the first frame: from the start of `ixy l2fwd`, with a model of its own, until it says
// that it forwards, beside how long Node.js takes to reach the first line of an empty program, or beside another build.
// Usage: npm run bench -- start [--against DIST] [--json FILE] [--quick]

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from '../method/child.ts';
import { BenchError, runBench } from '../method/life.ts';
import { machine, machineLine, NO_SILICON } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import { compare, inTurn, ratioText, verdictText } from '../method/pairs.ts';
import { median, pairedRatio } from '../method/statistics.ts';

const DIST = fileURLToPath(new URL('../..', import.meta.url));
const START_MS = 20_000;
/** Seconds that it then forwards: enough to see that frames come back. */
const SECONDS = 0.1;

const { values } = readOptions('bench start', {
  options: {
    against: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

/** Milliseconds until the program says a line that fits; it is left to end by itself. */
async function untilLine(
  args: readonly string[],
  fits: (line: string) => boolean,
): Promise<{ ms: number; lines: readonly string[] }> {
  const start = performance.now();
  const child = new Child(process.execPath, args, { name: args.join(' ') });
  await child.line(fits, 0, START_MS);
  const ms = performance.now() - start;
  if ((await child.end(START_MS)) !== 0) throw new BenchError(`${args.join(' ')}: ${child.stderr}`);
  return { ms, lines: child.lines };
}

async function emptyMs(): Promise<number> {
  return (await untilLine(['-e', 'console.log(1)'], () => true)).ms;
}

/** @param dist folder of the build */
async function forwarderMs(dist: string): Promise<number> {
  const argv = [resolve(dist, 'cli/main.js'), 'l2fwd', '--duration', `${SECONDS}`];
  const { ms, lines } = await untilLine(argv, (line) => line.includes(' <-> '));
  if (lines.some((line) => / [1-9]\d* received/.test(line))) return ms;
  throw new BenchError(`nothing was forwarded: ${lines.join('; ')}`);
}

await runBench('bench start', async () => {
  const { against, quick } = values;
  const where = machine();
  console.log(machineLine(where));
  console.log(NO_SILICON);
  const own = { name: 'ixy l2fwd, until it forwards', run: () => forwarderMs(DIST) };
  const other =
    against === undefined
      ? { name: 'node, empty program', run: emptyMs }
      : { name: `the build in ${against}`, run: () => forwarderMs(against) };
  const starts = await compare(
    quick ? { least: 1, most: 1 } : { least: 10, most: 50 },
    [[0, 1]],
    async (number) => {
      const took = new Map<object, number>();
      for (const one of inTurn([own, other], number)) took.set(one, await one.run());
      return [[own, other].map((one) => took.get(one) ?? Number.NaN)];
    },
  );
  const [ownMs, otherMs] = [0, 1].map((i) => starts.map(([turn]) => Math.round(turn[i])));
  for (const [{ name }, ms] of [[own, ownMs] as const, [other, otherMs] as const]) {
    console.log(`${name}: min ${Math.min(...ms)}, median ${Math.round(median(ms))} ms`);
  }
  const ratio = pairedRatio(starts, 0, 1);
  const verdict = against === undefined ? '' : `: ${verdictText(ratio)}`;
  console.log(`ratio ${ratioText(ratio)}, ${starts.length} pairs${verdict}`);
  if (values.json !== undefined) {
    const head = { bench: 'start', machine: where, silicon: NO_SILICON };
    const key = against === undefined ? { nodeMs: otherMs } : { otherMs };
    const result = { ...head, ...key, forwarderMs: ownMs, ratio };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});
