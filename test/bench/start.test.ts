import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runBench } from './run-bench.ts';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

it.each([
  [[], 'nodeMs'],
  [['--against', dist], 'otherMs'],
])(
  'bench start measures a pair of starts: %j',
  async (argv, key) => {
    const { status, stderr, json, left, alive } = await runBench('start', ['--quick', ...argv]);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const result = json as { bench: string; forwarderMs: number[]; ratio: { ratio: number } };
    expect(result.bench).toBe('start');
    expect(result.forwarderMs).toHaveLength(1);
    expect(result).toHaveProperty(key);
    expect(result.ratio.ratio).toBeGreaterThan(0);
    expect({ left, alive }).toEqual({ left: [], alive: [] });
  },
  60_000,
);
