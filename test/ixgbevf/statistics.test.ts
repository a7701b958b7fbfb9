import { expect, test } from 'vitest';
import { Statistics } from '../../src/ixgbevf/statistics.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

const GPRC = 0x101c;
const GORC_LSB = 0x1020;
const GORC_MSB = 0x1024;
const MPRC = 0x1034;
const GPTC = 0x201c;
const GOTC_LSB = 0x2020;
const GOTC_MSB = 0x2024;

function setup(values: [number, number][]): { device: ScriptedDevice; statistics: Statistics } {
  const device = new ScriptedDevice();
  for (const [offset, value] of values) device.words.set(offset, value);
  const statistics = new Statistics(device);
  statistics.rebase();
  return { device, statistics };
}

test('a device that is gone throws instead of counting all ones, and the totals stay', () => {
  const { device, statistics } = setup([[GPRC, 5]]);
  device.words.set(GPRC, 8);
  statistics.update();
  device.gone = true;
  expect(() => statistics.update()).toThrow(/gone/);
  expect(statistics.values.rxPackets).toBe(3);
});

test('what was counted before the device was opened does not count', () => {
  const { statistics } = setup([
    [GPRC, 1000],
    [GORC_LSB, 64_000],
    [MPRC, 3],
    [GPTC, 2000],
    [GOTC_LSB, 128_000],
  ]);
  expect(statistics.update()).toEqual({
    rxPackets: 0,
    rxBytes: 0,
    rxMulticast: 0,
    txPackets: 0,
    txBytes: 0,
  });
});

test('each register goes to its own total, and bytes are without the 4 bytes of CRC a packet', () => {
  const { device, statistics } = setup([]);
  device.words.set(GPRC, 2);
  device.words.set(GORC_LSB, 128);
  device.words.set(MPRC, 1);
  device.words.set(GPTC, 3);
  device.words.set(GOTC_LSB, 300);
  expect(statistics.update()).toEqual({
    rxPackets: 2,
    rxBytes: 120,
    rxMulticast: 1,
    txPackets: 3,
    txBytes: 288,
  });
});

test('packet counters wrap at 32 bits', () => {
  const { device, statistics } = setup([
    [GPRC, 0xfffffffe],
    [MPRC, 0xffffffff],
    [GPTC, 0xffffff00],
  ]);
  device.words.set(GPRC, 1);
  device.words.set(MPRC, 0);
  device.words.set(GPTC, 0x100);
  expect(statistics.update()).toMatchObject({ rxPackets: 3, rxMulticast: 1, txPackets: 0x200 });
});

test('octet counters carry into their 4 high bits and wrap at 36 bits', () => {
  const { device, statistics } = setup([
    [GORC_LSB, 0xffffffff],
    [GORC_MSB, 0x2],
    [GOTC_LSB, 0xfffffff0],
    [GOTC_MSB, 0xf],
  ]);
  device.words.set(GORC_LSB, 9);
  device.words.set(GORC_MSB, 0x3);
  device.words.set(GOTC_LSB, 0x10);
  device.words.set(GOTC_MSB, 0x0);
  expect(statistics.update()).toMatchObject({ rxBytes: 10, txBytes: 0x20 });
});

test('the upper 28 bits of an octet MSB are not counted', () => {
  const { device, statistics } = setup([]);
  device.words.set(GORC_MSB, 0xfffffff1);
  expect(statistics.update().rxBytes).toBe(2 ** 32);
});

test('a carry between the two reads of an octet counter is not counted as 4 GiB', () => {
  const { device, statistics } = setup([[GORC_LSB, 0xffffff00]]);
  // LSB just before the carry, then MSB after it: the LSB has to be read again.
  device.queued.set(GORC_LSB, [0xfffffff0]);
  device.words.set(GORC_LSB, 0x100);
  device.words.set(GORC_MSB, 1);
  expect(statistics.update().rxBytes).toBe(0x200);
});

test('bytes do not run backwards when packets are seen before their octets', () => {
  const { device, statistics } = setup([]);
  device.words.set(GPRC, 10);
  device.words.set(GORC_LSB, 640);
  expect(statistics.update().rxBytes).toBe(600);
  device.words.set(GPRC, 11);
  expect(statistics.update().rxBytes).toBe(600);
});

test('a new baseline after a reset keeps the totals', () => {
  const { device, statistics } = setup([]);
  device.words.set(GPRC, 7);
  statistics.update();
  device.words.set(GPRC, 0);
  statistics.rebase();
  device.words.set(GPRC, 2);
  expect(statistics.update().rxPackets).toBe(9);
});
