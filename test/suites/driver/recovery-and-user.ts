// A VF that looks after itself while its user does as it likes: listeners that throw or close, restart() and stop() in the
// middle of a recovery, a device that comes back as another one.

import { expect, it } from 'vitest';
import { VfioError } from '../../../src/support/errors.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const LOOK_US = 100_000;

export function recoveryAndUserTests(make: MakeHarness, rss: boolean): void {
  const rigOf = useRigs(make);

  it('a listener that throws takes no event from the others', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    vf.lookAfter();
    const told: string[] = [];
    vf.once('link', () => {
      throw new Error('of the listener');
    });
    vf.on('reset', () => told.push('reset'));
    rig.harness.pf(0).reset();
    rig.advance();
    expect(() => vf.lookAfter()).toThrow('of the listener');
    vf.lookAfter();
    expect(told).toEqual(['reset']);
  });

  it.each(['link', 'reset', 'restarted', 'removed', 'error'] as const)(
    'close() in a listener of %s ends the VF, which tells nothing more',
    async (event) => {
      const rig = rigOf({ vfs: 1 });
      const mempool = rig.mempool({ count: 256, debug: true });
      const device = rig.tampered(0, 0);
      const vf = await rig.openDevice(device, { mempool });
      vf.lookAfter();
      const late: string[] = [];
      vf.on(event, () => vf.close());
      for (const name of ['link', 'reset', 'restarted', 'removed', 'error'] as const) {
        vf.on(name, () => {
          if (vf.closed && name !== event) late.push(name);
        });
      }
      if (event === 'removed') device.events = 1;
      else if (event === 'error') device.events = 2;
      else rig.harness.pf(0).reset();
      for (let i = 0; i < 20; i++) {
        rig.advance();
        vf.lookAfter();
        rig.harness.clock.pass(LOOK_US);
      }
      expect(vf.closed).toBe(true);
      expect(late).toEqual([]);
      expect(mempool.available).toBe(256);
    },
  );

  /** A VF in the middle of its recovery: each request takes so long that the look ends after it. */
  async function recovering(looks: number) {
    const rig = rigOf({ vfs: 1 });
    const { clock } = rig.harness;
    const mempool = rig.mempool({ count: 256, debug: true });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device, { mempool });
    const look = (): void => {
      rig.advance();
      vf.lookAfter();
      clock.pass(LOOK_US);
    };
    look();
    rig.inject(0, frame({ dst: VF0 }), frame({ dst: VF0 }));
    expect(rig.receive(vf)).toHaveLength(2);
    expect(vf.stats().rxPackets).toBe(2);
    rig.harness.pf(0).reset();
    rig.advance();
    // A reset of the port clears VFGPRC.
    device.bias.set(0x101c, -2);
    device.onRequest = () => clock.pass(25_000);
    for (let i = 0; i < looks; i++) look();
    device.onRequest = undefined;
    expect(vf.running).toBe(false);
    const told: string[] = [];
    vf.on('restarted', () => told.push('restarted'));
    return { rig, mempool, vf, look, told };
  }

  it.each([1, 2, 3, 4, 5, 6])(
    'restart() after %i looks of a recovery replaces it',
    async (looks) => {
      const { rig, mempool, vf, look, told } = await recovering(looks);
      vf.restart();
      for (let i = 0; i < 10; i++) {
        expect(vf.running).toBe(true);
        expect(mempool.available).toBe(256 - 64);
        look();
      }
      expect(vf.restarts).toBe(0);
      expect(told).toEqual(['restarted']);
      rig.inject(0, frame({ dst: VF0 }));
      expect(rig.receive(vf)).toHaveLength(1);
      rig.expectTraffic(vf);
    },
  );

  it.each([1, 2, 3, 4, 5, 6])('stop() after %i looks of a recovery ends it', async (looks) => {
    const { rig, mempool, vf, look } = await recovering(looks);
    vf.stop();
    for (let i = 0; i < 10; i++) look();
    expect(vf.running).toBe(false);
    expect(mempool.available).toBe(256);
    vf.restart();
    rig.expectTraffic(vf);
  });

  it.each([1, 2, 3, 4, 5, 6])(
    'stats() after %i looks of a recovery counts no wrap',
    async (looks) => {
      const { vf, look } = await recovering(looks);
      for (let i = 0; i < 10; i++) {
        expect(vf.stats().rxPackets).toBe(2);
        look();
      }
    },
  );

  // With one queue an X550 would do.
  it.runIf(rss).each([
    ['is no VF', { deviceId: 0x10fb }, /wanted 8086:10ed.*last saw 8086:10fb/],
    ['spreads over no queues', { deviceId: 0x1565 }, /rxQueues: expected 1 on an X550/],
    ['cannot be opened', { errno: 13 }, /EACCES/],
  ])('a device that comes back and %s is told once, and awaited on', async (_, back, message) => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    let wrong = true;
    let opened = 0;
    const vf = await rig.openDevice(device, {
      rxQueues: 2,
      reopen: async () => {
        opened++;
        const returned = rig.tampered(0, 0);
        if (!wrong) return returned;
        if ('deviceId' in back) {
          return Object.defineProperty(returned, 'deviceId', { value: back.deviceId });
        }
        returned.close();
        throw new VfioError('open VF', back.errno, 'the node', 'no permission');
      },
    });
    const told: string[] = [];
    vf.on('error', (error) => told.push(error.message));
    device.events = 1;
    const look = async (): Promise<void> => {
      vf.lookAfter();
      await new Promise(setImmediate);
      rig.harness.clock.pass(LOOK_US);
    };
    for (let i = 0; i < 40; i++) await look();
    expect(opened).toBeGreaterThan(2);
    expect(told).toEqual([expect.stringMatching(message)]);
    expect(vf.removed).toBe(true);
    wrong = false;
    for (let i = 0; i < 40 && !vf.running; i++) await look();
    expect(vf.running).toBe(true);
    expect(vf.restarts).toBe(1);
    expect(told).toHaveLength(1);
  });

  it('a VF that its user stopped stays stopped where its device goes and comes back', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device, { reopen: async () => rig.tampered(0, 0) });
    vf.stop();
    device.events = 1;
    for (let i = 0; i < 20; i++) {
      vf.lookAfter();
      await new Promise(setImmediate);
      rig.harness.clock.pass(LOOK_US);
    }
    expect(vf.removed).toBe(false);
    expect(vf.running).toBe(false);
    vf.restart();
    rig.expectTraffic(vf);
  });
}
