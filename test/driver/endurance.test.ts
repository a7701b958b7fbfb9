// What a VF lives through many times, in a process of its own: see endurance-program.mjs.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const RESETS = Number(process.env.IXY_ENDURANCE_RESETS ?? 100);
const REMOVALS = Number(process.env.IXY_ENDURANCE_REMOVALS ?? 10);
const LIMIT_MS = 60_000 + (RESETS + REMOVALS) * 5000;
/** Pages that a garbage-collected heap and the allocator may keep. */
const SLACK_MIB = 24;
const program = fileURLToPath(new URL('./endurance-program.mjs', import.meta.url));

interface Footprint {
  readonly rssMiB: number;
  readonly fds: number;
}

interface Result {
  readonly restarts: readonly number[];
  readonly recovery: { readonly medianMs: number; readonly worstMs: number };
  readonly early: Footprint;
  readonly late: Footprint;
}

it(
  `lives through ${RESETS} resets of the port and ${REMOVALS} removals under load, and accounts for every frame and buffer`,
  () => {
    const argv = [program, String(RESETS), String(REMOVALS)];
    const child = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: LIMIT_MS });
    expect(child.stderr).toBe('');
    expect(child.status).toBe(0);
    const { restarts, recovery, early, late } = JSON.parse(child.stdout) as Result;
    console.log('recovered within, ms:', recovery);
    expect(restarts[0] + restarts[1]).toBeGreaterThanOrEqual(RESETS + REMOVALS);
    expect(late.rssMiB - early.rssMiB).toBeLessThan(SLACK_MIB);
    expect(late.fds).toBe(early.fds);
  },
  LIMIT_MS,
);
