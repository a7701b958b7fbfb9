// A VF that looks after itself: what its host does to it, told by events, and mended without its user. Time is the
// stepping clock's, so that how long a look holds its thread is exact.

import { expect, it } from 'vitest';
import type { IxgbeVf } from '../../../src/ixgbevf/vf.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { frame, STRANGER } from '../../support/frames.ts';
import { type Rig, useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const GROUP = '01:00:5e:00:00:05';
/** Between two looks, as the timer has it: while all is well, and during a restart. */
const WATCH_US = 100_000;
const WORK_US = 20_000;
/** What a look may hold its thread for. */
const MOST_US = 50_000;

/** What a VF told, one line an event. */
function listen(vf: IxgbeVf): string[] {
  const told: string[] = [];
  vf.on('link', ({ up }) => told.push(`link ${up ? 'up' : 'down'}`));
  vf.on('reset', (reason) => told.push(`reset: ${reason}`));
  vf.on('restarted', (tookMs) => told.push(`restarted ${typeof tookMs}`));
  vf.on('removed', (reason) => told.push(`removed: ${reason}`));
  vf.on('error', (error) => told.push(`error: ${error.message}`));
  return told;
}

/** Looks again and again for a while. @returns the longest look, us */
function look(rig: Rig, vf: IxgbeVf, ms: number): number {
  const { clock } = rig.harness;
  const endUs = clock.nowUs() + ms * 1000;
  let longest = 0;
  while (clock.nowUs() < endUs) {
    rig.advance();
    const startUs = clock.nowUs();
    vf.lookAfter();
    longest = Math.max(longest, clock.nowUs() - startUs);
    clock.pass(vf.running ? WATCH_US : WORK_US);
  }
  return longest;
}

export function selfRecoveryTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it.each(['linux-6.1', 'linux-7.3', 'dpdk'] as const)(
    'a reset of a %s PF is told and mended: MAC, VLANs, groups, counters, every buffer',
    async (pf) => {
      const rig = rigOf({ vfs: 1, pf });
      const mempool = rig.mempool({ count: 256, debug: true });
      const vf = await rig.open(0, 0, { mempool });
      vf.addVlan(7);
      vf.joinMulticast(GROUP);
      rig.expectTraffic(vf);
      look(rig, vf, 100);
      const told = listen(vf);
      for (let round = 1; round <= 3; round++) {
        rig.inject(0, frame({ dst: VF0 }), frame({ dst: VF0 }));
        rig.harness.pf(0).reset();
        expect(look(rig, vf, 1000)).toBeLessThan(MOST_US);
        expect(vf.running).toBe(true);
        expect(vf.restarts).toBe(round);
        expect(told.splice(0)).toEqual([
          'link down',
          expect.stringMatching(/^reset: .*port was reset/),
          'restarted number',
          'link up',
        ]);
        expect(mempool.available).toBe(256 - 64);
        rig.expectTraffic(vf);
        const wanted = [frame({ dst: VF0, vlan: 7 }), frame({ dst: GROUP })];
        rig.inject(0, ...wanted, frame({ dst: VF0, vlan: 8 }));
        expect(rig.receive(vf)).toEqual(wanted);
      }
      expect(vf.rx[0].counters.packets).toBe(1 + 3 * 3);
    },
  );

  it('a PF that is down for 5 s never holds the thread for 50 ms, and is followed within 1 s', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    look(rig, vf, 100);
    const told = listen(vf);
    rig.harness.pf(0).goDown();
    expect(look(rig, vf, 5000)).toBeLessThan(MOST_US);
    expect(vf.running).toBe(false);
    rig.harness.pf(0).comeUp();
    expect(look(rig, vf, 1000)).toBeLessThan(MOST_US);
    expect(vf.restarts).toBe(1);
    expect(told).toEqual([
      'link down',
      expect.stringMatching(/^reset: /),
      'restarted number',
      'link up',
    ]);
    rig.expectTraffic(vf);
  });

  it('a PF that does not answer is asked again and again, each time for less than 50 ms', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    look(rig, vf, 100);
    rig.harness.pf(0).setTrust(0, true);
    device.deaf = true;
    expect(look(rig, vf, 3000)).toBeLessThan(MOST_US);
    expect(vf.running).toBe(false);
    device.deaf = false;
    expect(look(rig, vf, 1000)).toBeLessThan(MOST_US);
    rig.expectTraffic(vf);
  });

  it('a request that is under way is not disturbed by whoever looks at the VF, nor joined by another', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    look(rig, vf, 100);
    rig.harness.pf(0).setTrust(0, true);
    device.deaf = true;
    look(rig, vf, 200);
    expect(vf.running).toBe(false);
    expect(() => vf.setMac(VF0)).toThrow(/the VF is being restarted; try again when it runs/);
    device.deaf = false;
    for (let i = 0; i < 50 && !vf.running; i++) {
      vf.stats();
      vf.link();
      vf.checkHealth();
      look(rig, vf, 1);
    }
    expect(vf.running).toBe(true);
    vf.setMac(VF0);
    rig.expectTraffic(vf);
  });

  it('a withdrawn registration, and a link that the host disables, are lived through', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const pf = rig.harness.pf(0);
    look(rig, vf, 100);
    pf.setTrust(0, true);
    look(rig, vf, 500);
    expect(vf.restarts).toBe(1);
    rig.expectTraffic(vf);
    pf.setLinkState(0, 'disable');
    look(rig, vf, 3000);
    expect(vf.restarts).toBe(2);
    expect(vf.link()).toMatchObject({ up: false, enabled: false });
    pf.setLinkState(0, 'auto');
    look(rig, vf, 500);
    expect(vf.link().up).toBe(true);
    rig.expectTraffic(vf);
  });

  it('a cable that is pulled is told, and is no reason to restart', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const wire = rig.wire(0);
    look(rig, vf, 100);
    const told = listen(vf);
    wire.linkUp = false;
    look(rig, vf, 500);
    wire.linkUp = true;
    look(rig, vf, 500);
    expect(told).toEqual(['link down', 'link up']);
    expect(vf.restarts).toBe(0);
    rig.expectTraffic(vf);
  });

  it('a function that reads as all ones for a moment is restarted', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    look(rig, vf, 100);
    const told = listen(vf);
    device.gone = true;
    look(rig, vf, 300);
    expect(told).toEqual(['link down', expect.stringMatching(/^reset: .*device gone/)]);
    device.gone = false;
    look(rig, vf, 1000);
    expect(vf.restarts).toBe(1);
    rig.expectTraffic(vf);
  });

  it.each([
    ['reads as all ones for half a second', 0, /all ones/],
    ['is asked for by its host', 1, /asks for the device back/],
    ['reported a PCIe error', 2, /PCIe error/],
  ])('a device that %s is given back; buffers stay whole', async (_, event, reason) => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 256, debug: true });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device, { mempool });
    look(rig, vf, 100);
    const told = listen(vf);
    rig.inject(0, frame({ dst: VF0 }));
    if (event === 0) device.gone = true;
    else device.events = event;
    const startUs = rig.harness.clock.nowUs();
    look(rig, vf, event === 0 ? 900 : 100);
    expect(rig.harness.clock.nowUs() - startUs).toBeLessThan(1_000_000);
    expect(device.closed).toBe(true);
    expect(vf.removed).toBe(true);
    expect(vf.running).toBe(false);
    expect(told.at(-1)).toMatch(/^removed: /);
    expect(told.at(-1)).toMatch(reason);
    expect(told.some((line) => line.startsWith('error: '))).toBe(event === 2);
    expect(vf.rx[0].batch(new Int32Array(4), 0, 4)).toBe(0);
    expect(rig.post(vf, [frame({ dst: STRANGER, src: VF0 })])).toBe(0);
    for (const call of [() => vf.link(), () => vf.restart(), () => vf.checkHealth()]) {
      expect(call).toThrow(/expected a device, got one that was removed/);
    }
    vf.close();
    expect(vf.closed).toBe(true);
    expect(mempool.available).toBe(256);
  });

  it('a device that comes back goes on with the same queues, buffers, counters and filters', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 256, debug: true });
    let device = rig.tampered(0, 0);
    let there = true;
    const vf = await rig.openDevice(device, {
      mempool,
      reopen: async () => {
        if (!there) throw new Error('not there');
        device = rig.tampered(0, 0);
        return device;
      },
    });
    vf.addVlan(7);
    rig.expectTraffic(vf);
    look(rig, vf, 100);
    const told = listen(vf);
    const { packets } = vf.rx[0].counters;
    const stats = vf.stats();
    for (let round = 1; round <= 3; round++) {
      there = false;
      rig.inject(0, frame({ dst: VF0 }));
      device.events = 1;
      for (let i = 0; i < 10; i++) {
        look(rig, vf, 100);
        await Promise.resolve();
      }
      expect(vf.removed).toBe(true);
      there = true;
      for (let i = 0; i < 10 && !vf.running; i++) {
        look(rig, vf, 100);
        await new Promise(setImmediate);
      }
      expect(vf.restarts).toBe(round);
      expect(told.splice(0)).toEqual([
        'link down',
        expect.stringMatching(/^removed: /),
        'restarted number',
        'link up',
      ]);
      expect(mempool.available).toBe(256 - 64);
      rig.expectTraffic(vf);
      rig.inject(0, frame({ dst: VF0, vlan: 7 }));
      expect(rig.receive(vf)).toHaveLength(1);
    }
    expect(vf.rx[0].counters.packets).toBe(packets + 6);
    expect(vf.stats().rxPackets - stats.rxPackets).toBeLessThanOrEqual(9);
    there = false;
    device.events = 1;
    look(rig, vf, 100);
    there = true;
    look(rig, vf, 300);
    await new Promise(setImmediate);
    vf.close();
    expect(device.closed).toBe(true);
  });

  it('a MAC that the PF now refuses is told once, and tried until it is taken', async () => {
    const rig = rigOf({ vfs: 1, macs: [null] });
    const vf = await rig.open(0, 0, { mac: '02:00:00:00:00:42' });
    const pf = rig.harness.pf(0);
    look(rig, vf, 100);
    const told = listen(vf);
    pf.setAdminMac(0, Uint8Array.of(2, 0, 0, 0, 0, 0x51));
    pf.reset();
    expect(look(rig, vf, 5000)).toBeLessThan(MOST_US);
    expect(told.filter((line) => /^error: .*SET_MAC_ADDR: nack/.test(line))).toHaveLength(1);
    expect(vf.running).toBe(false);
    pf.setAdminMac(0, null);
    look(rig, vf, 2000);
    expect(vf.restarts).toBe(1);
    rig.expectTraffic(vf);
  });

  it('a VF that its user stopped stays stopped, and recovers once it is started', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    vf.stop();
    look(rig, vf, 1000);
    expect(vf.running).toBe(false);
    vf.start();
    look(rig, vf, 100);
    rig.expectTraffic(vf);
    expect(vf.restarts).toBe(0);
  });

  it('a listener that throws, or closes the VF, does it no harm', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    look(rig, vf, 100);
    vf.once('reset', () => {
      throw new Error('of the listener');
    });
    rig.harness.pf(0).reset();
    rig.advance();
    expect(() => vf.lookAfter()).toThrow('of the listener');
    look(rig, vf, 500);
    rig.expectTraffic(vf);
    vf.on('reset', () => vf.close());
    rig.harness.pf(0).reset();
    look(rig, vf, 500);
    expect(vf.closed).toBe(true);
  });
}
