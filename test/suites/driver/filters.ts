// What a VF receives besides its own MAC, and what the host adds or takes away:
// VLANs, port VLAN, multicast groups, the lack of promiscuous mode.

import { expect, it } from 'vitest';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, idOf, STRANGER } from '../../support/frames.ts';
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
  });

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
