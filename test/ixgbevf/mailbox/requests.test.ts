import { describe, expect, test } from 'vitest';
import { Mailbox } from '../../../src/ixgbevf/mailbox/mailbox.ts';
import {
  linkEnabled,
  multicastHash,
  negotiateApi,
  queueGrant,
  requestMac,
  requestMaxFrame,
  requestMulticast,
  requestVlan,
  requestXcastMode,
  resetRequest,
} from '../../../src/ixgbevf/mailbox/requests.ts';
import { finish } from '../../../src/support/poll.ts';
import { linuxPf, ScriptedDevice, type ScriptedPf } from '../../support/scripted-device.ts';

function setup(pf: ScriptedPf): { device: ScriptedDevice; mailbox: Mailbox } {
  const device = new ScriptedDevice();
  device.pf = pf;
  return { device, mailbox: new Mailbox(device, device.clock) };
}

const refuse: ScriptedPf = (words) => [(words[0] | 0x60000000) >>> 0];
const mac = Uint8Array.of(0x02, 0x09, 0xc0, 0x11, 0x22, 0x33);

describe('NACKs', () => {
  test('RESET accepts 0x80000001 and 0x40000001 and nothing else', () => {
    for (const word of [0xa0000001, 0x60000001, 0xc0000001, 0x80010001]) {
      const { mailbox } = setup(() => [word, 0, 0, 0]);
      expect(() => finish(resetRequest(mailbox))).toThrow(/expected 0x80000001 or 0x40000001/);
    }
  });

  test('SET_MAC_ADDR refused says which address and what to do on the host', () => {
    const { mailbox } = setup(refuse);
    expect(() => finish(requestMac(mailbox, mac))).toThrow(/02:09:c0:11:22:33.*ip link set/);
  });

  test('SET_LPE refused says the size and that receive stays off', () => {
    const { mailbox } = setup(refuse);
    expect(() => finish(requestMaxFrame(mailbox, 9000))).toThrow(
      /9000 bytes and keeps receive off/,
    );
  });

  test('API_NEGOTIATE refused throughout means 1.0', () => {
    const { mailbox } = setup(refuse);
    expect(finish(negotiateApi(mailbox))).toBe('1.0');
  });

  test('GET_QUEUES refused means one queue', () => {
    const { mailbox } = setup(refuse);
    expect(finish(queueGrant(mailbox))).toMatchObject({
      rxQueues: 1,
      txQueues: 1,
      defaultQueue: 0,
    });
  });

  test('UPDATE_XCAST_MODE, SET_VLAN and SET_MULTICAST refused are told by the return value', () => {
    const { mailbox } = setup(refuse);
    expect(finish(requestXcastMode(mailbox, 1))).toBeUndefined();
    expect(finish(requestVlan(mailbox, 5, true))).toBe(false);
    expect(finish(requestMulticast(mailbox, [], 0))).toBe(false);
  });

  test('GET_LINK_STATE refused counts as enabled', () => {
    const { mailbox } = setup(refuse);
    expect(finish(linkEnabled(mailbox))).toBe(true);
  });
});

test('RESET is one word; its reply gives the MAC in wire order and the hash type', () => {
  const { device, mailbox } = setup(() => [0x80000001, 0x11c00902, 0x3322, 2]);
  expect(finish(resetRequest(mailbox))).toEqual({ mac, filterType: 2 });
  expect(device.messages).toEqual([[0x01]]);
});

test('RESET answered with a NACK registers without a MAC', () => {
  const { mailbox } = setup(() => [0x40000001, 0, 0, 1]);
  expect(finish(resetRequest(mailbox))).toEqual({ mac: undefined, filterType: 1 });
});

test('API versions are offered newest first, without 1.5, until one is taken', () => {
  const { device, mailbox } = setup(linuxPf({ apiCode: 2 }));
  expect(finish(negotiateApi(mailbox))).toBe('1.1');
  expect(device.messages.map((words) => words[1])).toEqual([8, 7, 5, 4, 3, 2]);
});

test('the newest version is taken from a PF that has it', () => {
  const { mailbox } = setup((words) => [(words[0] | 0xa0000000) >>> 0]);
  expect(finish(negotiateApi(mailbox))).toBe('1.7');
});

test('GET_QUEUES clamps as Linux does: 0 or more than 8 are 8, a default queue out of range is 0', () => {
  const grants: [number[], object][] = [
    [[4, 2, 0, 3], { txQueues: 4, rxQueues: 2, defaultQueue: 3 }],
    [[0, 0, 0, 0], { txQueues: 8, rxQueues: 8, defaultQueue: 0 }],
    [[9, 16, 0, 8], { txQueues: 8, rxQueues: 8, defaultQueue: 0 }],
    [[4, 4, 1, 12], { txQueues: 4, rxQueues: 4, defaultQueue: 0, trafficClasses: 1 }],
  ];
  for (const [payload, expected] of grants) {
    const { mailbox } = setup(() => [0xa0000009, ...payload]);
    expect(finish(queueGrant(mailbox))).toMatchObject(expected);
  }
});

test('messages carry their arguments where the PF looks for them', () => {
  const { device, mailbox } = setup(linuxPf());
  finish(requestMac(mailbox, mac));
  finish(requestMaxFrame(mailbox, 1518));
  finish(requestVlan(mailbox, 100, true));
  finish(requestVlan(mailbox, 100, false));
  expect(finish(requestXcastMode(mailbox, 1))).toBe(1);
  expect(device.messages).toEqual([
    [0x02, 0x11c00902, 0x3322],
    [0x05, 1518],
    [0x00010004, 100],
    [0x04, 100],
    [0x0c, 1],
  ]);
});

test('the effective cast mode is what the PF says, not what was asked for', () => {
  const { mailbox } = setup(() => [0xa000000c, 1]);
  expect(finish(requestXcastMode(mailbox, 2))).toBe(1);
});

test('multicast hashes take the twelve bits of their filter type', () => {
  const group = Uint8Array.of(0x01, 0x00, 0x5e, 0x00, 0xab, 0xcd);
  expect([0, 1, 2, 3].map((type) => multicastHash(group, type))).toEqual([
    0xcda, 0x9b5, 0x36a, 0xdab,
  ]);
});

test('SET_MULTICAST is 16 words, hashes two a word, low half first, count in bits 23:16', () => {
  const { device, mailbox } = setup(linuxPf());
  const groups = [1, 2, 3].map((last) => Uint8Array.of(0x01, 0, 0x5e, 0, 0, last << 4));
  finish(requestMulticast(mailbox, groups, 0));
  expect(device.messages[0]).toHaveLength(16);
  expect(device.messages[0].slice(0, 4)).toEqual([0x00030003, 0x02000100, 0x00000300, 0]);
});

test('GET_LINK_STATE 0 means the host disabled the link', () => {
  const { mailbox } = setup(linuxPf({ linkEnabled: false }));
  expect(finish(linkEnabled(mailbox))).toBe(false);
});
