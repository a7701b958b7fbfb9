// What the driver must do on any backend, with a model behind it that a test can
// move and look into. Sections are in test/suites/driver/; what every test ends
// with is in rig.ts there.

import { describe } from 'vitest';
import type { MakeHarness } from '../support/driver-harness.ts';
import { filterTests } from './driver/filters.ts';
import { frameTests } from './driver/frames.ts';
import { metadataTests } from './driver/metadata.ts';
import { negotiationTests } from './driver/negotiation.ts';
import { portResetTests } from './driver/port-resets.ts';
import { recoveryTests } from './driver/recovery.ts';
import { recoveryAndUserTests } from './driver/recovery-and-user.ts';
import { refusedMessageTests } from './driver/refused-messages.ts';
import { ringTests } from './driver/rings.ts';
import { selfRecoveryTests } from './driver/self-recovery.ts';
import { statisticsTests } from './driver/statistics.ts';
import { trafficClassTests } from './driver/traffic-classes.ts';

/**
 * Runs the driver's suite on a backend.
 * @param rss false: the driver uses one rx queue there, so what needs several is left out
 */
export function driverSuite(name: string, make: MakeHarness, { rss = true } = {}): void {
  describe(name, () => {
    describe('negotiation', () => negotiationTests(make));
    describe('refused messages', () => refusedMessageTests(make, rss));
    describe('rings', () => ringTests(make, rss));
    describe('metadata', () => metadataTests(make, rss));
    describe('frames', () => frameTests(make));
    describe('filters', () => filterTests(make));
    describe.runIf(rss)('traffic classes', () => trafficClassTests(make));
    describe('statistics', () => statisticsTests(make));
    describe('port resets', () => portResetTests(make));
    describe('recovery', () => recoveryTests(make));
    describe('self-recovery', () => selfRecoveryTests(make));
    describe('self-recovery and its user', () => recoveryAndUserTests(make, rss));
  });
}
