import { expect, test } from 'vitest';
import { Filters } from '../../../src/ixgbevf/mailbox/filters.ts';
import type { Registration } from '../../../src/ixgbevf/mailbox/handshake.ts';
import { Mailbox } from '../../../src/ixgbevf/mailbox/mailbox.ts';
import type { Log } from '../../../src/support/log.ts';
import { finish } from '../../../src/support/poll.ts';
import { linuxPf, ScriptedDevice } from '../../support/scripted-device.ts';

const registration: Registration = {
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  macAssigned: true,
  apiVersion: '1.4',
  filterType: 0,
  rxQueues: 2,
  txQueues: 2,
  trafficClasses: 0,
  defaultQueue: 0,
};

class Warnings implements Log {
  readonly lines: string[] = [];
  debug(): void {}
  info(): void {}
  warn(message: string): void {
    this.lines.push(message);
  }
}

function setup(): { device: ScriptedDevice; mailbox: Mailbox; filters: Filters; log: Warnings } {
  const device = new ScriptedDevice();
  const mailbox = new Mailbox(device, device.clock);
  return { device, mailbox, filters: new Filters(), log: new Warnings() };
}

test('VLAN ids outside 1 to 4094 are refused without a message', () => {
  const { device, mailbox, filters } = setup();
  for (const vlan of [0, 4095, -1, 1.5]) {
    expect(() => filters.addVlan(mailbox, vlan)).toThrow(RangeError);
  }
  expect(device.messages).toEqual([]);
});

test('a VLAN the PF refuses is not kept', () => {
  const { device, mailbox, filters } = setup();
  device.pf = linuxPf({ nack: [0x04] });
  expect(() => filters.addVlan(mailbox, 7)).toThrow(/SET_VLAN: nack/);
  expect(filters.vlanIds).toEqual([]);
});

test('addresses that are no groups are refused', () => {
  const { mailbox, filters } = setup();
  expect(() => filters.joinMulticast(mailbox, '02:00:00:00:00:01', 0)).toThrow(RangeError);
  expect(() => filters.joinMulticast(mailbox, 'all', 0)).toThrow(TypeError);
});

test('a 31st group is refused and the 30 stay', () => {
  const { device, mailbox, filters } = setup();
  const group = (i: number): string => `01:00:5e:00:00:${i.toString(16).padStart(2, '0')}`;
  for (let i = 0; i < 30; i++) filters.joinMulticast(mailbox, group(i), 0);
  expect(() => filters.joinMulticast(mailbox, group(30), 0)).toThrow(/at most 30/);
  expect(device.messages).toHaveLength(30);
  expect(device.messages[29][0]).toBe(0x001e0003);
});

test('a restored VF has its cast mode, groups, VLAN 0 and VLANs again', () => {
  const { device, mailbox, filters, log } = setup();
  filters.addVlan(mailbox, 20);
  filters.addVlan(mailbox, 10);
  filters.addVlan(mailbox, 30);
  filters.removeVlan(mailbox, 30);
  filters.joinMulticast(mailbox, '01:00:5e:00:00:01', 0);
  device.messages.length = 0;
  finish(filters.restore(mailbox, registration, log));
  expect(device.messages.map((words) => words.slice(0, 2))).toEqual([
    [0x0c, 1],
    [0x00010003, 0x010],
    [0x00010004, 0],
    [0x00010004, 10],
    [0x00010004, 20],
  ]);
  expect(log.lines).toEqual([]);
});

test('API 1.1 has no cast mode', () => {
  const { device, mailbox, filters, log } = setup();
  finish(filters.restore(mailbox, { ...registration, apiVersion: '1.1' }, log));
  expect(device.opcodes()).toEqual([0x04]);
});

test('a cast mode less than asked for, and a VLAN lost in a restart, are logged and do not fail it', () => {
  const { device, mailbox, filters, log } = setup();
  filters.addVlan(mailbox, 10);
  device.pf = (words) => {
    if (words[0] === 0x0c) return [0xa000000c, 0];
    return [(words[0] | (words[1] === 10 ? 0x60000000 : 0xa0000000)) >>> 0];
  };
  finish(filters.restore(mailbox, registration, log));
  expect(log.lines).toHaveLength(2);
  expect(log.lines[0]).toContain('cast mode 0');
  expect(log.lines[1]).toContain('VLAN 10');
});
