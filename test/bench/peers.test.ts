// bench:peers as far as it goes without DPDK; test/dpdk/peers.test.ts has the rest.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Latency } from '../../bench/lib/latency.ts';
import {
  groupByState,
  judgeLatency,
  type LatencyRun,
  type RateRun,
} from '../../bench/lib/peer-results.ts';
import { type HostState, hostState } from '../../bench/lib/probes.ts';
import { countsIn } from '../../bench/lib/testpmd-contender.ts';
import type { Trial } from '../../bench/lib/trial.ts';
import { runBench } from './run-bench.ts';

const NAMES = ['ours', 'theirs'] as const;

function rate(contender: string, state: HostState, mpps: number): RateRun {
  const trial = { mpps } as Trial;
  return { run: 0, contender, beforeNs: 0, afterNs: 0, state, trial };
}

function latencyRun(contender: string, gapNs: number, p99_9: number, max: number): LatencyRun {
  const gaps = { largestNs: gapNs, seconds: 1, reads: 1, p999Ns: 1, timeP999Ns: 1, lostShare: 0 };
  const trial = { latency: { p99_9, max } as Latency } as Trial;
  return { run: 0, contender, before: gaps, after: gaps, trial };
}

describe('the state of the host', () => {
  it('is what both probes say, and changed where they differ', () => {
    expect([hostState(55, 60), hostState(330, 300), hostState(55, 330)]).toEqual([
      'fast',
      'slow',
      'changed',
    ]);
  });

  it('groups the runs, and compares only like with like', () => {
    const rows = [
      rate('ours', 'fast', 40),
      rate('ours', 'fast', 44),
      rate('ours', 'fast', 60),
      rate('theirs', 'fast', 40),
      rate('ours', 'slow', 20),
      rate('ours', 'changed', 30),
      rate('theirs', 'changed', 15),
    ];
    expect(groupByState(rows, NAMES)).toEqual([
      { state: 'fast', runs: 4, ours: 44, theirs: 40, ratio: 1.1 },
      { state: 'slow', runs: 1, ours: 20, theirs: null, ratio: null },
      { state: 'changed', runs: 2, ours: 30, theirs: 15, ratio: null },
    ]);
  });
});

describe('the latency criteria', () => {
  const theirs = latencyRun('theirs', 50_000, 40_000, 300_000);

  it('allow a largest sample of 1 ms whatever the probes say', () => {
    const verdict = judgeLatency([latencyRun('ours', 50_000, 60_000, 1_000_000), theirs], NAMES);
    expect(verdict).toMatchObject({ largestMet: true, p999Met: true });
  });

  it('allow what the machine itself did, and 200 us', () => {
    const at = (max: number) =>
      judgeLatency([latencyRun('ours', 4_000_000, 1, max), theirs], NAMES).largestMet;
    expect([at(4_200_000), at(4_200_001)]).toEqual([true, false]);
  });

  it('fail a p99.9 above 1.5 times theirs', () => {
    const verdict = judgeLatency([latencyRun('ours', 0, 60_001, 1), theirs], NAMES);
    expect(verdict).toMatchObject({ largestMet: true, p999Met: false });
    expect(verdict.lines.at(-1)).toContain('NOT met');
  });

  it('use medians, so that one bad run of three fails nothing', () => {
    const runs = [1e5, 1e5, 9e9].map((max) => latencyRun('ours', 0, 1, max));
    expect(judgeLatency([...runs, theirs], NAMES).largestMet).toBe(true);
  });

  it('are not evaluated where nothing was measured', () => {
    const trial = { latency: null } as Trial;
    const verdict = judgeLatency([{ ...theirs, contender: 'ours', trial }, theirs], NAMES);
    expect(verdict).toMatchObject({ largestMet: null, p999Met: null });
  });
});

it("finds the counts in testpmd's last words", () => {
  const text = `
  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 7              RX-dropped: 0             RX-total: 7
  TX-packets: 7              TX-dropped: 0             TX-total: 7
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: 1000012        RX-dropped: 0             RX-total: 1000012
  TX-packets: 1000000        TX-dropped: 12            TX-total: 1000012
  `;
  expect(countsIn(text)).toEqual({ rxPackets: 1_000_012, txPackets: 1_000_000, txDropped: 12 });
  expect(countsIn('no counts')).toBeNull();
});

it('bench:peers says in one line that there is no testpmd, and exits with 77', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ixy-peers-'));
  try {
    // A system without apt.
    for (const name of ['unshare', 'true']) {
      const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
      if (path.startsWith('/')) symlinkSync(path, join(folder, name));
    }
    const env = { PATH: folder, IXY_CACHE_DIR: folder };
    const { status, stdout, stderr, left } = await runBench('peers', ['--quick'], { env });
    expect(stderr).toMatch(/^bench:peers: no testpmd to compare with: .+\n$/);
    expect({ status, stdout, left }).toEqual({ status: 77, stdout: '', left: [] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
