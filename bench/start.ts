// How long a user waits for the first frame: from the start of `ixy l2fwd`, with a model of its own, until it says
// that it forwards, beside how long Node.js takes to reach the first line of an empty program.
// Usage: npm run bench:start [-- --runs N --json FILE]

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Child } from './lib/child.ts';
import { BenchError, integerOption, runBench } from './lib/life.ts';
import { machine, machineLine, NO_SILICON } from './lib/machine.ts';
import { readOptions } from './lib/options.ts';
import { median, round } from './lib/statistics.ts';

const MAIN = fileURLToPath(new URL('../cli/main.js', import.meta.url));
const START_MS = 20_000;
/** Time it then forwards: enough to see that frames come back. */
const SECONDS = 0.1;

const { values } = readOptions('bench:start', {
  options: { runs: { type: 'string', default: '10' }, json: { type: 'string' } },
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

await runBench('bench:start', async () => {
  const runs = integerOption('runs', values.runs, 1000);
  const where = machine();
  console.log(machineLine(where));
  console.log(NO_SILICON);
  const node: number[] = [];
  const forwarder: number[] = [];
  for (let run = 0; run < runs; run++) {
    node.push((await untilLine(['-e', 'console.log(1)'], () => true)).ms);
    const argv = [MAIN, 'l2fwd', '--duration', `${SECONDS}`];
    const { ms, lines } = await untilLine(argv, (line) => line.includes(' <-> '));
    if (!lines.some((line) => / [1-9]\d* received/.test(line))) {
      throw new BenchError(`nothing was forwarded: ${lines.join('; ')}`);
    }
    forwarder.push(ms);
  }
  const text = (ms: readonly number[]): string =>
    `min ${Math.round(Math.min(...ms))}, median ${Math.round(median(ms))}, max ${Math.round(Math.max(...ms))} ms`;
  console.log(`node, empty program:        ${text(node)}`);
  console.log(`ixy l2fwd, until it forwards: ${text(forwarder)}`);
  if (values.json !== undefined) {
    const rounded = (ms: readonly number[]): number[] => ms.map((value) => round(value));
    const result = { bench: 'start', machine: where, silicon: NO_SILICON };
    writeFileSync(
      values.json,
      `${JSON.stringify({ ...result, nodeMs: rounded(node), forwarderMs: rounded(forwarder) }, null, 2)}\n`,
    );
  }
});
