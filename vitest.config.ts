// Tests that need no VM and no DPDK. Each file runs in a process of its own: the arena and the
// native shim's state are one a process. dist has to be built (`pretest` does), since Workers and
// spawned commands run it.

import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vitest/config';

const root = fileURLToPath(new URL('.', import.meta.url));
const countsFile = process.env.IXY_TEST_COUNTS;

/** What `npm test` and the runs apart from it have in common. */
const common = defineConfig({
  root,
  resolve: { alias: { 'ixy.ts': `${root}src/index.ts` } },
  test: {
    pool: 'forks',
    isolate: true,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    setupFiles: ['./test/support/seed.mjs'],
    reporters:
      countsFile === undefined
        ? ['default']
        : ['default', ['./test/support/counts-reporter.mjs', { file: countsFile }]],
  },
});

/** The configuration of a run apart from `npm test`: the same, but one file after the other. */
export function runApart(test: NonNullable<typeof common.test>): typeof common {
  return mergeConfig(common, { test: { fileParallelism: false, ...test } });
}

export default mergeConfig(common, {
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/vm/**', 'test/dpdk/**', 'test/quiet/**', 'test/silicon/**', 'node_modules/**'],
    // Most of the time goes into waiting for child processes; the default leaves one worker on two CPUs.
    maxWorkers: 2,
    testTimeout: 30_000,
    setupFiles: ['./test/support/watchdog.mjs'],
  },
});
