// The comparison with testpmd, as short as it goes: what it reports, not how fast anybody was.

import { beforeAll, expect, it } from 'vitest';
import type { LatencyRun, RateRun, StateGroup } from '../../bench/lib/peer-results.ts';
import { fetchDpdk } from '../../bench/lib/testpmd.ts';
import { whyNoPreload } from '../../bench/lib/testpmd-contender.ts';
import { runBench } from '../bench/run-bench.ts';

interface Result {
  names: [string, string];
  rates: RateRun[];
  groups: StateGroup[];
  latencyMpps: number;
  latency: LatencyRun[];
  verdict: { lines: string[] };
}

let missing: string | undefined;

beforeAll(() => {
  const fetched = fetchDpdk('trixie');
  missing = typeof fetched === 'string' ? fetched : whyNoPreload();
});

it('bench:peers runs both in turn and judges them', async (context) => {
  if (missing !== undefined) return context.skip(missing);
  const { status, stderr, json, left, alive } = await runBench('peers', ['--quick']);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { names, rates, groups, latencyMpps, latency, verdict } = json as Result;
  expect(names).toEqual(['ixy l2fwd', expect.stringMatching(/^testpmd \d/)]);
  expect(rates.map(({ contender }) => contender)).toEqual(names);
  for (const { beforeNs, afterNs, trial } of rates) {
    expect(Math.min(beforeNs, afterNs)).toBeGreaterThan(0);
    const { offered, delivered, missed, sinkReceived, forwarder } = trial.totals;
    expect(offered).toBe(delivered + missed);
    expect(sinkReceived).toBeGreaterThan(0);
    if (forwarder === null) throw new Error('expected the forwarder to report its counts');
    expect(forwarder.rxPackets).toBeLessThanOrEqual(delivered);
    // testpmd reads the VF's registers, which may be a batch or two behind.
    expect(forwarder.txPackets).toBeGreaterThan(sinkReceived / 2);
  }
  expect(groups.reduce((sum, group) => sum + group.runs, 0)).toBe(rates.length);
  expect(latencyMpps).toBeGreaterThan(0);
  expect(latency.length).toBeGreaterThan(0);
  for (const { before, after } of latency) {
    expect(Math.min(before.largestNs, after.largestNs)).toBeGreaterThan(0);
  }
  expect(verdict.lines.length).toBeGreaterThan(0);
  expect({ left, alive }).toEqual({ left: [], alive: [] });
});
