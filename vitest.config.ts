// Tests that need no VM and no DPDK. Each file runs in a process of its own: the arena and the
// native shim's state are one a process. dist has to be built (`pretest` does), since Workers and
// spawned commands run it.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const countsFile = process.env.IXY_TEST_COUNTS;

export default defineConfig({
  resolve: { alias: { 'ixy.ts': at('./src/index.ts') } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/vm/**', 'test/dpdk/**', 'test/quiet/**', 'node_modules/**'],
    pool: 'forks',
    // Most of the time goes into waiting for child processes; the default leaves one worker on two CPUs.
    maxWorkers: 2,
    isolate: true,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    setupFiles: [at('./scripts/test-watchdog.mjs')],
    reporters:
      countsFile === undefined
        ? ['default']
        : ['default', [at('./scripts/test-counts.mjs'), { file: countsFile }]],
  },
});
