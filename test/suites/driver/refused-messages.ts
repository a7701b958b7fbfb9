// Each message that a VF sends, answered with NACK: what the VF can live without
// it does without, the rest ends with a typed error, and the VF stays what it was.

import { expect, it } from 'vitest';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, idOf } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const SET_MAC_ADDR = 0x02;
const SET_MULTICAST = 0x03;
const SET_VLAN = 0x04;
const SET_LPE = 0x05;
const API_NEGOTIATE = 0x08;
const GET_QUEUES = 0x09;
const UPDATE_XCAST_MODE = 0x0c;
const GET_LINK_STATE = 0x10;

export function refusedMessageTests(make: MakeHarness, rss: boolean): void {
  const rigOf = useRigs(make);
  const itSpreads = it.skipIf(!rss);

  it('RESET answered with NACK means that no MAC was assigned', async () => {
    const rig = rigOf({ vfs: 1, macs: [null] });
    const device = rig.tampered(0, 0);
    device.refused.add(0x01);
    const vf = await rig.openDevice(device);
    expect(vf.macAssigned).toBe(false);
  });

  it('API_NEGOTIATE refused for every version leaves API 1.0 with one queue, and frames flow', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.refused.add(API_NEGOTIATE);
    const vf = await rig.openDevice(device);
    expect(vf.apiVersion).toBe('1.0');
    expect(vf.maxQueues).toBe(1);
    expect(device.requests).not.toContain(GET_QUEUES);
    expect(device.requests).not.toContain(UPDATE_XCAST_MODE);
    expect(device.requests).not.toContain(GET_LINK_STATE);
    rig.inject(0, frame({ dst: VF0, id: 1 }));
    expect(rig.receive(vf).map(idOf)).toEqual([1]);
  });

  it.each([
    ['GET_QUEUES', GET_QUEUES],
    ['UPDATE_XCAST_MODE', UPDATE_XCAST_MODE],
    ['GET_LINK_STATE', GET_LINK_STATE],
    ['SET_VLAN of VLAN 0', SET_VLAN],
  ])('%s refused at open costs nothing that one queue needs', async (_, opcode) => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.refused.add(opcode);
    const vf = await rig.openDevice(device);
    expect(device.requests).toContain(opcode);
    expect(vf.link()).toEqual({ up: true, speedMbps: 10_000, enabled: true });
    rig.inject(0, frame({ dst: VF0, id: 2 }));
    expect(rig.receive(vf).map(idOf)).toEqual([2]);
  });

  itSpreads(
    'GET_QUEUES refused leaves one queue, and two are refused with the number granted',
    async () => {
      const rig = rigOf({ vfs: 1 });
      const device = rig.tampered(0, 0);
      device.refused.add(GET_QUEUES);
      await expect(rig.openDevice(device, { rxQueues: 2 })).rejects.toThrow(
        /rxQueues: expected at most 1, which is what the PF grants model:0.0, got 2/,
      );
    },
  );

  it('SET_MAC_ADDR refused ends open', async () => {
    const rig = rigOf({ vfs: 1, macs: [null] });
    const device = rig.tampered(0, 0);
    device.refused.add(SET_MAC_ADDR);
    await expect(rig.openDevice(device)).rejects.toMatchObject({
      name: 'MailboxError',
      request: 'SET_MAC_ADDR',
      failure: 'nack',
    });
  });

  it('SET_MAC_ADDR refused later leaves the MAC as it was, also over a restart', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    expect(() => vf.setMac('02:00:00:00:00:42')).toThrow(
      /SET_MAC_ADDR: nack: PF refused 02:00:00:00:00:42/,
    );
    expect(vf.mac).toBe(VF0);
    vf.restart();
    expect(vf.mac).toBe(VF0);
  });

  it('SET_LPE refused by a PF without jumbo frames ends open and says what to raise', async () => {
    const rig = rigOf({ vfs: 1 });
    const opening = rig.open(0, 0, { maxFrame: 9018 });
    if (rig.harness.macType !== '82599') {
      // The rule is the 82599's: its successors limit the frames of each VF by itself.
      expect((await opening).maxFrame).toBe(9018);
      return;
    }
    await expect(opening).rejects.toMatchObject({
      name: 'MailboxError',
      request: 'SET_LPE',
      failure: 'nack',
      message: expect.stringMatching(/frames of 9018 bytes .* MTU to at least 9000/),
    });
  });

  it('SET_LPE refused on the way ends open as well', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.refused.add(SET_LPE);
    await expect(rig.openDevice(device)).rejects.toMatchObject({ request: 'SET_LPE' });
  });

  it('SET_VLAN refused because the host chose a VLAN names that, and the VF is in no new one', async () => {
    const rig = rigOf({ vfs: 1, portVlans: [7] });
    const vf = await rig.open(0, 0);
    expect(() => vf.addVlan(5)).toThrow(
      /SET_VLAN: nack: PF refused: the host put this VF into a VLAN/,
    );
    expect(vf.vlans).toEqual([]);
  });

  it('leaving a VLAN refused keeps it', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    vf.addVlan(5);
    device.refused.add(SET_VLAN);
    expect(() => vf.removeVlan(5)).toThrow(/SET_VLAN: nack/);
    expect(vf.vlans).toEqual([5]);
  });

  it('SET_MULTICAST refused is an error, and a restart does not ask for that group again', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    device.refused.add(SET_MULTICAST);
    expect(() => vf.joinMulticast('01:00:5e:00:00:05')).toThrow(/SET_MULTICAST: nack/);
    device.requests.splice(0);
    vf.restart();
    expect(device.requests).not.toContain(SET_MULTICAST);
  });

  it('a refusal with the registration gone is a reset, not a NACK', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).setTrust(0, true);
    expect(() => vf.addVlan(5)).toThrow(/SET_VLAN: reset: .*restart the VF/);
    expect(vf.vlans).toEqual([]);
    vf.restart();
    vf.addVlan(5);
    expect(vf.vlans).toEqual([5]);
  });
}
