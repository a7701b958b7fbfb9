// `npm run test:silicon`: the driver's suite on combinations of what a chip may do. Half of them a file, so that two
// processors share the work.

import { mergeConfig } from 'vitest/config';
import { runApart } from '../../vitest.config.ts';

export default mergeConfig(
  runApart({
    include: ['test/silicon/**/*.test.ts'],
    testTimeout: 60_000,
  }),
  { test: { fileParallelism: true, maxWorkers: 2 } },
);
