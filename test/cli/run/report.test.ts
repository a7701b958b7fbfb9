import { expect, test } from 'vitest';
import { type DeviceReport, deviceLine } from '../../../src/cli/run/report.ts';

const device = (rxPackets: number, txPackets: number): DeviceReport => ({
  device: 'model:0.0',
  link: true,
  rxPackets,
  rxBytes: rxPackets * 60,
  txPackets,
  txBytes: txPackets * 60,
  rxMpps: 0,
  txMpps: 0,
  txDropped: 0,
  rxMissed: null,
  restarts: 0,
  lost: 0,
});

test('a device with little to do shows what it does', () => {
  expect(deviceLine(device(15, 30_000_010), device(10, 10), 1)).toBe(
    '[model:0.0] RX: 5 pps, 3.36 kbit/s; TX: 30.0 Mpps, 20.2 Gbit/s',
  );
});

test('rates without a time in which to count are 0', () => {
  expect(deviceLine(device(1, 1), undefined, 0)).toBe(
    '[model:0.0] RX: 0 pps, 0 bit/s; TX: 0 pps, 0 bit/s',
  );
});
