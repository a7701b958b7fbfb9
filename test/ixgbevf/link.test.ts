import { describe, expect, test } from 'vitest';
import { LinkMonitor, linkSpeedMbps } from '../../src/ixgbevf/link.ts';
import { Mailbox } from '../../src/ixgbevf/mailbox/mailbox.ts';
import { finish } from '../../src/support/poll.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

const VFLINKS = 0x0010;
const UP_10G = 0x70000000;
const DOWN = { up: false, speedMbps: 0, enabled: true };
const UP = { up: true, speedMbps: 10_000, enabled: true };

function setup(deviceId = 0x10ed): {
  device: ScriptedDevice;
  mailbox: Mailbox;
  monitor: LinkMonitor;
} {
  const device = new ScriptedDevice();
  device.deviceId = deviceId;
  const mailbox = new Mailbox(device, device.clock);
  // Any answered request leaves a word with CTS in the buffer.
  finish(mailbox.request([0x05, 1518], 1));
  device.words.set(VFLINKS, UP_10G);
  return { device, mailbox, monitor: new LinkMonitor(device, mailbox, device.clock) };
}

describe('down', () => {
  test('a link that is down at the start is down', () => {
    const { device, monitor } = setup();
    device.words.set(VFLINKS, 0x30000000);
    expect(monitor.check()).toEqual(DOWN);
  });

  test('on an 82599 one of six reads without the link bit means down', () => {
    for (let n = 0; n < 6; n++) {
      const { device, monitor } = setup();
      device.queued.set(VFLINKS, [...new Array<number>(n).fill(UP_10G), 0]);
      expect(monitor.check()).toEqual(DOWN);
    }
  });

  test('without CTS in the mailbox the link does not count as up', () => {
    const { device, monitor } = setup();
    device.words.set(0x0200, 0x05);
    expect(monitor.check()).toEqual(DOWN);
  });

  test('a PF reset counts as down and is remembered', () => {
    const { device, mailbox, monitor } = setup();
    monitor.check();
    device.control |= 0x80;
    expect(monitor.check()).toEqual(DOWN);
    expect(monitor.check()).toEqual(DOWN);
    expect(mailbox.lost).toContain('reset');
  });

  test('a ping without CTS counts as down and asks for a restart', () => {
    const { device, mailbox, monitor } = setup();
    monitor.check();
    device.deliver([0x00000100]);
    expect(monitor.check()).toEqual(DOWN);
    expect(mailbox.lost).toContain('withdrew');
  });

  test('a link that the host disabled is not up although the port is', () => {
    const { monitor } = setup();
    monitor.enabled = false;
    expect(monitor.check()).toEqual({ up: false, speedMbps: 10_000, enabled: false });
  });

  test('a device that is gone throws', () => {
    const { device, monitor } = setup();
    device.gone = true;
    expect(() => monitor.check()).toThrow(/gone/);
  });
});

describe('up', () => {
  test('an 82599 is believed after six reads over 500 us', () => {
    const { device, monitor } = setup();
    const before = device.clock.nowUs();
    device.queued.set(VFLINKS, new Array<number>(6).fill(UP_10G));
    device.words.set(VFLINKS, 0);
    expect(monitor.check()).toEqual(UP);
    expect(device.clock.nowUs() - before).toBe(500);
  });

  test('an X540 is believed at once', () => {
    const { device, monitor } = setup(0x1515);
    const before = device.clock.nowUs();
    device.queued.set(VFLINKS, [UP_10G]);
    device.words.set(VFLINKS, 0);
    expect(monitor.check()).toEqual(UP);
    expect(device.clock.nowUs()).toBe(before);
  });

  test('once confirmed one read is enough, until the PF pings', () => {
    const { device, monitor } = setup();
    monitor.check();
    const confirmed = device.clock.nowUs();
    expect(monitor.check()).toEqual(UP);
    expect(device.clock.nowUs()).toBe(confirmed);
    device.deliver([0x20000100]);
    expect(monitor.check()).toEqual(UP);
    expect(device.clock.nowUs()).toBe(confirmed + 500);
    expect(monitor.check()).toEqual(UP);
    expect(device.clock.nowUs()).toBe(confirmed + 500);
  });
});

test('speeds are decoded for the chip at hand', () => {
  const speeds: [links: number, deviceId: number, mbps: number][] = [
    [0x70000000, 0x10ed, 10_000],
    [0x60000000, 0x10ed, 1000],
    [0x50000000, 0x10ed, 100],
    [0x40000000, 0x10ed, 0],
    [0x78000000, 0x10ed, 10_000],
    [0x78000000, 0x1565, 2500],
    [0x58000000, 0x1565, 5000],
    [0x58000000, 0x15a8, 100],
    [0x40000000, 0x15a8, 10],
  ];
  for (const [links, deviceId, mbps] of speeds) {
    expect([links, deviceId, linkSpeedMbps(links, deviceId)]).toEqual([links, deviceId, mbps]);
  }
});
