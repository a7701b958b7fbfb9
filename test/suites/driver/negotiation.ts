// From an unknown VF to a running one, by every kind of PF, and what happens when
// the PF is away, silent, or goes away meanwhile.

import { expect, it } from 'vitest';
import { DeviceError, MailboxError } from '../../../src/support/errors.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { mac } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

/** Opening may try three times, and a step of it may wait 1 s. */
const OPEN_LIMIT_US = 5_000_000;
const ADMIN_MAC = '02:aa:bb:cc:dd:ee';

export function negotiationTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it.each([
    { pf: 'linux-6.1', api: '1.4', queues: 4 },
    { pf: 'linux-7.3', api: '1.7', queues: 4 },
    { pf: 'dpdk', api: '1.3', queues: 8 },
  ] as const)(
    'a $pf PF gives its MAC, API $api and $queues queues, and frames flow',
    async (one) => {
      const rig = rigOf({ vfs: 2, pf: one.pf });
      const vf = await rig.open(0, 1);
      expect(vf.mac).toBe('02:09:c0:00:00:01');
      expect(vf.macAssigned).toBe(true);
      expect(vf.apiVersion).toBe(one.api);
      expect(vf.maxQueues).toBe(one.queues);
      rig.expectTraffic(vf);
    },
  );

  it.each(['linux-6.1', 'linux-7.3', 'dpdk'] as const)(
    "a MAC that the administrator of a %s PF set is the VF's",
    async (pf) => {
      const rig = rigOf({ vfs: 1, pf, macs: [Uint8Array.from(mac(ADMIN_MAC))] });
      const vf = await rig.open(0, 0);
      expect(vf.mac).toBe(ADMIN_MAC);
      expect(vf.macAssigned).toBe(true);
      rig.expectTraffic(vf);
    },
  );

  it.each(['linux-6.1', 'linux-7.3'] as const)(
    'where a %s PF assigned no MAC the VF takes a random local one, and the PF knows it',
    async (pf) => {
      const rig = rigOf({ vfs: 2, pf, macs: [null, null] });
      const first = await rig.open(0, 0);
      const second = await rig.open(0, 1);
      expect(first.macAssigned).toBe(false);
      expect(first.macBytes[0] & 3).toBe(2);
      expect(first.mac).not.toBe(second.mac);
      rig.expectTraffic(first);
      rig.expectTraffic(second);
    },
  );

  it('a dpdk PF that was given no MAC invents one, and the VF uses it', async () => {
    const rig = rigOf({ vfs: 1, pf: 'dpdk', macs: [null] });
    const vf = await rig.open(0, 0);
    expect(vf.mac).toBe('02:00:00:00:00:00');
    expect(vf.macAssigned).toBe(true);
    rig.expectTraffic(vf);
  });

  it('a MAC that the user chose is used where the PF assigned none', async () => {
    const rig = rigOf({ vfs: 1, macs: [null] });
    const vf = await rig.open(0, 0, { mac: ADMIN_MAC });
    expect(vf.mac).toBe(ADMIN_MAC);
    rig.expectTraffic(vf);
  });

  it('a MAC other than the assigned one is refused to an untrusted VF, and nothing stays open', async () => {
    const rig = rigOf({ vfs: 1 });
    await expect(rig.open(0, 0, { mac: ADMIN_MAC })).rejects.toMatchObject({
      name: 'MailboxError',
      request: 'SET_MAC_ADDR',
      failure: 'nack',
      message: expect.stringContaining(`PF refused ${ADMIN_MAC}`),
    });
    rig.expectTraffic(await rig.open(0, 0));
  });

  it('a trusted VF may choose its MAC, at open and later', async () => {
    const rig = rigOf({ vfs: 1, trusted: [true] });
    const vf = await rig.open(0, 0, { mac: ADMIN_MAC });
    expect(vf.mac).toBe(ADMIN_MAC);
    vf.setMac('02:00:00:00:00:42');
    expect(vf.mac).toBe('02:00:00:00:00:42');
    rig.expectTraffic(vf);
  });

  it('a PF that is down ends open in bounded time with what to do, and a PF that came up lets it pass', async () => {
    const rig = rigOf({ vfs: 1 });
    rig.harness.pf(0).goDown();
    const { clock } = rig.harness;
    const startUs = clock.nowUs();
    const error = await rig.open(0, 0).catch((reason: unknown) => reason);
    expect(clock.nowUs() - startUs).toBeLessThan(OPEN_LIMIT_US);
    expect(error).toBeInstanceOf(DeviceError);
    expect((error as DeviceError).register).toBe('VFMAILBOX.RSTI and RSTD');
    expect((error as DeviceError).message).toMatch(
      /wanted 0, .* after 1\d\d\d ms; the PF is being reset or is down/,
    );
    rig.harness.pf(0).comeUp();
    rig.expectTraffic(await rig.open(0, 0));
  });

  it('a PF that never answers ends open in bounded time and names the message', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.deaf = true;
    const { clock } = rig.harness;
    const startUs = clock.nowUs();
    const error = await rig.openDevice(device).catch((reason: unknown) => reason);
    expect(clock.nowUs() - startUs).toBeLessThan(OPEN_LIMIT_US);
    expect(error).toBeInstanceOf(MailboxError);
    expect(error).toMatchObject({ request: 'RESET', failure: 'timeout' });
    expect((error as MailboxError).message).toMatch(
      /no reply in 1 s; VFMAILBOX 0x.*is the PF's interface up/,
    );
    rig.expectTraffic(await rig.open(0, 0));
  });

  it('a PF that is back after 300 ms costs only the time', async () => {
    const rig = rigOf({ vfs: 1 });
    const pf = rig.harness.pf(0);
    pf.goDown();
    rig.harness.clock.after(300_000, () => pf.comeUp());
    rig.expectTraffic(await rig.open(0, 0));
  });

  it.each([
    ['RESET', 0x01],
    ['API_NEGOTIATE', 0x08],
    ['GET_QUEUES', 0x09],
    ['UPDATE_XCAST_MODE', 0x0c],
    ['SET_VLAN', 0x04],
    ['SET_LPE', 0x05],
    ['GET_LINK_STATE', 0x10],
  ])('a PF reset that swallows %s makes the VF start over, and it comes up', async (_, opcode) => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    let resets = 0;
    device.onRequest = (sent) => {
      if (sent === opcode && resets++ === 0) rig.harness.pf(0).reset();
    };
    const vf = await rig.openDevice(device);
    // Swallowed once, answered at least once afterwards.
    expect(resets).toBeGreaterThan(1);
    expect(device.requests.filter((sent) => sent === 0x01).length).toBe(2);
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, link: { up: true } });
    rig.expectTraffic(vf);
  });

  it('a port that resets again and again ends open with the reason', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.onRequest = (sent) => {
      if (sent === 0x08) rig.harness.pf(0).reset();
    };
    await expect(rig.openDevice(device)).rejects.toMatchObject({
      name: 'MailboxError',
      failure: 'reset',
      message: expect.stringMatching(/port was reset .*; restart the VF/),
    });
    expect(device.requests.filter((sent) => sent === 0x01).length).toBe(3);
  });

  it('a ping that destroys a request costs a repetition, not the VF', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    let pings = 0;
    device.onRequest = (sent) => {
      if (sent === 0x09 && pings++ === 0) rig.harness.pf(0).ping(0);
    };
    const vf = await rig.openDevice(device);
    expect(device.requests.filter((sent) => sent === 0x09).length).toBe(2);
    expect(device.requests.filter((sent) => sent === 0x01).length).toBe(1);
    rig.expectTraffic(vf);
  });
}
