import { driverSuite } from '../suites/driver.ts';
import { combinations, drawn } from '../support/silicon-modes.ts';

const { seed, count } = drawn();
for (const [i, { name, make, rss }] of combinations(seed, count).entries()) {
  if (i % 2 === 0) driverSuite(name, make, { rss });
}
