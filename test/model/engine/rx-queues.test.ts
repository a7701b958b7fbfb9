import { describe, expect, it } from 'vitest';
import { parseSilicon } from '../../../src/model/silicon.ts';
import { Bench, frame, type RawVf } from '../nic-fixture.ts';

const VFMRQC = 0x3000;
const VFRSSRK = 0x3100;
const VFRETA = 0x3200;
const RSSEN = 1;
const IPV4_TCP = 1 << 16;
const IPV4 = 1 << 17;
/** The key of Microsoft's verification suite. */
const KEY = [
  0xda565a6d, 0xc20e5b25, 0x3d256741, 0xb08fa343, 0xcb2bcad0, 0xb4307bae, 0xa32dcb77, 0x0cf23080,
  0x3bb7426a, 0xfa01acbe,
];

/** Starts rx queues 0 to n - 1. @returns the first two words of each queue's first descriptor, where it is done */
function queues(bench: Bench, vf: RawVf, n: number): () => (number[] | undefined)[] {
  const rings = Array.from({ length: n }, (_, queue) => {
    vf.startRx({ queue });
    return vf.rxRing >>> 2;
  });
  bench.nic.step(8);
  const { u32 } = vf.memory.views;
  return () => rings.map((d) => ((u32[d + 2] & 1) !== 0 ? [...u32.subarray(d, d + 2)] : undefined));
}

/** TCP from 66.9.149.187:2794 to 161.142.100.80:1766, whose hash with KEY is 0x51ccc178, and 0x323e8fc2 without ports. */
function tcp(): number[] {
  const bytes = frame({ type: 0x0800 });
  const flow = [66, 9, 149, 187, 161, 142, 100, 80, 2794 >> 8, 2794 & 255, 1766 >> 8, 1766 & 255];
  bytes.splice(14, 24, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, ...flow);
  return bytes;
}

describe("an X550's own RSS registers", () => {
  it("choose hash and queue: key, types and table are the VF's", () => {
    const bench = new Bench([{ vfs: 1 }], { macType: 'x550' });
    const vf = bench.vf(0, 0);
    const seen = queues(bench, vf, 4);
    for (const [i, word] of KEY.entries()) vf.device.mmioWrite(VFRSSRK + 4 * i, word);
    // Entry 0x38 of 64, the low bits of the hash: queue 3. Entry 2: queue 2.
    vf.device.mmioWrite(VFRETA + 0x38, 3);
    vf.device.mmioWrite(VFRETA, 2 << 16);
    bench.offer(0, tcp());
    expect(seen()).toEqual([[0x110, 0], undefined, undefined, undefined]);
    vf.device.mmioWrite(VFMRQC, RSSEN | IPV4 | IPV4_TCP);
    bench.nic.step(1);
    bench.offer(0, tcp());
    vf.device.mmioWrite(VFMRQC, RSSEN | IPV4);
    bench.offer(0, tcp());
    expect(seen()).toEqual([[0x110, 0], undefined, [0x112, 0x323e8fc2], [0x111, 0x51ccc178]]);
    expect([VFMRQC, VFRSSRK + 36, VFRETA + 0x38].map((at) => vf.device.mmioRead(at))).toEqual([
      RSSEN | IPV4,
      KEY[9],
      3,
    ]);
    expect(bench.nic.recorder.violationCount).toBe(0);
  });

  it('hold RSS of a driver before with stale-mrqc, which no reset clears and which takes flows to queue 1', () => {
    const silicon = parseSilicon('stale-mrqc');
    const bench = new Bench([{ vfs: 1 }], { macType: 'x550', silicon });
    const vf = bench.vf(0, 0);
    const seen = queues(bench, vf, 2);
    vf.device.functionReset();
    expect((vf.device.mmioRead(VFMRQC) & RSSEN) !== 0).toBe(true);
    vf.bringUp(bench.nic);
    const after = queues(bench, vf, 2);
    for (let host = 0; host < 8; host++) {
      const bytes = tcp();
      bytes[29] = host;
      bench.offer(0, bytes);
    }
    expect(seen()).toEqual([undefined, undefined]);
    expect(after().every((descriptor) => descriptor !== undefined)).toBe(true);
  });

  it.each(['82599', 'x540'] as const)('are none of an %s', (macType) => {
    const bench = new Bench([{ vfs: 1 }], { macType, silicon: parseSilicon('stale-mrqc') });
    const vf = bench.vf(0, 0);
    expect(vf.device.mmioRead(VFMRQC)).toBe(0);
    expect(bench.nic.recorder.violations.map(({ kind }) => kind)).toEqual(['unknown-register']);
  });
});

it('gives frames of a priority to the queue of its traffic class, whatever RQPL says', () => {
  const bench = new Bench([{ vfs: 1, trafficClasses: 4 }]);
  const vf = bench.vf(0, 0);
  const seen = queues(bench, vf, 4);
  const of = (priority: number): number[] => frame({ tci: priority << 13 });
  bench.offer(0, of(2));
  bench.offer(0, of(7));
  expect(seen().map((descriptor) => descriptor !== undefined)).toEqual([false, false, true, true]);
  bench.offer(0, tcp());
  expect(seen()[0]).toEqual([0x110, 0]);
  bench.offer(0, of(1));
  expect(seen()[1]).toBeDefined();
});

it.each([
  { macType: '82599', kinds: ['ring-setup'] },
  { macType: 'x540', kinds: [] },
] as const)('RLPML_EN on an $macType is recorded as $kinds', ({ macType, kinds }) => {
  const bench = new Bench([{ vfs: 1 }], { macType });
  const vf = bench.vf(0, 0);
  vf.startRx();
  vf.setWord(0x1028, (1 << 25) | (1 << 15) | 1536);
  bench.nic.step(1);
  expect(bench.nic.recorder.violations.map(({ kind }) => kind)).toEqual(kinds);
});
