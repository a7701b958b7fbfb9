// What happens to single frames: lengths at the edges, jumbo frames, frames that
// no buffer holds, anti-spoofing, frames between VFs of one port.

import { expect, it } from 'vitest';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { BROADCAST, frame, idOf, STRANGER } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const VF1 = '02:09:c0:00:00:01';

export function frameTests(make: MakeHarness): void {
  const rigOf = useRigs(make);

  it('what arrives is byte for byte what the wire carried, at every length to 1,514', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const lengths = [60, 61, 62, 63, 64, 127, 128, 1023, 1024, 1025, 1513, 1514];
    const frames = lengths.map((length, id) => frame({ dst: VF0, length, id }));
    rig.inject(0, ...frames);
    expect(rig.receive(vf)).toEqual(frames);
  });

  it('what is sent is byte for byte what the wire carries, and short frames are padded with zeros', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    const lengths = [60, 61, 1023, 1514];
    const whole = lengths.map((length, id) => frame({ dst: STRANGER, src: VF0, length, id }));
    rig.send(vf, whole);
    expect(wire.take()).toEqual(whole);
    for (const length of [14, 16, 17, 33, 59]) {
      // The buffer was used before: none of that may leak into the padding.
      rig.send(vf, [frame({ dst: STRANGER, src: VF0, length: 1514 })]);
      wire.take();
      const short = frame({ dst: STRANGER, src: VF0, length });
      rig.send(vf, [short]);
      const [seen] = wire.take();
      expect(seen.length).toBe(60);
      expect(seen.subarray(0, length)).toEqual(short);
      expect([...seen.subarray(length)]).toEqual(new Array(60 - length).fill(0));
    }
  });

  it('a frame of a length that cannot be sent is counted as dropped, and its buffer comes back', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const mempool = rig.mempool({ count: 128, debug: true });
    const vf = await rig.open(0, 0, { mempool });
    const { length } = packetViews(mempool);
    const bufs = new Int32Array(4);
    mempool.takeBatch(bufs, 0, 4);
    const free = mempool.available;
    for (const [i, bytes] of [0, 13, 2049, 65_535].entries()) length[bufs[i]] = bytes;
    expect(vf.tx[0].batch(bufs, 0, 4)).toBe(4);
    expect(vf.tx[0].counters).toEqual({ packets: 0, bytes: 0, dropped: 4, lost: 0 });
    expect(mempool.available).toBe(free + 4);
    rig.advance();
    expect(wire.take()).toEqual([]);
  });

  it('a frame longer than the port lets in is filtered and never reaches the VF', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    rig.inject(0, frame({ dst: VF0, length: 1515 }), frame({ dst: VF0, length: 1514, id: 3 }));
    expect(rig.receive(vf).map(idOf)).toEqual([3]);
    expect(rig.counters(0).filtered).toBe(1);
  });

  it.each(['linux-6.1', 'linux-7.3', 'dpdk'] as const)(
    'jumbo frames of 9,018 bytes go both ways through a %s PF that has them',
    async (pf) => {
      const rig = rigOf({ vfs: 1, pf, pfMtu: 9000 });
      const wire = rig.wire(0);
      const vf = await rig.open(0, 0, { maxFrame: 9018 });
      expect(vf.maxFrame).toBe(9018);
      expect(vf.mempool.bufferBytes).toBe(10_240);
      const lengths = [60, 2048, 2049, 4096, 9014];
      const inward = lengths.map((length, id) => frame({ dst: VF0, length, id }));
      rig.inject(0, ...inward);
      expect(rig.receive(vf)).toEqual(inward);
      expect(vf.rx[0].counters.dropped).toBe(0);
      const outward = lengths.map((length, id) => frame({ dst: STRANGER, src: VF0, length, id }));
      rig.send(vf, outward);
      expect(wire.take()).toEqual(outward);
    },
  );

  it('a frame larger than a buffer is dropped whole, counted once, and the next one is intact', async () => {
    const rig = rigOf({ vfs: 1, pfMtu: 9000 });
    const vf = await rig.open(0, 0);
    const small = [0, 1, 2].map((id) => frame({ dst: VF0, id }));
    const large = [2049, 4096, 9014].map((length) => frame({ dst: VF0, length }));
    rig.inject(0, small[0], large[0], small[1], large[1], large[2], small[2]);
    expect(rig.receive(vf)).toEqual(small);
    expect(vf.rx[0].counters).toMatchObject({ packets: 3, dropped: 3, lost: 0 });
  });

  it('frames larger than a buffer, and nothing else, never hold the ring up', async () => {
    const rig = rigOf({ vfs: 1, pfMtu: 9000 });
    const vf = await rig.open(0, 0);
    for (let i = 0; i < 100; i++) {
      rig.inject(0, frame({ dst: VF0, length: 9014 }));
      expect(rig.receive(vf)).toEqual([]);
    }
    expect(vf.rx[0].counters.dropped).toBe(100);
    rig.inject(0, frame({ dst: VF0, id: 8 }));
    expect(rig.receive(vf).map(idOf)).toEqual([8]);
  });

  it("a frame with somebody else's source MAC does not leave, and the NIC counts it as spoofed", async () => {
    const rig = rigOf({ vfs: 2 });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    await rig.open(0, 1);
    rig.send(vf, [
      frame({ dst: STRANGER, src: '02:00:00:00:00:01' }),
      frame({ dst: STRANGER, src: VF1 }),
      frame({ dst: STRANGER, src: VF0, id: 9 }),
    ]);
    expect(wire.take().map(idOf)).toEqual([9]);
    expect(rig.counters(0, 0).spoofed).toBe(2);
    expect(vf.stats().txPackets).toBe(1);
  });

  it('a host that switched anti-spoofing off lets any source MAC out', async () => {
    const rig = rigOf({ vfs: 1, spoofChecks: [false] });
    const wire = rig.wire(0);
    const vf = await rig.open(0, 0);
    rig.send(vf, [frame({ dst: STRANGER, src: '02:00:00:00:00:01', id: 4 })]);
    expect(wire.take().map(idOf)).toEqual([4]);
  });

  it('a frame between two VFs of a port reaches the other and not the wire', async () => {
    const rig = rigOf({ vfs: 3 });
    const wire = rig.wire(0);
    const [a, b, c] = [await rig.open(0, 0), await rig.open(0, 1), await rig.open(0, 2)];
    const sent = frame({ dst: VF1, src: VF0, id: 11, length: 333 });
    rig.send(a, [sent]);
    expect(rig.receive(b)).toEqual([sent]);
    expect(rig.receive(c)).toEqual([]);
    expect(rig.receive(a)).toEqual([]);
    expect(wire.take()).toEqual([]);
  });

  it('a broadcast of a VF reaches the wire and every other VF, but not itself', async () => {
    const rig = rigOf({ vfs: 3 });
    const wire = rig.wire(0);
    const [a, b, c] = [await rig.open(0, 0), await rig.open(0, 1), await rig.open(0, 2)];
    rig.send(a, [frame({ dst: BROADCAST, src: VF0, id: 12 })]);
    expect(rig.receive(b).map(idOf)).toEqual([12]);
    expect(rig.receive(c).map(idOf)).toEqual([12]);
    expect(rig.receive(a)).toEqual([]);
    expect(wire.take().map(idOf)).toEqual([12]);
  });

  it('a broadcast from the wire reaches every VF', async () => {
    const rig = rigOf({ vfs: 2 });
    const [a, b] = [await rig.open(0, 0), await rig.open(0, 1)];
    rig.inject(0, frame({ dst: BROADCAST, id: 13 }));
    expect(rig.receive(a).map(idOf)).toEqual([13]);
    expect(rig.receive(b).map(idOf)).toEqual([13]);
  });

  it('data starts behind the headroom that the mempool was made with, both ways', async () => {
    const rig = rigOf({ vfs: 1 });
    const wire = rig.wire(0);
    const mempool = rig.mempool({ count: 256, bufferBytes: 4096, headroomBytes: 128 });
    const vf = await rig.open(0, 0, { mempool });
    const inward = frame({ dst: VF0, length: 700, id: 1 });
    rig.inject(0, inward);
    expect(rig.receive(vf)).toEqual([inward]);
    const outward = frame({ dst: STRANGER, src: VF0, length: 700, id: 2 });
    rig.send(vf, [outward]);
    expect(wire.take()).toEqual([outward]);
  });
}
