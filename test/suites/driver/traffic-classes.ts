// A PF with traffic classes: its VFs receive by priority, and send on the queue of the default class.

import { expect, it } from 'vitest';
import { silentLog } from '../../../src/support/log.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, idOf, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const ENABLE = 1 << 25;
const VFTXDCTL = 0x2028;
const CLASSES = { vfs: 1, trafficClasses: 4, defaultClass: 2 } as const;

export function trafficClassTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it('tx runs on the queue of the default class, and on queue 0 when the host takes the classes off', async () => {
    const rig = rigOf(CLASSES);
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    const wire = rig.wire(0);
    const enabled = (): number[] =>
      [0, 1, 2, 3].filter((q) => (device.read32(VFTXDCTL + 0x40 * q) & ENABLE) !== 0);
    const sends = (id: number): void => {
      wire.take();
      expect(rig.send(vf, [frame({ dst: STRANGER, src: VF0, length: 64, id })])).toBe(1);
      expect(vf.tx[0].pending).toBe(0);
      const [sent] = wire.take();
      expect(sent.length === 64 ? idOf(sent) : idOf(sent.subarray(4))).toBe(id);
    };
    expect(enabled()).toEqual([2]);
    sends(1);
    vf.stop();
    expect(enabled()).toEqual([]);
    vf.start();
    expect(enabled()).toEqual([2]);
    sends(2);
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, stuck: [] });
    rig.harness.pf(0).setTrafficClasses(0);
    rig.advance();
    vf.restart();
    expect(enabled()).toEqual([0]);
    sends(3);
  });

  it('rx queue n has the frames of class n, their tags taken off', async () => {
    const rig = rigOf(CLASSES);
    const vf = await rig.open(0, 0, { rxQueues: 4 });
    const tagged = [3, 0, 2, 1].map((priority) =>
      frame({ dst: VF0, vlan: priority << 13, length: 64, id: priority }),
    );
    rig.inject(0, ...tagged, frame({ dst: VF0, id: 9 }));
    // Queue after queue.
    expect(rig.receive(vf).map(idOf)).toEqual([0, 9, 1, 2, 3]);
  });

  it('one rx queue has class 0, and the log says what is lost', async () => {
    const rig = rigOf(CLASSES);
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (text: string) => void warnings.push(text) };
    const vf = await rig.open(0, 0, { log });
    expect(warnings).toEqual([
      'the PF of model:0.0 has 4 traffic classes: with one rx queue only frames of class 0 arrive',
    ]);
    rig.inject(0, frame({ dst: VF0, vlan: 1 << 13, id: 1 }), frame({ dst: VF0, id: 2 }));
    expect(rig.receive(vf).map(idOf)).toEqual([2]);
  });

  it.each([
    [
      { txQueues: 2 },
      /txQueues: expected 1, since .* 4 traffic classes .* default class, 2; got 2/,
    ],
    [{ rxQueues: 2 }, /rxQueues: expected 4 or more, a queue for each class .* got 2/],
  ] as const)('%j is refused', async (options, message) => {
    const rig = rigOf(CLASSES);
    await expect(rig.open(0, 0, options)).rejects.toThrow(message);
  });
}
