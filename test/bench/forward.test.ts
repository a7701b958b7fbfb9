// The forward bench as short as it goes: that it runs, and what it writes. No figure fails a test.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ForwardResult } from '../../bench/report/results.ts';
import { runBench } from './run-bench.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

it('bench forward measures this build beside C', async () => {
  const { status, stdout, stderr, json, left, alive } = await runBench('forward', ['--quick']);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  expect(stdout).toMatch(/slices discarded, in which the CPU was taken away/);
  const { node, forward } = json as ForwardResult;
  expect(node).toBe(process.version);
  expect(Object.keys(forward)).toEqual(['batch32']);
  expect(Object.keys(forward.batch32)).toEqual(
    expect.arrayContaining(['nsPerPacket', 'vsIxyC', 'vsSideC', 'vsFusedC']),
  );
  expect({ left, alive }).toEqual({ left: [], alive: [] });
}, 60_000);

it('bench forward measures this build beside another', async () => {
  const argv = ['--quick', '--batches', '1,32', '--against', at('dist'), '--slow', '5'];
  const { status, stderr, json, left } = await runBench('forward', argv);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const { forward } = json as ForwardResult;
  expect(Object.entries(forward).map(([batch, row]) => [batch, Object.keys(row)])).toEqual([
    ['batch1', ['nsPerPacket', 'vsOther']],
    ['batch32', ['nsPerPacket', 'vsOther']],
  ]);
  expect(left).toEqual([]);
}, 60_000);

it.each([
  [['--batches', '0'], "--batches: expected numbers from 1 to 256, got '0'"],
  [
    ['--against', '/absent'],
    '--against: expected /absent/bench/forward/case.js, which is not there',
  ],
])('bench forward refuses %j', async (argv, message) => {
  const { status, stderr } = await runBench('forward', argv);
  expect(status).toBe(2);
  expect(stderr).toBe(`bench forward: ${message}\n`);
});

it('an unknown case is refused with a list of them', async () => {
  const { status, stderr } = await runBench('backward', []);
  expect(status).toBe(2);
  expect(stderr).toMatch(/expected a case, got 'backward'\nusage: .*\n {2}forward /);
});

describe('a program that measures itself', () => {
  /** Two slices of a program, each as the three numbers of its answer. */
  function slices(program: string, ...args: string[]): number[][] {
    const { status, stdout, stderr } = spawnSync(program, args, {
      input: '\n\n',
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [ready, ...lines] = stdout.trimEnd().split('\n');
    expect(ready).toBe('ready');
    expect(lines).toHaveLength(2);
    return lines.map((line) => line.split(' ').map(Number));
  }

  it('answers in JavaScript', () => {
    for (const [ns, switches, gap] of slices(
      process.execPath,
      at('dist/bench/forward/case.js'),
      '32',
    )) {
      expect(Math.min(ns, gap)).toBeGreaterThan(0);
      expect(switches).toBeGreaterThanOrEqual(0);
    }
    expect(spawnSync(process.execPath, [at('dist/bench/forward/case.js')]).status).toBe(2);
  });

  it('answers in C, without a warning of the compiler', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ixy-baseline-'));
    try {
      const program = join(folder, 'baseline');
      const flags = ['-O3', '-march=native', '-Wall', '-Wextra', '-Werror', '-o', program];
      const { stderr } = spawnSync('cc', [...flags, at('bench/forward/baseline.c')], {
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      for (const shape of ['ixy', 'side', 'fused']) {
        for (const [ns, switches, gap] of slices(program, shape, '32')) {
          expect(ns).toBeGreaterThan(0);
          expect(Math.min(switches, gap)).toBeGreaterThanOrEqual(0);
        }
      }
      expect(spawnSync(program, ['round', '32']).status).toBe(2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
