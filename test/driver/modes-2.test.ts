import { driverSuite } from '../suites/driver.ts';
import { harnessOf, SINGLE_MODES } from '../support/silicon-modes.ts';

for (const [i, mode] of SINGLE_MODES.entries()) {
  if (i % 2 === 1) driverSuite(`--silicon ${mode}`, harnessOf(mode));
}
