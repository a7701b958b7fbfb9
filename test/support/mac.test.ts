import { expect, test } from 'vitest';
import {
  formatMac,
  macFromWords,
  macToWords,
  parseMac,
  parseStationMac,
  randomMac,
} from '../../src/support/mac.ts';

test('text that is not six hex pairs is a TypeError that shows it', () => {
  for (const text of ['', '02:00:00:00:00', '02:00:00:00:00:0g', '020000000001', '2:0:0:0:0:1']) {
    expect(() => parseMac('mac', text)).toThrow(TypeError);
  }
  expect(() => parseMac('mac', 'nonsense')).toThrow('got nonsense');
});

test('group addresses and zero are no station addresses', () => {
  expect(() => parseStationMac('mac', '01:00:5e:00:00:01')).toThrow(RangeError);
  expect(() => parseStationMac('mac', 'ff:ff:ff:ff:ff:ff')).toThrow(RangeError);
  expect(() => parseStationMac('mac', '00:00:00:00:00:00')).toThrow(RangeError);
});

test('byte 0 travels in the low byte of the first word, byte 4 in the low byte of the second', () => {
  const mac = parseMac('mac', '02:09:C0:aa:bb:cc');
  expect(macToWords(mac)).toEqual([0xaac00902, 0xccbb]);
  expect(formatMac(macFromWords(0xaac00902, 0xffffccbb))).toBe('02:09:c0:aa:bb:cc');
});

test('random addresses are unicast, locally administered and differ', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const mac = randomMac();
    expect(mac).toHaveLength(6);
    expect(mac[0] & 0x03).toBe(0x02);
    seen.add(formatMac(mac));
  }
  expect(seen.size).toBe(50);
});
