// The driver's suite under every second mode of `--silicon`, in process; the others are modes-2.test.ts, so that two
// processors share the work. Combinations are `npm run test:silicon`.

import { driverSuite } from '../suites/driver.ts';
import { harnessOf, SINGLE_MODES } from '../support/silicon-modes.ts';

for (const [i, mode] of SINGLE_MODES.entries()) {
  if (i % 2 === 0) driverSuite(`--silicon ${mode}`, harnessOf(mode));
}
