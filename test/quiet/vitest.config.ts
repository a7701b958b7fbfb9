// `npm run test:quiet`: what has to have both processors for itself. Under other load V8 may be
// thrown back to code that is not optimised, in which every number is an object.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const countsFile = process.env.IXY_TEST_COUNTS;

export default defineConfig({
  root: at('../..'),
  resolve: { alias: { 'ixy.ts': at('../../src/index.ts') } },
  test: {
    include: ['test/quiet/**/*.test.ts', 'test/driver/steady.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    setupFiles: [at('../../scripts/test-watchdog.mjs')],
    reporters:
      countsFile === undefined
        ? ['default']
        : ['default', [at('../../scripts/test-counts.mjs'), { file: countsFile }]],
  },
});
