// What forwards and what generates leaves no garbage behind, end to end over two processes: V8 is asked to tell each
// collection of each thread. The main threads, which look at links and print, may have one now and then, and V8 of
// Node.js 20 and 22 has one there after 8 s of rest, to give memory back ("reduce"): those are printed and let pass.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAIN, Processes, type Program } from '../system/processes.ts';

/** 100 M packets where 9 M a second are forwarded. */
const SECONDS = 16;
/** Code is compiled, and lists grow to their size, until then. */
const WARM_MS = 4000;
/** Something else that ran meanwhile may have thrown V8 back; garbage of every batch shows each time. */
const AGAIN = { timeout: 60_000, retry: 2 };

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

const traced = (...argv: string[]): Program =>
  processes.start(process.execPath, ['--trace-gc', MAIN, ...argv, '--interval', '0', '--json']);

/** Address from which on V8's threads lie: glibc has the heap of the main thread below, that of all others above. */
const THREADS = 0x7000_0000_0000;

interface Collections {
  readonly main: string[];
  readonly threads: string[];
}

/** What V8 printed of collections once their thread was WARM_MS old, until the last second. */
function collections({ lines }: Program): Collections {
  const found: Collections = { main: [], threads: [] };
  for (const line of lines) {
    const [, address, ms] = /^\[\d+:(0x[0-9a-f]+)\]\s+(\d+) ms: /.exec(line) ?? [];
    if (address === undefined || Number(ms) < WARM_MS || Number(ms) > (SECONDS - 1) * 1000)
      continue;
    (Number(address) < THREADS ? found.main : found.threads).push(line);
  }
  return found;
}

async function model(...argv: string[]): Promise<Program> {
  const program = traced('model', '--dir', processes.folder, '--exit-with-stdin', ...argv);
  await program.line((line) => line.includes('"ready":true'));
  return program;
}

async function expectNone(program: Program, what: string, packets: number): Promise<void> {
  const { main, threads } = collections(program);
  console.log(
    `${what}: ${packets} packets; collections of its threads ${threads.length}, main`,
    main,
  );
  expect(packets).toBeGreaterThan(0);
  expect(threads).toEqual([]);
  // The trace was on: starting does leave garbage behind.
  expect(program.lines.some((line) => /ms: (Scavenge|Mark-Compact)/.test(line))).toBe(true);
}

test('a model with generators, and a forwarder', AGAIN, async () => {
  const nic = await model('--port0', 'gen', '--port1', 'gen');
  const addresses = [processes.address(0, 0), processes.address(1, 0)];
  const forwarder = traced('l2fwd', ...addresses, '--duration', `${SECONDS}`);
  expect((await forwarder.end()).status).toBe(0);
  const { devices } = forwarder.lastJson<{ devices: { rxPackets: number }[] }>();
  const packets = devices.reduce((sum, { rxPackets }) => sum + rxPackets, 0);
  await expectNone(forwarder, 'forwarder', packets);
  await expectNone(nic, 'model', packets);
});

test('a model with a cable, and a generator that measures what comes back', AGAIN, async () => {
  const nic = await model('--port0', 'cable:0', '--port1', 'cable:0');
  const argv = [processes.address(0, 0), '--rx', processes.address(1, 0)];
  const generator = traced('pktgen', ...argv, '--duration', `${SECONDS}`);
  expect((await generator.end()).status).toBe(0);
  const { generator: report } = generator.lastJson<{ generator: { received: number } }>();
  await expectNone(generator, 'generator', report.received);
  await expectNone(nic, 'model', report.received);
});
