// Rings and mempools under traffic: wrapping, full, empty, every batch size, and
// several devices and queues on one arena.

import { expect, it } from 'vitest';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { flowOf, frame, idOf, ipv4Frame, mac, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
/** Ring slots that a driver can fill: one stays empty, one is the context descriptor's. */
const USABLE_64 = 62;

function numbered(count: number, dst: string, src?: string): Uint8Array[] {
  return Array.from({ length: count }, (_, id) =>
    frame({ dst, id, ...(src === undefined ? {} : { src }) }),
  );
}

export function ringTests(make: MakeHarness, rss: boolean): void {
  const rigOf = useRigs(make);
  const itSpreads = it.skipIf(!rss);

  it.each([
    { ring: 64, batch: 1, count: 500 },
    { ring: 64, batch: 7, count: 2000 },
    { ring: 64, batch: 31, count: 2000 },
    { ring: 64, batch: 32, count: 2000 },
    { ring: 64, batch: 33, count: 2000 },
    { ring: 64, batch: 64, count: 2000 },
    { ring: 64, batch: 256, count: 2000 },
    { ring: 4096, batch: 32, count: 13_001 },
    { ring: 4096, batch: 256, count: 13_001 },
  ])(
    '$count frames through rings of $ring in batches of $batch: none lost, twice, late or damaged',
    async (one) => {
      const rig = rigOf({ vfs: 1, wire: `gen:count=${one.count}` });
      const vf = await rig.open(0, 0, { rxRingSize: one.ring, txRingSize: one.ring });
      expect(rig.echo(vf, mac(STRANGER), one.batch)).toBe(one.count);
      rig.advance();
      expect(rig.counters(0)).toMatchObject({
        offered: one.count,
        delivered: one.count,
        missedNoDescriptor: 0,
        spoofed: 0,
        sinkReceived: one.count,
        sinkGaps: 0,
        sinkDuplicates: 0,
        sinkCorrupt: 0,
      });
    },
  );

  it('frames of every size go through unchanged', async () => {
    const rig = rigOf({ vfs: 1, wire: 'gen:size=imix,count=1200' });
    const vf = await rig.open(0, 0);
    rig.echo(vf, mac(STRANGER), 32);
    expect(rig.counters(0)).toMatchObject({ sinkReceived: 1200, sinkGaps: 0, sinkCorrupt: 0 });
  });

  it('two devices on one arena and mempool forward to each other, both ways at once', async () => {
    const rig = rigOf({ vfs: 1, wire: 'gen:count=3000' }, { vfs: 1, wire: 'gen:count=3000' });
    const mempool = rig.mempool({ count: 1024, debug: true });
    const ends = [await rig.open(0, 0, { mempool }), await rig.open(1, 0, { mempool })];
    const views = packetViews(mempool);
    const bufs = new Int32Array(32);
    for (let round = 0; round < 400; round++) {
      for (const [i, from] of ends.entries()) {
        const to = ends[1 - i];
        rig.harness.advance(2);
        const n = from.rx[0].batch(bufs, 0, 32);
        for (let k = 0; k < n; k++) {
          views.bytes.set([...mac(STRANGER), ...to.macBytes], views.offset(bufs[k]));
        }
        const sent = to.tx[0].batch(bufs, 0, n);
        mempool.giveBatch(bufs, sent, n - sent);
      }
    }
    rig.advance();
    for (const port of [0, 1]) {
      expect(rig.counters(port)).toMatchObject({
        delivered: 3000,
        sinkReceived: 3000,
        sinkGaps: 0,
        sinkDuplicates: 0,
        sinkCorrupt: 0,
      });
    }
  });

  it('a full tx ring takes no more, and loses or repeats nothing of what it took', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    const frames = numbered(100, STRANGER, VF0);
    const taken = rig.harness.hold(() => {
      const first = rig.post(vf, frames);
      expect(rig.post(vf, frames.slice(first))).toBe(0);
      return first;
    });
    expect(taken).toBe(USABLE_64);
    rig.advance();
    // Finished descriptors are cleaned in blocks of 32: one of 62 makes a whole block.
    expect(rig.send(vf, frames.slice(taken))).toBe(32);
    expect(rig.send(vf, frames.slice(taken + 32))).toBe(100 - taken - 32);
    expect(wire.take().map(idOf)).toEqual(frames.map(idOf));
  });

  it('a batch goes to and comes from any place of its array', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.inject(0, ...numbered(3, VF0));
    const bufs = new Int32Array(8).fill(-7);
    expect(vf.rx[0].batch(bufs, 4, 2)).toBe(2);
    expect([...bufs.subarray(0, 4), ...bufs.subarray(6)]).toEqual([-7, -7, -7, -7, -7, -7]);
    expect(vf.rx[0].batch(bufs, 6, 2)).toBe(1);
    vf.mempool.giveBatch(bufs, 4, 3);
    expect(vf.tx[0].batch(bufs, 8, 0)).toBe(0);
    expect(vf.rx[0].batch(bufs, 0, 0)).toBe(0);
  });

  it('batchWait gives up after its time when the device stands still', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const { mempool } = vf;
    const bufs = new Int32Array(100);
    expect(mempool.takeBatch(bufs, 0, 100)).toBe(100);
    const views = packetViews(mempool);
    for (const buf of bufs) views.fill(buf, frame({ dst: STRANGER, src: VF0 }));
    const startUs = rig.harness.clock.nowUs();
    const sent = rig.harness.hold(() => vf.tx[0].batchWait(bufs, 0, 100, 2));
    expect(sent).toBe(USABLE_64);
    const waitedUs = rig.harness.clock.nowUs() - startUs;
    expect(waitedUs).toBeGreaterThanOrEqual(2000);
    expect(waitedUs).toBeLessThan(2100);
    mempool.giveBatch(bufs, sent, 100 - sent);
  });

  it('batchWait sends more than the ring holds when the device moves', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0, { mempool: rig.mempool({ count: 512 }) });
    const bufs = new Int32Array(300);
    vf.mempool.takeBatch(bufs, 0, 300);
    const views = packetViews(vf.mempool);
    for (const [id, buf] of bufs.entries()) {
      views.fill(buf, frame({ dst: STRANGER, src: VF0, id }));
    }
    expect(vf.tx[0].batchWait(bufs, 0, 300, 1000)).toBe(300);
    rig.advance();
    expect(wire.take().map(idOf)).toEqual(Array.from({ length: 300 }, (_, id) => id));
  });

  it('with the mempool empty rx hands out nothing, the NIC counts what it drops, and buffers given back end it', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempool = rig.mempool({ count: 96, debug: true });
    const vf = await rig.open(0, 0, { mempool });
    const kept = new Int32Array(96);
    const free = mempool.takeBatch(kept, 0, 96);
    expect(free).toBe(32);
    rig.inject(0, ...numbered(100, VF0));
    const bufs = new Int32Array(100);
    expect(vf.rx[0].batch(bufs, 0, 100)).toBe(0);
    expect(mempool.exhausted).toBeGreaterThan(0);
    // 63 lie in the ring; the slot of the tail is the driver's.
    expect(rig.counters(0)).toMatchObject({ delivered: 63, missedNoDescriptor: 37 });
    mempool.giveBatch(kept, 0, free);
    const got = rig.receive(vf).map(idOf);
    expect(got).toEqual(Array.from({ length: 63 }, (_, id) => id));
    rig.inject(0, frame({ dst: VF0, id: 1000 }));
    expect(rig.receive(vf).map(idOf)).toEqual([1000]);
  });

  it('a driver that is too slow loses frames, and each is counted once', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.inject(0, ...numbered(200, VF0));
    const got = rig.receive(vf);
    const { delivered, missedNoDescriptor } = rig.counters(0);
    expect(got.length).toBe(delivered);
    expect(delivered + missedNoDescriptor).toBe(200);
    expect(missedNoDescriptor).toBeGreaterThan(0);
  });

  itSpreads.each([
    { pf: 'linux-6.1', queues: 2 },
    { pf: 'linux-7.3', queues: 4 },
    { pf: 'dpdk', queues: 8 },
  ] as const)(
    'RSS of a $pf PF spreads flows over $queues queues, each flow on one of them and in order',
    async ({ pf, queues }) => {
      const rig = rigOf({ vfs: 1, pf });
      const wire = rig.wire(0);
      wire.closedLoop = true;
      const vf = await rig.open(0, 0, { rxQueues: queues });
      for (let i = 0; i < 1024; i++) wire.inject(ipv4Frame({ dst: VF0, host: i % 64, id: i >> 6 }));
      const queueOf = new Map<number, number>();
      const seen = new Map<number, number[]>();
      const bufs = new Int32Array(64);
      for (let round = 0; round < 100; round++) {
        rig.advance();
        for (const [q, queue] of vf.rx.entries()) {
          const views = packetViews(vf.mempools[q]);
          const n = queue.batch(bufs, 0, 64);
          for (let i = 0; i < n; i++) {
            const { host, id } = flowOf(views.frame(bufs[i]));
            expect(queueOf.get(host) ?? q).toBe(q);
            queueOf.set(host, q);
            seen.set(host, [...(seen.get(host) ?? []), id]);
          }
          vf.mempools[q].giveBatch(bufs, 0, n);
        }
      }
      const inOrder = Array.from({ length: 16 }, (_, id) => id);
      expect(seen.size).toBe(64);
      for (const ids of seen.values()) expect(ids).toEqual(inOrder);
      expect(new Set(queueOf.values())).toEqual(new Set(vf.rx.keys()));
    },
  );

  it.each([
    { pf: 'linux-6.1', queues: 4 },
    { pf: 'dpdk', queues: 8 },
  ] as const)(
    'every one of the $queues tx queues that a $pf PF grants sends',
    async ({ pf, queues }) => {
      const rig = rigOf({ vfs: 1, pf });
      const wire = rig.wire(0);
      const vf = await rig.open(0, 0, { txQueues: queues });
      const ids = [...vf.tx.keys()];
      for (const q of ids) rig.send(vf, [frame({ dst: STRANGER, src: VF0, id: q })], q);
      expect(ids.length).toBe(queues);
      expect(wire.take().map(idOf)).toEqual(ids);
    },
  );

  itSpreads('queues take from the mempool of their number, and give back to it', async () => {
    const rig = rigOf({ vfs: 1 });
    const mempools = [rig.mempool({ count: 200 }), rig.mempool({ count: 300 })];
    const vf = await rig.open(0, 0, { rxQueues: 2, txQueues: 2, mempool: mempools });
    expect(mempools.map(({ available }) => available)).toEqual([200 - 64, 300 - 64]);
    const wire = rig.wire(0);
    for (let i = 0; i < 100; i++) wire.inject(ipv4Frame({ dst: VF0, host: i, id: i }));
    expect(rig.receive(vf).length).toBe(100);
    for (const q of [0, 1]) rig.send(vf, [frame({ dst: STRANGER, src: VF0 })], q);
    vf.stop();
    expect(mempools.map(({ available }) => available)).toEqual([200, 300]);
  });
}
