import { expect, it } from 'vitest';
import type { Trial } from '../../bench/l2fwd/trial.ts';
import { runBench } from './run-bench.ts';

interface Result {
  bench: string;
  machine: { cpu: string; node: string; v8: string; kernel: string };
  silicon: string;
  sizes: {
    size: string;
    throughput: Trial;
    lossFree: { mpps: number };
    trials: Trial[];
    latency: { load: number; trial: Trial }[];
  }[];
}

function expectSums(trial: Trial): void {
  const { totals, mpps } = trial;
  expect(mpps).toBeGreaterThan(0);
  expect(totals.offered).toBe(totals.delivered + totals.missed);
  const { forwarder } = totals;
  if (forwarder === null) throw new Error('expected the forwarder to report its counts');
  expect(forwarder.rxPackets).toBeLessThanOrEqual(totals.delivered);
  // What it still held when it ended is in neither.
  expect(forwarder.rxPackets).toBeGreaterThanOrEqual(forwarder.txPackets + forwarder.txDropped);
  expect(totals.sinkReceived).toBeLessThanOrEqual(forwarder.txPackets);
  expect(totals.sinkReceived).toBeGreaterThan(0);
}

it('bench l2fwd measures throughput, the loss-free rate and latency, and its counts add up', async () => {
  const { status, stdout, stderr, json, left, alive } = await runBench('l2fwd', ['--quick']);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const result = json as Result;
  expect(result.bench).toBe('l2fwd');
  expect(result.machine.node).toBe(process.version);
  expect(result.machine.v8).toBe(process.versions.v8);
  expect(result.silicon).toContain('No silicon');
  expect(stdout).toContain('No silicon');
  expect(stdout).toContain(result.machine.cpu);
  expect(result.sizes.map(({ size }) => size)).toEqual(['64']);
  const [{ throughput, lossFree, trials, latency }] = result.sizes;
  expect(lossFree.mpps).toBeGreaterThanOrEqual(0);
  expect(latency.map(({ load }) => load)).toEqual([0.5]);
  expect(trials.length).toBeGreaterThan(0);
  for (const trial of [throughput, ...trials, ...latency.map((row) => row.trial)])
    expectSums(trial);
  expect({ left, alive }).toEqual({ left: [], alive: [] });
}, 150_000);

it('bench l2fwd ends on ctrl-C and leaves no process and no folder', async () => {
  const { status, left, alive } = await runBench('l2fwd', ['--sizes', '64', '--seconds', '1'], {
    interruptAt: /^64 bytes: /m,
  });
  expect(status).toBe(130);
  expect({ left, alive }).toEqual({ left: [], alive: [] });
}, 60_000);

it('bench l2fwd refuses a size that no frame has', async () => {
  const { status, stderr } = await runBench('l2fwd', ['--sizes', '63']);
  expect(status).toBe(2);
  expect(stderr).toBe("bench l2fwd: --sizes: expected 64 to 1518 or imix, got '63'\n");
});
