// Numbers: what the driver counts is what the wire saw, over wraps of the
// registers, over stop, start and restart.

import { expect, it } from 'vitest';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { BROADCAST, frame, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const ZERO = { rxPackets: 0, rxBytes: 0, rxMulticast: 0, txPackets: 0, txBytes: 0 };

export function statisticsTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it('statistics and queue counters are what the wire carried, in frames and in bytes', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0, { rxRingSize: 512, txRingSize: 512 });
    expect(vf.stats()).toEqual(ZERO);
    vf.joinMulticast('01:00:5e:00:00:05');
    const lengths = [60, 61, 100, 1514, 777];
    for (let i = 0; i < 200; i++) {
      const dst = i % 10 === 0 ? '01:00:5e:00:00:05' : i % 10 === 1 ? BROADCAST : VF0;
      wire.inject(frame({ dst, length: lengths[i % 5] }));
    }
    expect(rig.receive(vf).length).toBe(200);
    const out = Array.from({ length: 150 }, (_, i) =>
      frame({ dst: STRANGER, src: VF0, length: lengths[i % 5] }),
    );
    expect(rig.send(vf, out)).toBe(150);
    const sentBytes = wire.sent.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(wire.sent.length).toBe(150);
    expect(vf.stats()).toEqual({
      rxPackets: 200,
      rxBytes: wire.offeredBytes,
      rxMulticast: 20,
      txPackets: 150,
      txBytes: sentBytes,
    });
    expect(vf.rx[0].counters).toEqual({
      packets: 200,
      bytes: wire.offeredBytes,
      dropped: 0,
      lost: 0,
    });
    expect(vf.tx[0].counters).toEqual({ packets: 150, bytes: sentBytes, dropped: 0, lost: 0 });
  });

  it('counters of 32 and of 36 bits that wrap are counted on', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const device = rig.tampered(0, 0);
    for (const packets of [0x101c, 0x1034, 0x201c]) device.bias.set(packets, 2 ** 32 - 5);
    for (const octets of [0x1020, 0x2020]) device.bias.set(octets, 2 ** 36 - 100);
    const vf = await rig.openDevice(device);
    expect(vf.stats()).toEqual(ZERO);
    vf.joinMulticast('01:00:5e:00:00:05');
    for (let round = 1; round <= 4; round++) {
      rig.inject(
        0,
        frame({ dst: VF0, length: 60 }),
        frame({ dst: '01:00:5e:00:00:05', length: 80 }),
        frame({ dst: '01:00:5e:00:00:05', length: 90 }),
      );
      rig.receive(vf);
      rig.send(vf, [
        frame({ dst: STRANGER, src: VF0, length: 60 }),
        frame({ dst: STRANGER, src: VF0, length: 70 }),
      ]);
      expect(vf.stats()).toEqual({
        rxPackets: 3 * round,
        rxBytes: 230 * round,
        rxMulticast: 2 * round,
        txPackets: 2 * round,
        txBytes: 130 * round,
      });
    }
    expect(wire.sent.length).toBe(8);
  });

  it('octets that carry into their upper word are counted on', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    device.bias.set(0x1020, 2 ** 32 - 30);
    device.bias.set(0x2020, 2 ** 33 - 30);
    const vf = await rig.openDevice(device);
    rig.inject(0, frame({ dst: VF0, length: 1000 }));
    rig.receive(vf);
    rig.send(vf, [frame({ dst: STRANGER, src: VF0, length: 1200 })]);
    expect(vf.stats()).toMatchObject({ rxBytes: 1000, txBytes: 1200 });
  });

  it('statistics go on over stop, start and restart, and a PF reset takes nothing that was read before', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const once = (): void => {
      rig.inject(0, frame({ dst: VF0, length: 100 }));
      expect(rig.receive(vf).length).toBe(1);
    };
    once();
    vf.stop();
    vf.start();
    once();
    vf.restart();
    once();
    // The reset of a port clears its counters in silicon, so what was not read by then is lost.
    expect(vf.stats().rxPackets).toBe(3);
    rig.harness.pf(0).reset();
    rig.advance();
    expect(vf.stats().rxPackets).toBe(3);
    vf.restart();
    once();
    expect(vf.stats()).toMatchObject({ rxPackets: 4, rxBytes: 400 });
    expect(vf.rx[0].counters).toMatchObject({ packets: 4, bytes: 400 });
  });

  it('a VF that is opened again starts from zero, although no register was cleared', async () => {
    const rig = rigOf({ vfs: 1 });
    const first = await rig.open(0, 0);
    rig.inject(0, frame({ dst: VF0 }));
    rig.receive(first);
    first.close();
    const second = await rig.open(0, 0);
    expect(second.stats()).toEqual(ZERO);
  });

  it('frames between VFs of one port count on both sides', async () => {
    const rig = rigOf({ vfs: 2 });
    const a = await rig.open(0, 0);
    const b = await rig.open(0, 1);
    rig.send(a, [frame({ dst: b.mac, src: a.mac, length: 500 })]);
    expect(rig.receive(b).length).toBe(1);
    expect(a.stats()).toEqual({ ...ZERO, txPackets: 1, txBytes: 500 });
    expect(b.stats()).toEqual({ ...ZERO, rxPackets: 1, rxBytes: 500 });
  });
}
