// Ten million packets without a garbage collection, in a process of its own.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const PACKETS = Number(process.env.IXY_STEADY_PACKETS ?? 10_000_000);
const program = fileURLToPath(new URL('./steady-program.mjs', import.meta.url));

it(`forwards ${PACKETS} packets in sequence and collects no garbage while it does`, () => {
  const child = spawnSync(process.execPath, ['--trace-gc', program, String(PACKETS)], {
    encoding: 'utf8',
    timeout: 600_000,
  });
  expect(child.stderr).toBe('');
  expect(child.status).toBe(0);
  const lines = child.stdout.split('\n');
  const steady = lines.indexOf('steady');
  const done = lines.indexOf('done');
  expect(steady).toBeGreaterThan(0);
  expect(done).toBeGreaterThan(steady);
  // The flag works: start-up does collect.
  expect(lines.slice(0, steady).some((line) => /Scavenge|Mark-Compact/.test(line))).toBe(true);
  expect(lines.slice(steady + 1, done)).toEqual([]);
  const result = JSON.parse(lines[done + 1]) as { received: number; violations: number };
  expect(result.received).toBeGreaterThanOrEqual(PACKETS);
  expect(result.violations).toBe(0);
}, 600_000);
