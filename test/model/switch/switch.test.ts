import { describe, expect, it } from 'vitest';
import type { NicOptions } from '../../../src/model/nic.ts';
import { parseSilicon } from '../../../src/model/silicon.ts';
import { Bench, BROADCAST, frame, macOf, OFFER, type RawVf } from '../nic-fixture.ts';

const VP = 1 << 3;
const LB = 1 << 18;
const ELSEWHERE = [2, 0, 0, 0, 0, 7];

function received(vf: RawVf): number {
  let n = 0;
  for (let i = 0; i < vf.rxCount; i++) if ((vf.rx(i)[2] & 1) === 1) n++;
  return n;
}

function setUp(
  vfs: number,
  options: object = {},
  chip: Partial<NicOptions> = {},
): { bench: Bench; vf: RawVf[] } {
  const bench = new Bench([{ vfs, ...options }], chip);
  const vf = Array.from({ length: vfs }, (_, i) => bench.vf(0, i));
  for (const each of vf) {
    each.startRx();
    each.startTx();
  }
  bench.nic.step(8);
  return { bench, vf };
}

function transmit(bench: Bench, vf: RawVf, bytes: number[]): void {
  vf.send(bytes);
  vf.kick();
  bench.nic.step(64);
}

describe('frames from the wire', () => {
  it('filters what nobody owns, unknown VLANs and frames that are too long or too short', () => {
    const { bench, vf } = setUp(1);
    bench.offer(0, frame({ dst: ELSEWHERE }));
    bench.offer(0, frame({ tci: 7 }));
    bench.offer(0, frame({ length: 1515 }));
    bench.offer(0, frame().slice(0, 13));
    bench.offer(0, frame({ dst: [1, 0, 0x5e, 0, 0, 1] }));
    expect(bench.row(0, 0)).toMatchObject({ delivered: 0, filtered: 5 });
    expect(received(vf[0])).toBe(0);
  });

  it('takes 1514 bytes, and 4 more with a tag', () => {
    const { bench, vf } = setUp(1);
    vf[0].request(bench.nic, [0x1_0004, 7]);
    bench.offer(0, frame({ length: 1514 }));
    bench.offer(0, frame({ length: 1518, tci: 7 }));
    bench.offer(0, frame({ length: 1519, tci: 7 }));
    expect(bench.row(0, 0)).toMatchObject({ delivered: 2, filtered: 1 });
  });

  it('gives unicast to its owner only, and counts what is filtered for the owner of the address', () => {
    const { bench, vf } = setUp(3);
    bench.offer(0, frame({ dst: macOf(0, 2) }));
    bench.offer(0, frame({ dst: macOf(0, 2), tci: 9 }));
    bench.offer(0, frame({ dst: ELSEWHERE }));
    expect(vf.map(received)).toEqual([0, 0, 1]);
    expect(bench.row(0, 2)).toMatchObject({ delivered: 1, filtered: 1 });
    expect(bench.row(0, 0)).toMatchObject({ filtered: 1 });
  });

  it('replicates a broadcast to every VF, each counted once', () => {
    const { bench, vf } = setUp(3);
    vf[1].setWord(0x1028, 0);
    bench.nic.step(1);
    const bytes = frame({ dst: BROADCAST });
    expect(bench.offer(0, bytes)).toBe(OFFER.TAKEN);
    expect(vf.map(received)).toEqual([1, 0, 1]);
    expect(vf[2].rxData(0, 60)).toEqual(bytes);
    expect(vf[2].rx(0)[2]).toBe(3);
    expect(bench.row(0, 1)).toMatchObject({ missedDisabled: 1, delivered: 0 });
  });

  it('gives multicast by hash to whoever asked for multicast, and all of it to ALLMULTI', () => {
    const { bench, vf } = setUp(3, { trusted: [false, false, true] });
    const [a, b, c] = vf as [RawVf, RawVf, RawVf];
    for (const each of [a, b, c]) each.request(bench.nic, [8, 4]);
    a.request(bench.nic, [0x0c, 1]);
    c.request(bench.nic, [0x0c, 2]);
    // Hash type 0 of ..:00:42 is 0x420, of ..:00:43 too (the low nibble of byte 4 does not count).
    a.request(bench.nic, [0x1_0003, 0x420]);
    bench.offer(0, frame({ dst: [1, 0, 0x5e, 0, 0, 0x42] }));
    bench.offer(0, frame({ dst: [1, 0, 0x5e, 0, 0, 0x52] }));
    expect(vf.map(received)).toEqual([1, 0, 2]);
  });

  it('puts tagged frames into the VLANs of their VF only, after the MAC matched', () => {
    const { bench, vf } = setUp(2);
    vf[1].request(bench.nic, [0x1_0004, 42]);
    bench.offer(0, frame({ dst: macOf(0, 0), tci: 42 }));
    bench.offer(0, frame({ dst: macOf(0, 1), tci: 42 }));
    bench.offer(0, frame({ dst: BROADCAST, tci: 42 }));
    expect(vf.map(received)).toEqual([0, 2]);
    vf[1].request(bench.nic, [0x0_0004, 42]);
    bench.offer(0, frame({ dst: macOf(0, 1), tci: 42 }));
    expect(vf.map(received)).toEqual([0, 2]);
  });

  it('follows a MAC that the VF changes: no stale answer', () => {
    const { bench, vf } = setUp(1, { macs: [null] });
    const v = vf[0];
    const words = (mac: number[]): number[] => {
      const [a, b, c, d, e, f] = mac as [number, number, number, number, number, number];
      return [2, (a | (b << 8) | (c << 16) | (d << 24)) >>> 0, e | (f << 8)];
    };
    expect(v.request(bench.nic, words([2, 1, 1, 1, 1, 1]))).toBe(0xa0000002);
    bench.offer(0, frame({ dst: [2, 1, 1, 1, 1, 1] }));
    expect(v.request(bench.nic, words([2, 1, 1, 1, 1, 2]))).toBe(0xa0000002);
    bench.offer(0, frame({ dst: [2, 1, 1, 1, 1, 1] }));
    bench.offer(0, frame({ dst: [2, 1, 1, 1, 1, 2] }));
    expect(bench.row(0, 0)).toMatchObject({ delivered: 2, filtered: 1 });
  });

  it('waits in closed loop for a VF that is not up, but not for an address nobody has', () => {
    const bench = new Bench([{ vfs: 2 }]);
    expect(bench.offer(0, frame({ dst: macOf(0, 1) }), true)).toBe(OFFER.LATER);
    expect(bench.offer(0, frame({ dst: ELSEWHERE }), true)).toBe(OFFER.LATER);
    bench.vf(0, 0).startRx();
    bench.nic.step(8);
    expect(bench.offer(0, frame({ dst: macOf(0, 1) }), true)).toBe(OFFER.LATER);
    expect(bench.offer(0, frame({ dst: ELSEWHERE }), true)).toBe(OFFER.TAKEN);
    expect(bench.offer(0, frame({ dst: macOf(0, 0) }), true)).toBe(OFFER.TAKEN);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 1, filtered: 1, missedDisabled: 0 });
  });

  it('hands out a closed-loop broadcast only when every VF that is up has room', () => {
    const { bench, vf } = setUp(2);
    for (let i = 0; i < 7; i++) bench.offer(0, frame({ dst: macOf(0, 1) }));
    expect(bench.offer(0, frame({ dst: BROADCAST }), true)).toBe(OFFER.LATER);
    expect(vf.map(received)).toEqual([0, 7]);
    expect(bench.row(0, 1)).toMatchObject({ missedNoDescriptor: 0 });
  });

  it('drops what VFRE forbids', () => {
    const { bench, vf } = setUp(1);
    bench.nic.pf(0).setLinkState(0, 'disable');
    bench.nic.step(1);
    bench.offer(0, frame());
    expect(received(vf[0])).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ missedDisabled: 1 });
  });

  it.each([
    { chip: {} },
    { chip: { macType: 'x540' } },
    { chip: { macType: 'x550', silicon: parseSilicon('hide-vlan=off') } },
  ] as const)('leaves the tag of a port VLAN in the frame: $chip', ({ chip }) => {
    const { bench, vf } = setUp(1, { portVlans: [30] }, chip);
    const tagged = frame({ tci: 30, length: 64 });
    bench.offer(0, tagged);
    expect(vf[0].rxData(0, 64)).toEqual(tagged);
    expect(vf[0].rx(0)).toEqual([0, 0, VP | 3, 64]);
  });

  it.each([
    { chip: { macType: 'x550' } },
    { chip: { silicon: parseSilicon('hide-vlan=on') } },
  ] as const)('hides the tag of a port VLAN: $chip', ({ chip }) => {
    const { bench, vf } = setUp(1, { portVlans: [30] }, chip);
    const tagged = frame({ tci: 30, length: 64 });
    bench.offer(0, tagged);
    bench.offer(0, frame());
    const v = vf[0];
    expect(v.rxData(0, 60)).toEqual([...tagged.slice(0, 12), ...tagged.slice(16)]);
    expect(v.rx(0)).toEqual([0, 0, 3, 60]);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 1, filtered: 1 });
  });
});

describe('frames from a VF', () => {
  it('drops a source MAC that is not its own, silently: DD comes, VFGPTC does not count', () => {
    const { bench, vf } = setUp(2);
    const v = vf[0];
    const index = v.send(frame({ dst: ELSEWHERE, src: macOf(0, 1) }));
    transmit(bench, v, frame({ dst: ELSEWHERE, src: macOf(0, 0) }));
    expect(bench.wires[0]?.frames).toHaveLength(1);
    expect(v.done(index)).toBe(true);
    expect(v.counter(0x201c)).toBe(1);
    expect(bench.row(0, 0)).toMatchObject({ spoofed: 1 });
  });

  it('lets any source pass with spoof checking off', () => {
    const { bench, vf } = setUp(1, { spoofChecks: [false] });
    transmit(bench, vf[0], frame({ dst: ELSEWHERE, src: [2, 9, 9, 9, 9, 9] }));
    expect(bench.wires[0]?.frames).toHaveLength(1);
  });

  it('lets any source pass to a DPDK PF, which checks none unless it is told to', () => {
    const { bench, vf } = setUp(1, { pf: 'dpdk' });
    const strange = frame({ dst: ELSEWHERE, src: [2, 9, 9, 9, 9, 9] });
    transmit(bench, vf[0], strange);
    expect(bench.wires[0]?.frames).toHaveLength(1);
    bench.nic.pf(0).setSpoofCheck(0, true);
    transmit(bench, vf[0], strange);
    expect(bench.row(0, 0)).toMatchObject({ spoofed: 1 });
  });

  it('does not send what VFTE forbids', () => {
    const { bench, vf } = setUp(1);
    bench.nic.pf(0).setLinkState(0, 'disable');
    bench.nic.step(1);
    transmit(bench, vf[0], frame({ dst: ELSEWHERE, src: macOf(0, 0) }));
    expect(bench.wires[0]?.frames).toHaveLength(0);
    expect(bench.row(0, 0)).toMatchObject({ missedDisabled: 1 });
  });

  it('takes unicast for a neighbour to it, with LB, and not to the wire', () => {
    const { bench, vf } = setUp(2);
    const bytes = frame({ dst: macOf(0, 1), src: macOf(0, 0) });
    transmit(bench, vf[0], bytes);
    expect(bench.wires[0]?.frames).toHaveLength(0);
    expect(vf[1].rxData(0, 60)).toEqual(bytes);
    expect(vf[1].rx(0)[2]).toBe(3 | LB);
    expect(vf[0].counter(0x201c)).toBe(1);
  });

  it('sends broadcast to the wire and the neighbours, never back to the sender', () => {
    const { bench, vf } = setUp(3);
    transmit(bench, vf[1], frame({ dst: BROADCAST, src: macOf(0, 1) }));
    expect(bench.wires[0]?.frames.map((f) => f.vf)).toEqual([1]);
    expect(vf.map(received)).toEqual([1, 0, 1]);
  });

  it('delivers nothing that a VF sends to itself', () => {
    const { bench, vf } = setUp(2);
    transmit(bench, vf[0], frame({ dst: macOf(0, 0), src: macOf(0, 0) }));
    expect(bench.wires[0]?.frames).toHaveLength(0);
    expect(vf.map(received)).toEqual([0, 0]);
    expect(bench.row(0, 0)).toMatchObject({ filtered: 1 });
  });

  it('keeps ports apart', () => {
    const bench = new Bench([{ vfs: 1 }, { vfs: 1 }]);
    const a = bench.vf(0, 0);
    const b = bench.vf(1, 0);
    a.startTx();
    b.startRx();
    bench.nic.step(8);
    transmit(bench, a, frame({ dst: macOf(1, 0), src: macOf(0, 0) }));
    expect(received(b)).toBe(0);
    expect(bench.wires[0]?.frames).toHaveLength(1);
  });

  it.each([
    { macType: '82599', seen: 68, status: VP },
    { macType: 'x550', seen: 64, status: 0 },
  ] as const)(
    'inserts the port VLAN, which neighbours on an $macType see in $seen bytes',
    (one) => {
      const { macType, seen, status } = one;
      const { bench, vf } = setUp(2, { portVlans: [30, 30] }, { macType });
      const bytes = frame({ dst: BROADCAST, src: macOf(0, 0), length: 64 });
      transmit(bench, vf[0], bytes);
      const out = bench.wires[0]?.frames[0]?.bytes;
      expect(out).toEqual([...bytes.slice(0, 12), 0x81, 0, 0, 30, ...bytes.slice(12)]);
      expect(vf[1].rxData(0, seen)).toEqual(seen === 68 ? out : bytes);
      expect(vf[1].rx(0)[2]).toBe(3 | LB | status);
    },
  );

  it('inserts the priority of the port VLAN, and a priority without a VLAN', () => {
    const { bench, vf } = setUp(2, { portVlans: [30, 0], portPriorities: [5, 6] });
    const tag = (index: number) => bench.wires[0]?.frames[index]?.bytes.slice(12, 16);
    transmit(bench, vf[0], frame({ dst: ELSEWHERE, src: macOf(0, 0), length: 64 }));
    transmit(bench, vf[1], frame({ dst: ELSEWHERE, src: macOf(0, 1), length: 64 }));
    expect(tag(0)).toEqual([0x81, 0, 0xa0, 30]);
    expect(tag(1)).toEqual([0x81, 0, 0xc0, 0]);
  });

  it('inserts a tag of VID 0 where the port has traffic classes', () => {
    const { bench, vf } = setUp(1, { trafficClasses: 4 });
    transmit(bench, vf[0], frame({ dst: ELSEWHERE, src: macOf(0, 0), length: 64 }));
    expect(bench.wires[0]?.frames[0]?.bytes.slice(12, 16)).toEqual([0x81, 0, 0, 0]);
  });

  it("drops a tag that is not the VF's where VLAN anti-spoofing is on", () => {
    const { bench, vf } = setUp(1);
    const v = vf[0];
    bench.nic.pf(0).setSpoofCheck(0, true);
    transmit(bench, v, frame({ dst: ELSEWHERE, src: macOf(0, 0), tci: 12 }));
    expect(bench.wires[0]?.frames).toHaveLength(0);
    v.request(bench.nic, [0x1_0004, 12]);
    transmit(bench, v, frame({ dst: ELSEWHERE, src: macOf(0, 0), tci: 12 }));
    expect(bench.wires[0]?.frames).toHaveLength(1);
    expect(bench.row(0, 0)).toMatchObject({ spoofed: 1 });
  });
});
