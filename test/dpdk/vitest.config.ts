// `npm run test:dpdk`: Debian's DPDK on the model. Apart from npm test because it fetches packages
// and takes both processors for a while.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const countsFile = process.env.IXY_TEST_COUNTS;

export default defineConfig({
  root: at('../..'),
  test: {
    include: ['test/dpdk/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 200_000,
    hookTimeout: 600_000,
    reporters:
      countsFile === undefined
        ? ['default']
        : ['default', [at('../../scripts/test-counts.mjs'), { file: countsFile }]],
  },
});
