// A model that nobody sends anything to leaves the CPU to others. The figures are of idle.mjs;
// the bound is loose, since the machine may be shared.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { Processes } from './processes.ts';

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

test('an idle model with two VFs attached uses less than a quarter of a CPU, and still moves a frame', async () => {
  const program = processes.node('idle.mjs', '--json', '3');
  expect(await program.end()).toMatchObject({ status: 0, stderr: '' });
  const { cpuPercent, firstFrameMs } = program.lastJson<{
    cpuPercent: number;
    firstFrameMs: { min: number; median: number; max: number };
  }>();
  const { min, median, max } = firstFrameMs;
  console.log(
    `idle model: ${cpuPercent.toFixed(1)} % of a CPU; first frame: min ${min.toFixed(2)}, median ${median.toFixed(2)}, max ${max.toFixed(2)} ms`,
  );
  expect(cpuPercent).toBeLessThan(25);
  expect(min).toBeGreaterThan(0);
});
