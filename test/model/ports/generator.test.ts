import { describe, expect, test } from 'vitest';
import { makePort } from '../../../src/model/ports/index.ts';
import { countersOf, makeHarness, onesSum, takeFrames } from './harness.ts';

/** UDP pseudo header and datagram of a frame, for the byte-wise checksum. */
function udpBytes(frame: Uint8Array): Uint8Array {
  const udp = frame.subarray(34, 14 + frame[16] * 256 + frame[17]);
  return Uint8Array.from([
    ...frame.subarray(26, 34),
    0,
    17,
    udp.length >> 8,
    udp.length & 255,
    ...udp,
  ]);
}

const seqOf = (frame: Uint8Array): number => new DataView(frame.buffer).getUint32(44, true);
const flowOf = (frame: Uint8Array): number => frame[34] * 256 + frame[35] - 32_768;

describe('refusals', () => {
  test('a VF that the port does not have is refused', () => {
    expect(() => makePort('gen:vf=2', makeHarness({ vfs: 2 }).context)).toThrow(
      /vf= below 2.*got 2/,
    );
  });

  test('a port index that does not fit into a frame is refused', () => {
    expect(() => makePort('gen', makeHarness({ port: 256 }).context)).toThrow(RangeError);
  });

  test('nothing is offered while the VF has no MAC, and the MAC is used once it has', () => {
    const harness = makeHarness();
    harness.macs[0] = new Uint8Array(6);
    const port = makePort('gen', harness.context);
    expect(port.step(4)).toBe(0);
    harness.macs[0] = Uint8Array.of(2, 1, 1, 1, 1, 1);
    expect(port.step(1)).toBe(1);
    harness.macs[0] = Uint8Array.of(2, 2, 2, 2, 2, 2);
    expect(port.step(1)).toBe(1);
    const [first, second] = takeFrames(harness);
    expect([...first.subarray(0, 6)]).toEqual([2, 1, 1, 1, 1, 1]);
    expect([...second.subarray(0, 6)]).toEqual([2, 2, 2, 2, 2, 2]);
  });
});

test('the first frame at size 64, byte for byte up to the checksums', () => {
  const harness = makeHarness({ port: 3 });
  makePort('gen', harness.context).step(1);
  const [frame] = takeFrames(harness);
  expect(frame.length).toBe(60);
  const hex = Buffer.from(frame).toString('hex');
  expect(hex.slice(0, 24)).toBe('0209c0000300' + '0209c0ff0300');
  expect(hex.slice(24, 48)).toBe('0800' + '4500002e00004000' + '4011');
  expect(hex.slice(52, 80)).toBe('c6120301' + 'c6130301' + '80000009' + '001a');
  expect(hex.slice(84)).toBe('4978' + '00000000' + 'ffffffff' + '0000ffff' + '7fff' + '03fc');
});

test.each(['gen', 'gen:size=65', 'gen:size=66', 'gen:size=67', 'gen:size=1518', 'gen:size=9728'])(
  '%s: IPv4 and UDP checksums hold, computed byte by byte, in every frame and flow',
  (spec) => {
    for (const port of [0, 1, 254]) {
      const harness = makeHarness({ port });
      makePort(
        spec.includes(':') ? `${spec},flows=300` : `${spec}:flows=300`,
        harness.context,
      ).step(700);
      for (const frame of takeFrames(harness)) {
        expect(frame[16] * 256 + frame[17]).toBe(frame.length - 14);
        expect(frame[38] * 256 + frame[39]).toBe(frame.length - 34);
        expect(onesSum(frame.subarray(14, 34))).toBe(0xffff);
        expect(frame[40] + frame[41]).not.toBe(0);
        expect(onesSum(udpBytes(frame))).toBe(0xffff);
      }
    }
  },
);

test('every frame is different, and flows take turns', () => {
  const harness = makeHarness();
  makePort('gen:flows=3', harness.context).step(3000);
  const frames = takeFrames(harness);
  expect(new Set(frames.map((frame) => Buffer.from(frame).toString('hex'))).size).toBe(3000);
  expect(frames.slice(0, 7).map(flowOf)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  expect(frames.slice(0, 7).map(seqOf)).toEqual([0, 0, 0, 1, 1, 1, 2]);
});

test.each([1, 2, 3, 4, 6, 11, 12])('imix with %i flows gives every flow 7:4:1', (flows) => {
  const harness = makeHarness();
  makePort(`gen:imix,flows=${flows}`, harness.context).step(12 * 12 * flows);
  const frames = takeFrames(harness);
  for (let flow = 0; flow < flows; flow++) {
    const own = frames.filter((frame) => flowOf(frame) === flow).map((frame) => frame.length);
    const count = (length: number) => own.filter((one) => one === length).length;
    expect([count(60), count(590), count(1514)]).toEqual([84, 48, 12]);
  }
});

test('closed loop: a frame that found no descriptor is the next one offered, and is counted once', () => {
  const harness = makeHarness();
  const port = makePort('gen', harness.context);
  harness.room = 2;
  expect(port.step(10)).toBe(2);
  expect(port.step(10)).toBe(0);
  expect(countersOf(port).offered).toBe(2);
  harness.room = 1;
  expect(port.step(10)).toBe(1);
  expect(harness.offered.map((one) => one.closedLoop)).toEqual([true, true, true]);
  expect(takeFrames(harness).map(seqOf)).toEqual([0, 1, 2]);
});

test('open loop: as many frames as time has passed, with a bounded catch-up', () => {
  const harness = makeHarness();
  const port = makePort('gen:rate=1M', harness.context);
  expect(port.step(1000)).toBe(1);
  expect(port.step(1000)).toBe(0);
  harness.nowUs = 10;
  expect(port.step(1000)).toBe(10);
  harness.nowUs = 110;
  expect(port.step(30)).toBe(30);
  expect(port.step(1000)).toBe(70);
  harness.nowUs = 1_000_110;
  expect(port.step(100_000)).toBe(2000);
  expect(harness.offered.every((one) => !one.closedLoop)).toBe(true);
});

test('open loop: a rate that is no whole number a step is met in the long run', () => {
  const harness = makeHarness();
  const port = makePort('gen:rate=333', harness.context);
  let sent = 0;
  for (harness.nowUs = 0; harness.nowUs < 3_000_000; harness.nowUs += 700) sent += port.step(64);
  expect(sent).toBeGreaterThanOrEqual(998);
  expect(sent).toBeLessThanOrEqual(1000);
});

test('count ends the source, for its VF only, and dst overrides the MAC', () => {
  const harness = makeHarness({ vfs: 2 });
  const port = makePort('gen:count=5,vf=1,dst=0a:01:02:03:04:05', harness.context);
  expect(port.step(3)).toBe(3);
  expect(port).toMatchObject({ done: false });
  expect(port.step(3)).toBe(2);
  expect(port.step(3)).toBe(0);
  expect(port).toMatchObject({ done: true });
  expect(countersOf(port, 0).offered).toBe(0);
  expect(countersOf(port, 1).offered).toBe(5);
  for (const frame of takeFrames(harness)) {
    expect([...frame.subarray(0, 6)]).toEqual([10, 1, 2, 3, 4, 5]);
  }
});
