// What the host does to a running VF from its end: resets of the port, the PF going
// down, registrations withdrawn; and how a VF comes back from each.

import { expect, it } from 'vitest';
import { DeviceError } from '../../../src/support/errors.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const GROUP = '01:00:5e:00:00:05';

export function portResetTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it.each(['linux-6.1', 'linux-7.3', 'dpdk'] as const)(
    'after a reset of a %s PF health asks for restart, which brings MAC, VLANs and groups back',
    async (pf) => {
      const rig = rigOf({ vfs: 1, pf });
      const mempool = rig.mempool({ count: 256, debug: true });
      const vf = await rig.open(0, 0, { mempool });
      vf.addVlan(100);
      vf.addVlan(7);
      vf.joinMulticast(GROUP);
      rig.inject(0, frame({ dst: VF0 }), frame({ dst: VF0 }));
      rig.harness.pf(0).reset();
      rig.advance();
      const health = vf.checkHealth();
      expect(health.resetNeeded).toBe(true);
      expect(health.resetReason).toMatch(/port was reset/);
      expect(health.link.up).toBe(false);
      // Traffic calls stay calm meanwhile.
      expect(rig.post(vf, [frame({ dst: STRANGER, src: VF0 })])).toBe(1);
      // A doorbell of a queue that the reset took away is no violation: no datapath can avoid it.
      expect(rig.takeViolations()).toEqual([]);
      vf.restart();
      expect(vf.checkHealth()).toMatchObject({
        resetNeeded: false,
        resetReason: '',
        link: { up: true },
      });
      expect(vf.mac).toBe(VF0);
      expect(vf.vlans).toEqual([7, 100]);
      expect(mempool.available).toBe(256 - 64);
      rig.wire(0).take();
      rig.expectTraffic(vf);
      const wanted = [
        frame({ dst: VF0, vlan: 7 }),
        frame({ dst: VF0, vlan: 100 }),
        frame({ dst: GROUP }),
      ];
      rig.inject(0, ...wanted, frame({ dst: VF0, vlan: 8 }), frame({ dst: '01:00:5e:00:00:44' }));
      expect(rig.receive(vf)).toEqual(wanted);
    },
  );

  it('a MAC that the VF chose, at open or later, is kept over a PF reset', async () => {
    const rig = rigOf({ vfs: 2, macs: [null, null] });
    const random = await rig.open(0, 0);
    const chosen = await rig.open(0, 1);
    chosen.setMac('02:00:00:00:00:42');
    const before = random.mac;
    rig.harness.pf(0).reset();
    rig.advance();
    random.restart();
    chosen.restart();
    expect(random.mac).toBe(before);
    expect(chosen.mac).toBe('02:00:00:00:00:42');
    rig.expectTraffic(random);
    rig.expectTraffic(chosen);
  });

  it("a MAC that the host changed is the VF's after restart", async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).setAdminMac(0, Uint8Array.of(2, 0, 0, 0, 0, 0x51));
    rig.harness.pf(0).reset();
    rig.advance();
    vf.restart();
    expect(vf.mac).toBe('02:00:00:00:00:51');
    rig.expectTraffic(vf);
  });

  it('a PF that goes down takes the link, restart then fails in bounded time, and works when it is back', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 256, debug: true });
    const vf = await rig.open(0, 0, { mempool });
    const pf = rig.harness.pf(0);
    pf.goDown();
    rig.advance();
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: true, link: { up: false } });
    const startUs = rig.harness.clock.nowUs();
    expect(() => vf.restart()).toThrow(DeviceError);
    expect(rig.harness.clock.nowUs() - startUs).toBeLessThan(5_000_000);
    expect(vf.running).toBe(false);
    expect(vf.checkHealth().resetNeeded).toBe(true);
    expect(() => vf.start()).toThrow(/use restart\(\)/);
    pf.comeUp();
    rig.advance();
    vf.restart();
    rig.expectTraffic(vf);
  });

  it('a registration that the PF withdrew asks for restart', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).setTrust(0, true);
    rig.advance();
    const health = vf.checkHealth();
    expect(health.resetNeeded).toBe(true);
    expect(health.resetReason).toMatch(/withdrew this VF's registration/);
    vf.restart();
    expect(vf.checkHealth().resetNeeded).toBe(false);
    rig.expectTraffic(vf);
  });

  it('a ping that keeps the registration changes nothing', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).ping(0);
    rig.advance();
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, link: { up: true } });
    rig.expectTraffic(vf);
  });
}
