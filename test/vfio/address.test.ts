// PCI addresses as people write them and as sysfs has them.

import { expect, test } from 'vitest';
import { addRoutingId, parseAddress, pciAddress } from '../../src/vfio/address.ts';

test.each([
  '',
  '03:10',
  '3:10.0',
  '003:03:10.0',
  '100000000:03:10.0',
  '03:20.0',
  '03:10.8',
  'eth0',
])('"%s" is no PCI address', (text) => {
  expect(pciAddress(text)).toBeUndefined();
});

test.each([
  ['03:10.0', '0000:03:10.0'],
  ['0001:AF:1f.7', '0001:af:1f.7'],
  // Behind Intel's VMD domains start at 0x10000.
  ['10000:e1:00.0', '10000:e1:00.0'],
  ['deadbeef:00:00.0', 'deadbeef:00:00.0'],
])('%s is %s in full', (text, full) => {
  expect(pciAddress(text)).toBe(full);
  expect(parseAddress(text)).toEqual({ kind: 'pci', pci: full });
});

test('VFs are counted from their PF by routing id, over devices and buses', () => {
  expect(addRoutingId('0000:03:00.0', 128)).toBe('0000:03:10.0');
  expect(addRoutingId('0000:03:00.1', 128 + 7 * 2)).toBe('0000:03:11.7');
  expect(addRoutingId('10000:03:00.0', 256 + 9)).toBe('10000:04:01.1');
});
