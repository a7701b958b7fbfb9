// The comparison with testpmd, as short as it goes: what it reports, not how fast anybody was.

import { beforeAll, expect, it } from 'vitest';
import { fetchDpdk } from '../../bench/peers/testpmd.ts';
import { whyNoPreload } from '../../bench/peers/testpmd-contender.ts';
import type { PeersResult } from '../../bench/report/results.ts';
import { runBench } from '../bench/run-bench.ts';

let missing: string | undefined;

beforeAll(() => {
  const fetched = fetchDpdk('trixie');
  missing = typeof fetched === 'string' ? fetched : whyNoPreload();
});

it('bench peers runs both in turn and compares them', async (context) => {
  if (missing !== undefined) return context.skip(missing);
  const { status, stderr, json, left, alive } = await runBench('peers', ['--quick']);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { names, rates, ratio, latencyMpps, latency, latencyRatios } = json as PeersResult;
  expect(names).toEqual(['ixy l2fwd', expect.stringMatching(/^testpmd \d/)]);
  expect(rates.map(({ contender }) => contender)).toEqual(names);
  for (const { trial } of rates) {
    const { offered, delivered, missed, sinkReceived, forwarder } = trial.totals;
    expect(offered).toBe(delivered + missed);
    expect(sinkReceived).toBeGreaterThan(0);
    if (forwarder === null) throw new Error('expected the forwarder to report its counts');
    expect(forwarder.rxPackets).toBeLessThanOrEqual(delivered);
    // testpmd reads the VF's registers, which may be a batch or two behind.
    expect(forwarder.txPackets).toBeGreaterThan(sinkReceived / 2);
  }
  expect(ratio.low).toBeGreaterThan(0);
  expect(ratio.ratio).toBeCloseTo(rates[0].trial.mpps / rates[1].trial.mpps, 2);
  expect(latencyMpps).toBeGreaterThan(0);
  expect(latency.map(({ contender }) => contender)).toEqual(names);
  expect(Object.keys(latencyRatios)).toEqual(['p50', 'p99_9', 'max']);
  expect({ left, alive }).toEqual({ left: [], alive: [] });
});
