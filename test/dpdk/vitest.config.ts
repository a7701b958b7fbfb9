// `npm run test:dpdk`: Debian's DPDK on the model. Apart from npm test because it fetches packages
// and takes both processors for a while.

import { runApart } from '../../vitest.config.ts';

export default runApart({
  include: ['test/dpdk/**/*.test.ts'],
  testTimeout: 200_000,
  // Packages are fetched before the first test.
  hookTimeout: 600_000,
});
