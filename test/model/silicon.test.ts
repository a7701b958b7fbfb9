// The modes of the chip as they are written, and the device ids of its kin.

import { expect, it } from 'vitest';
import { CONFIG_DEVICE_ID } from '../../src/hw/pci.ts';
import { createModel } from '../../src/model/local-model.ts';
import { DEFAULT_SILICON, parseSilicon } from '../../src/model/silicon.ts';

it.each([
  ['rstd=none', { rstdUs: -1 }],
  ['rstd=now', { rstdUs: 0 }],
  ['rstd=late:60', { rstdUs: 60 }],
  ['late-dma=90', { lateDmaUs: 90 }],
  ['ungranted=0', { ungranted: 'zero' }],
  ['ungranted=ones', { ungranted: 'ones' }],
  ['ungranted=enable', { ungranted: 'enable' }],
  ['vfte=ties-enable', { vfteTiesEnable: true }],
  ['hide-vlan=on', { hideVlan: true }],
  ['hide-vlan=off', { hideVlan: false }],
  ['stale-mrqc', { staleMrqc: true }],
  ['enable-lag=10', { enableLagUs: 10 }],
  ['reset-lag=1000000', { resetLagUs: 1_000_000 }],
  ['mbx-lag=5', { mailboxLagUs: 5 }],
  ['msix-lost', { msixLost: true }],
  ['rstd=late:20,msix-lost', { rstdUs: 20, msixLost: true }],
])('reads %s', (text, set) => {
  expect(parseSilicon(text)).toEqual({ ...DEFAULT_SILICON, ...set });
});

it.each([
  ['', /^silicon: expected rstd=none\|now\|late:US, late-dma=US.*got ''$/],
  ['constructor', /^silicon: expected .* got 'constructor'$/],
  ['rstd=later', /^silicon rstd: expected none, now or late:US, got 'rstd=later'$/],
  ['rstd=late:', /^silicon rstd/],
  ['late-dma=1000001', /^silicon late-dma: expected US, got/],
  ['late-dma=-1', /^silicon late-dma/],
  ['msix-lost=1', /^silicon msix-lost: expected no value/],
  ['hide-vlan', /^silicon hide-vlan: expected on or off, got 'hide-vlan'$/],
])('refuses %s', (text, message) => {
  expect(() => parseSilicon(text)).toThrow(RangeError);
  expect(() => parseSilicon(text)).toThrow(message);
});

it.each([
  ['82599', 0x10ed],
  ['x540', 0x1515],
  ['x550', 0x1565],
] as const)('has the device id of an %s', (macType, id) => {
  using model = createModel({ ports: [{ vfs: 1 }], macType });
  const device = model.device(0, 0);
  expect(device.deviceId).toBe(id);
  expect(device.readConfig16(CONFIG_DEVICE_ID)).toBe(id);
  device.close();
});
