import { expect, test } from 'vitest';
import { scaled } from '../../../src/cli/run/scaled.ts';

test.each([
  [0, '0 pps'],
  [0.25, '0.25 pps'],
  [5, '5 pps'],
  [999.4, '999 pps'],
  [999.6, '1.00 kpps'],
  [1000, '1.00 kpps'],
  [812_345, '812 kpps'],
  [999_999, '1.00 Mpps'],
  [14_880_952, '14.9 Mpps'],
])('%d frames a second are %s', (rate, text) => {
  expect(scaled(rate, 'pps')).toBe(text);
});

test.each([
  [3360, '3.36 kbit/s'],
  [672_000, '672 kbit/s'],
  [9_999_999_999, '10.0 Gbit/s'],
  [2e15, '2.00e+3 Tbit/s'],
])('%d bits a second are %s', (rate, text) => {
  expect(scaled(rate, 'bit/s')).toBe(text);
});
