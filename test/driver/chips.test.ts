// The driver's suite on the chips that came after the 82599.

import { parseSilicon } from '../../src/model/silicon.ts';
import { driverSuite } from '../suites/driver.ts';
import { directHarness } from '../support/driver-harness.ts';

driverSuite('on an X540', directHarness(false, { macType: 'x540' }));
// The driver uses one rx queue there.
driverSuite(
  'on an X550 whose RSS a driver before left on',
  directHarness(false, { macType: 'x550', silicon: parseSilicon('stale-mrqc') }),
  { rss: false },
);
