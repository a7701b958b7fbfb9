import { driverSuite } from '../suites/driver.ts';
import { harnessOf, singleModes } from '../support/silicon-modes.ts';

for (const mode of singleModes(4, 4)) driverSuite(`--silicon ${mode}`, harnessOf(mode));
