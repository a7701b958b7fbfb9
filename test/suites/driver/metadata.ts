// Queues opened with metadata: what the device says of a frame beside its bytes.

import { expect, it } from 'vitest';
import { RX_FLAGS } from '../../../src/hw/descriptors.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { MakeHarness } from '../../support/driver-harness.ts';
import { flowOf, frame, ipv4Frame } from '../../support/frames.ts';
import { useRigs } from './rig.ts';

const VF0 = '02:09:c0:00:00:00';
const RSS_IPV4 = 2;
const TYPE_IPV4 = 1 << 4;

export function metadataTests(make: MakeHarness, rss: boolean): void {
  const rigOf = useRigs(make);
  const itSpreads = it.skipIf(!rss);

  itSpreads(
    "the RSS hash of a frame is its flow's, and its low bits are what chose the queue",
    async () => {
      const rig = rigOf({ vfs: 1, pf: 'linux-7.3' });
      const vf = await rig.open(0, 0, { rxQueues: 4, metadata: true });
      const hashes = new Map<number, number>();
      const bufs = new Int32Array(64);
      for (let round = 0; round < 8; round++) {
        const hosts = Array.from({ length: 32 }, (_, i) => i);
        rig.inject(0, ...hosts.map((host) => ipv4Frame({ dst: VF0, host, id: round })));
        for (const [q, queue] of vf.rx.entries()) {
          const mempool = vf.mempools[q];
          const { flags, hash, frame: bytesOf } = packetViews(mempool);
          const n = queue.batch(bufs, 0, 64);
          for (let i = 0; i < n; i++) {
            const buf = bufs[i];
            const { host } = flowOf(bytesOf(buf));
            expect(flags[buf] & (RX_FLAGS.mask.RSS_TYPE | RX_FLAGS.mask.PACKET_TYPE)).toBe(
              RSS_IPV4 | TYPE_IPV4,
            );
            expect(hash[buf] % 4).toBe(q);
            expect(hashes.get(host) ?? hash[buf]).toBe(hash[buf]);
            hashes.set(host, hash[buf]);
          }
          mempool.giveBatch(bufs, 0, n);
        }
      }
      expect(new Set(hashes.values()).size).toBe(32);
    },
  );

  it.each([
    { stripVlan: true, tag: 0x6064, length: 96 },
    { stripVlan: false, tag: 0, length: 100 },
  ])(
    'a tagged frame says so; with stripVlan $stripVlan its tag is $tag in the table',
    async (one) => {
      const rig = rigOf({ vfs: 1 });
      const { stripVlan } = one;
      const vf = await rig.open(0, 0, { metadata: true, stripVlan });
      vf.addVlan(100);
      // VLAN 100, priority 3.
      const tagged = frame({ dst: VF0, vlan: 0x6064, length: 100, id: 7 });
      rig.inject(0, tagged, frame({ dst: VF0 }));
      const views = packetViews(vf.mempool);
      const bufs = new Int32Array(4);
      expect(vf.rx[0].batch(bufs, 0, 4)).toBe(2);
      const [first, second] = bufs;
      expect(
        [views.flags[first], views.flags[second]].map((f) => (f & RX_FLAGS.mask.VP) !== 0),
      ).toEqual([true, false]);
      expect([views.vlan[first], views.vlan[second]]).toEqual([one.tag, 0]);
      const bare = [...tagged.subarray(0, 12), ...tagged.subarray(16)];
      expect([...views.frame(first)]).toEqual(stripVlan ? bare : [...tagged]);
      expect(views.length[first]).toBe(one.length);
      vf.mempool.giveBatch(bufs, 0, 2);
    },
  );

  it('a queue without metadata leaves the tables alone', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    const views = packetViews(vf.mempool);
    const bufs = new Int32Array(1);
    rig.inject(0, ipv4Frame({ dst: VF0, host: 1, id: 1 }));
    views.flags.fill(0x1234);
    expect(vf.rx[0].batch(bufs, 0, 1)).toBe(1);
    expect(views.flags[bufs[0]]).toBe(0x1234);
    vf.mempool.giveBatch(bufs, 0, 1);
  });
}
