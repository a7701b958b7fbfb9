// The C programs that look at the machine: what they print, and what they refuse. No timing is asserted.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

let folder = '';

function compile(name: string): string {
  const source = fileURLToPath(new URL(`../../bench/${name}.c`, import.meta.url));
  const output = join(folder, name);
  const flags = ['-O3', '-march=native', '-pthread', '-Wall', '-Wextra', '-Werror'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', output, source], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return output;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-probes-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('ping-pong prints the round trip of a cache line', () => {
  const program = compile('ping-pong');
  const { status, stdout } = spawnSync(program, ['-1', '-1', '20'], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(stdout).toMatch(/^\d+\.\d\n$/);
  expect(Number(stdout)).toBeGreaterThan(0);
  expect(spawnSync(program, ['0', '1']).status).toBe(2);
  expect(spawnSync(program, ['1000', '-1', '5']).status).toBe(1);
}, 60_000);

it('gap-probe prints gaps that agree with each other', () => {
  const program = compile('gap-probe');
  const { status, stdout } = spawnSync(program, ['-1', '100'], { encoding: 'utf8' });
  expect(status).toBe(0);
  const gaps = JSON.parse(stdout) as Record<string, number>;
  expect(Object.keys(gaps)).toEqual([
    'seconds',
    'reads',
    'largestNs',
    'p999Ns',
    'timeP999Ns',
    'lostShare',
  ]);
  expect(gaps.seconds).toBeGreaterThanOrEqual(0.1);
  expect(gaps.reads).toBeGreaterThan(1000);
  expect(gaps.p999Ns).toBeLessThanOrEqual(gaps.largestNs);
  // Longer gaps take more of the time than of the readings.
  expect(gaps.timeP999Ns).toBeGreaterThanOrEqual(gaps.p999Ns);
  expect(gaps.timeP999Ns).toBeLessThanOrEqual(gaps.largestNs);
  expect(gaps.lostShare).toBeGreaterThanOrEqual(0);
  expect(gaps.lostShare).toBeLessThanOrEqual(1);
  expect(spawnSync(program, ['0', '0']).status).toBe(2);
});
