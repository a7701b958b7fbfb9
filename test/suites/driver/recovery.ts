// A running VF in the hands of its user: stop and start, restart, the link, a
// device that is gone, close in every state.

import { expect, it } from 'vitest';
import type { IxgbeVf } from '../../../src/ixgbevf/vf.ts';
import { DeviceError } from '../../../src/support/errors.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const GROUP = '01:00:5e:00:00:05';

export function recoveryTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it('stop gives every buffer back, frames meanwhile are counted as missed, start goes on', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 256, debug: true });
    const vf = await rig.open(0, 0, { mempool });
    rig.expectTraffic(vf);
    rig.inject(0, frame({ dst: VF0 }), frame({ dst: VF0 }));
    rig.harness.hold(() => rig.post(vf, [frame({ dst: STRANGER, src: VF0 })]));
    vf.stop();
    expect(vf.running).toBe(false);
    expect(mempool.available).toBe(256);
    expect(vf.rx[0].batch(new Int32Array(4), 0, 4)).toBe(0);
    expect(rig.post(vf, [frame({ dst: STRANGER, src: VF0 })])).toBe(0);
    expect(mempool.available).toBe(256);
    rig.inject(0, frame({ dst: VF0 }));
    expect(rig.counters(0).missedDisabled).toBe(1);
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, link: { up: true } });
    vf.stop();
    vf.start();
    vf.start();
    expect(vf.running).toBe(true);
    rig.wire(0).take();
    rig.expectTraffic(vf);
  });

  it('stop and start a hundred times lose no buffer', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 160, debug: true });
    const vf = await rig.open(0, 0, { mempool });
    for (let i = 0; i < 100; i++) {
      rig.inject(0, ...Array.from({ length: i % 70 }, () => frame({ dst: VF0 })));
      rig.post(
        vf,
        Array.from({ length: i % 50 }, () => frame({ dst: STRANGER, src: VF0 })),
      );
      if (i % 3 === 0) rig.receive(vf);
      vf.stop();
      expect(mempool.available).toBe(160);
      vf.start();
    }
    rig.wire(0).take();
    rig.expectTraffic(vf);
  });

  it('a link that is down at open comes up', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    wire.linkUp = false;
    const vf = await rig.open(0, 0);
    const down = { up: false, speedMbps: 0, enabled: true };
    expect(vf.link()).toEqual(down);
    expect(vf.checkHealth()).toEqual({
      link: down,
      resetNeeded: false,
      resetReason: '',
      stuck: [],
    });
    wire.linkUp = true;
    expect(vf.link()).toEqual({ up: true, speedMbps: 10_000, enabled: true });
    rig.expectTraffic(vf);
    wire.linkUp = false;
    expect(vf.link()).toEqual(down);
    wire.linkUp = true;
    expect(vf.link().up).toBe(true);
  });

  it('a link that the host disabled for the VF says so after restart, and comes back', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).setLinkState(0, 'disable');
    rig.advance();
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: true, link: { up: false } });
    vf.restart();
    expect(vf.checkHealth()).toMatchObject({
      resetNeeded: false,
      link: { up: false, enabled: false },
    });
    // VFTE is off; VFRE comes back with SET_LPE, as with linux. A tx queue whose ENABLE stays 0 takes nothing.
    const taken = rig.send(vf, [frame({ dst: STRANGER, src: VF0 })]);
    expect(taken).toBe(rig.harness.silicon.vfteTiesEnable ? 0 : 1);
    expect(rig.wire(0).take()).toEqual([]);
    expect(rig.counters(0).missedDisabled).toBe(taken);
    rig.harness.pf(0).setLinkState(0, 'auto');
    rig.advance();
    expect(vf.checkHealth().resetNeeded).toBe(true);
    vf.restart();
    expect(vf.link()).toEqual({ up: true, speedMbps: 10_000, enabled: true });
    rig.expectTraffic(vf);
  });

  it('a VF whose link the host disabled opens all the same, and works once the host enables it', async () => {
    const rig = rigOf({ vfs: 1 });
    rig.harness.pf(0).setLinkState(0, 'disable');
    const vf = await rig.open(0, 0);
    expect(vf.running).toBe(true);
    for (let i = 0; i < 3; i++) {
      expect(vf.checkHealth()).toMatchObject({
        resetNeeded: false,
        link: { up: false, enabled: false },
        stuck: [],
      });
    }
    vf.stop();
    vf.start();
    rig.harness.pf(0).setLinkState(0, 'enable');
    rig.advance();
    expect(vf.checkHealth().resetNeeded).toBe(true);
    vf.restart();
    expect(vf.link()).toEqual({ up: true, speedMbps: 10_000, enabled: true });
    rig.expectTraffic(vf);
  });

  it('restart without need loses only what lay in the rings', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    for (let i = 0; i < 20; i++) {
      rig.inject(0, frame({ dst: VF0 }));
      vf.restart();
    }
    rig.expectTraffic(vf);
  });

  it('a device that is gone is named as such by every call, and can still be closed', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    device.gone = true;
    const calls: (() => unknown)[] = [
      () => vf.link(),
      () => vf.stats(),
      () => vf.checkHealth(),
      () => vf.addVlan(5),
      () => vf.joinMulticast(GROUP),
      () => vf.setMac('02:00:00:00:00:42'),
      () => vf.stop(),
      () => vf.restart(),
    ];
    for (const call of calls) {
      expect(call).toThrow(
        expect.objectContaining({
          name: 'DeviceError',
          message: expect.stringMatching(/device gone: model:0\.0 was removed/),
        }),
      );
    }
    expect(vf.rx[0].batch(new Int32Array(4), 0, 4)).toBe(0);
    vf.close();
    expect(vf.closed).toBe(true);
  });

  it('a device that is gone from the start ends open', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.gone = true;
    await expect(rig.openDevice(device)).rejects.toThrow(DeviceError);
  });

  it('close is final, idempotent, works stopped or running, and frees the VF for the next', async () => {
    const rig = rigOf({ vfs: 1 });
    for (const stopFirst of [false, true]) {
      const vf = await rig.open(0, 0);
      rig.expectTraffic(vf);
      rig.inject(0, frame({ dst: VF0 }));
      if (stopFirst) vf.stop();
      vf.close();
      vf.close();
      expect(vf.closed).toBe(true);
      expect(vf.running).toBe(false);
      rig.inject(0, frame({ dst: VF0 }));
      expect(() => vf.rx[0].batch(new Int32Array(1), 0, 1)).toThrow(/got a closed one/);
      expect(() => vf.tx[0].batch(new Int32Array(1), 0, 1)).toThrow(/got a closed one/);
    }
    rig.expectTraffic(await rig.open(0, 0));
  });

  it('close works while the PF is down', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.harness.pf(0).goDown();
    vf.close();
    rig.harness.pf(0).comeUp();
    rig.expectTraffic(await rig.open(0, 0));
  });

  it('a VF that opens, restarts, stops or closes takes no frame from its neighbour', async () => {
    const rig = rigOf({ vfs: 2 });
    const vf = await rig.open(0, 0);
    const events: ((other: IxgbeVf) => void)[] = [
      () => {},
      (other) => other.restart(),
      (other) => other.stop(),
      (other) => other.close(),
    ];
    let id = 0;
    for (let round = 0; round < 5; round++) {
      const neighbour = await rig.open(0, 1);
      for (const event of events) {
        const sent = Array.from({ length: 10 }, () => frame({ dst: VF0, id: id++ }));
        rig.wire(0).inject(...sent);
        event(neighbour);
        expect(rig.receive(vf)).toEqual(sent);
      }
    }
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, link: { up: true } });
    expect(vf.stats().rxPackets).toBe(id);
  });
}
