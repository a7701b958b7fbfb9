import { driverSuite } from '../suites/driver.ts';
import { vfioUserHarness } from '../support/driver-harness.ts';

driverSuite('over vfio-user, BAR pages shared', vfioUserHarness(false));
driverSuite('over vfio-user, all of the BAR trapped', vfioUserHarness(true));
