// What a VF receives besides its own MAC, and what the host adds or takes away:
// VLANs, port VLAN, multicast groups, the lack of promiscuous mode.

import { expect, it } from 'vitest';
import { RX_FLAGS } from '../../../src/hw/descriptors.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, idOf, mac, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const GROUP = '01:00:5e:00:00:05';

export function filterTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it("a frame to a MAC that is not the VF's is filtered", async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.inject(0, frame({ dst: STRANGER }), frame({ dst: '02:09:c0:00:00:01' }));
    expect(rig.receive(vf)).toEqual([]);
    expect(rig.counters(0).filtered).toBe(2);
  });

  it('a tagged frame arrives, tag in place, from addVlan to removeVlan', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const tagged = frame({ dst: VF0, vlan: 100, length: 64 });
    rig.inject(0, tagged);
    expect(rig.receive(vf)).toEqual([]);
    vf.addVlan(100);
    expect(vf.vlans).toEqual([100]);
    rig.inject(0, tagged, frame({ dst: VF0, vlan: 101 }), frame({ dst: VF0, id: 1 }));
    expect(rig.receive(vf)).toEqual([tagged, frame({ dst: VF0, id: 1 })]);
    vf.removeVlan(100);
    rig.inject(0, tagged);
    expect(rig.receive(vf)).toEqual([]);
    expect(rig.counters(0).filtered).toBe(3);
  });

  it('the longest frame may carry a tag on top', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    vf.addVlan(4094);
    const longest = frame({ dst: VF0, vlan: 4094, length: 1518 });
    rig.inject(0, longest);
    expect(rig.receive(vf)).toEqual([longest]);
    const outward = frame({ dst: STRANGER, src: VF0, vlan: 4094, length: 1518 });
    rig.send(vf, [outward]);
    expect(wire.take()).toEqual([outward]);
  });

  it('a tag of a VLAN that the VF did not join does not leave', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    rig.send(vf, [frame({ dst: STRANGER, src: VF0, vlan: 5 })]);
    expect(wire.take()).toEqual([]);
    expect(rig.counters(0).spoofed).toBe(1);
    vf.addVlan(5);
    const tagged = frame({ dst: STRANGER, src: VF0, vlan: 5 });
    rig.send(vf, [tagged]);
    expect(wire.take()).toEqual([tagged]);
  });

  it('63 VLANs fit a port, the next is refused and the others stay', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    for (let vlan = 1; vlan <= 63; vlan++) vf.addVlan(vlan);
    expect(() => vf.addVlan(64)).toThrow(/SET_VLAN: nack: .*no VLAN filter left/);
    expect(vf.vlans.length).toBe(63);
  });

  it('a VLAN that the host chose is put on and taken off without the VF seeing it', async () => {
    const rig = rigOf({ vfs: 1, portVlans: [7] });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    rig.send(vf, [frame({ dst: STRANGER, src: VF0, id: 3 })]);
    const [seen] = wire.take();
    expect([...seen.subarray(12, 16)]).toEqual([0x81, 0x00, 0x00, 0x07]);
    rig.inject(0, frame({ dst: VF0, vlan: 7, length: 64, id: 4 }), frame({ dst: VF0, id: 5 }));
    const [got, ...more] = rig.receive(vf);
    expect(more).toEqual([]);
    expect(got.length).toBe(60);
    expect(idOf(got)).toBe(4);
    // What a forwarder does with it: the tag that leaves is the host's, and the only one.
    rig.send(vf, [Uint8Array.from([...mac(STRANGER), ...mac(VF0), ...got.subarray(12)])]);
    const [back] = wire.take();
    expect([...back.subarray(12)]).toEqual([0x81, 0x00, 0x00, 0x07, ...got.subarray(12)]);
  });

  it.each([{ stripVlan: false }, { stripVlan: true }])(
    'a tag of the host is not in the metadata either, and a VLAN chosen later is known after restart: $stripVlan',
    async ({ stripVlan }) => {
      const rig = rigOf({ vfs: 1 });
      const vf = await rig.open(0, 0, { metadata: true, stripVlan });
      const views = packetViews(vf.mempool);
      const bufs = new Int32Array(2);
      /** Length of the frame that arrives, VP, the entry of the VLAN table. */
      const arrives = (vlan: number): number[] => {
        rig.inject(0, frame({ dst: VF0, vlan, length: 64 }));
        expect(vf.rx[0].batch(bufs, 0, 2)).toBe(1);
        const vp = (views.flags[bufs[0]] & RX_FLAGS.mask.VP) !== 0 ? 1 : 0;
        const seen = [views.length[bufs[0]], vp, views.vlan[bufs[0]]];
        vf.mempool.giveBatch(bufs, 0, 1);
        return seen;
      };
      const own = stripVlan ? [60, 1, 7] : [64, 1, 0];
      vf.addVlan(7);
      expect(arrives(7)).toEqual(own);
      vf.removeVlan(7);
      rig.harness.pf(0).setPortVlan(0, 7, 3);
      vf.restart();
      expect(arrives(0x6007)).toEqual([60, 0, 0]);
      rig.harness.pf(0).setPortVlan(0, 0);
      vf.restart();
      vf.addVlan(7);
      expect(arrives(7)).toEqual(own);
    },
  );

  it.each(['linux-6.1', 'linux-7.3', 'dpdk'] as const)(
    'a multicast frame arrives once its group was joined (%s PF)',
    async (pf) => {
      const rig = rigOf({ vfs: 1, pf });
      const vf = await rig.open(0, 0);
      rig.inject(0, frame({ dst: GROUP, id: 1 }));
      expect(rig.receive(vf)).toEqual([]);
      vf.joinMulticast(GROUP);
      rig.inject(0, frame({ dst: GROUP, id: 2 }), frame({ dst: '01:00:5e:00:00:44', id: 3 }));
      expect(rig.receive(vf).map(idOf)).toEqual([2]);
      expect(vf.stats().rxMulticast).toBe(1);
    },
  );

  it('30 groups can be joined, and the 31st is refused before the PF hears of it', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    const group = (i: number): string => `01:00:5e:00:01:${i.toString(16).padStart(2, '0')}`;
    for (let i = 0; i < 30; i++) vf.joinMulticast(group(i));
    const sent = device.requests.length;
    expect(() => vf.joinMulticast(group(30))).toThrow(/expected at most 30 groups a VF/);
    expect(device.requests.length).toBe(sent);
    rig.inject(0, ...Array.from({ length: 30 }, (_, id) => frame({ dst: group(id), id })));
    expect(rig.receive(vf).map(idOf)).toEqual(Array.from({ length: 30 }, (_, id) => id));
  });

  it('a group that was joined twice is one group', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    vf.joinMulticast(GROUP);
    vf.joinMulticast(GROUP.toUpperCase());
    rig.inject(0, frame({ dst: GROUP, id: 2 }));
    expect(rig.receive(vf).map(idOf)).toEqual([2]);
  });
}
