import { describe, expect, test } from 'vitest';
import { CablePort } from '../../../src/model/ports/cable.ts';
import { CableBox, makePort } from '../../../src/model/ports/index.ts';
import type { WirePort } from '../../../src/model/types.ts';
import { countersOf, type Harness, makeHarness, makeViews, takeFrames } from './harness.ts';

const frame = (length: number, tag: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => (i * 7 + tag) & 255);

function cable(): { a: CablePort; b: CablePort; atA: Harness; atB: Harness } {
  const views = makeViews();
  const cables = new CableBox();
  const atA = makeHarness({ port: 0, views, cables });
  const atB = makeHarness({ port: 1, vfs: 2, views, cables, base: 1 << 20 });
  const end = (port: WirePort): CablePort => {
    if (port instanceof CablePort) return port;
    throw new Error('not a cable');
  };
  return {
    a: end(makePort('cable:4', atA.context)),
    b: end(makePort('cable:4', atB.context)),
    atA,
    atB,
  };
}

describe('refusals', () => {
  test('a third end is refused, and free again once an end is closed', () => {
    const { a, atA } = cable();
    expect(() => makePort('cable:4', atA.context)).toThrow(/free end/);
    a.close();
    a.close();
    expect(makePort('cable:4', atA.context).linkUp).toBe(true);
  });

  test('a port that needs a TAP device is refused where there is none, and made by the hook where there is', () => {
    const { context } = makeHarness();
    expect(() => makePort('tap:ixy0', context)).toThrow(/tap:ixy0.*TAP/);
    const made = makePort('none', context);
    expect(
      makePort('tap:ixy0', { ...context, openTap: (name) => (name === 'ixy0' ? made : made) }),
    ).toBe(made);
  });

  test('a cable with one end has no link, and what is sent into it is dropped', () => {
    const harness = makeHarness();
    const port = makePort('cable:1', harness.context);
    expect(port.linkUp).toBe(false);
    harness.transmit(port, [frame(60, 1)]);
    expect(port).toMatchObject({ dropped: 1 });
  });

  test('frames that do not fit into the queue are dropped and counted, the others come unchanged', () => {
    const { a, b, atA, atB } = cable();
    for (let i = 0; i < 18_000; i++) harnessSend(atA, a, frame(60, i));
    // Ten leave, ten fit again, round the end of the queue: it never fills up to its head.
    expect(b.step(10)).toBe(10);
    for (let i = 16_383; i < 16_394; i++) harnessSend(atA, a, frame(60, i));
    const kept = 10 + b.step(20_000);
    // 1 MiB, 64 bytes a record, one word never used.
    expect(kept).toBe(16_383 + 10);
    expect(b.dropped).toBe(18_000 - 16_383 + 1);
    const same = takeFrames(atB).every((data, i) => Buffer.compare(data, frame(60, i)) === 0);
    expect(same).toBe(true);
  });
});

function harnessSend(harness: Harness, port: WirePort, data: Uint8Array): void {
  harness.transmit(port, [data]);
}

test('frames that leave one end come in at the other, closed loop, both ways', () => {
  const { a, b, atA, atB } = cable();
  expect([a.linkUp, b.linkUp]).toEqual([true, true]);
  const toVf1 = frame(60, 3);
  toVf1.set(atB.macs[1]!);
  atA.transmit(a, [toVf1, frame(1514, 2)]);
  atB.transmit(b, [frame(61, 9)]);
  atB.room = 1;
  expect(b.step(10)).toBe(1);
  expect(b.step(10)).toBe(0);
  atB.room = 1;
  expect(b.step(10)).toBe(1);
  expect(a.step(10)).toBe(1);
  expect(atB.offered.map((one) => one.closedLoop)).toEqual([true, true]);
  expect(takeFrames(atB)).toEqual([toVf1, frame(1514, 2)]);
  expect(takeFrames(atA)).toEqual([frame(61, 9)]);
  expect([0, 1].map((vf) => countersOf(b, vf).offered)).toEqual([1, 1]);
});

test('any mix of lengths survives many turns of the queue in order, and no frame is lost uncounted', () => {
  const { a, b, atA, atB } = cable();
  const sent: number[] = [];
  let got = 0;
  let random = 99;
  const draw = (below: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return (random >>> 10) % below;
  };
  for (let i = 0; i < 3000; i++) {
    const length = 60 + draw(9000);
    const before = b.dropped;
    harnessSend(atA, a, frame(length, i));
    if (b.dropped === before) sent.push(i);
    // Slower than it fills in the first half, faster in the second.
    if (i > 1500 || draw(3) === 0) {
      b.step(2);
      for (const data of takeFrames(atB)) {
        const wanted = frame(data.length, sent[got]!);
        expect(Buffer.compare(data, wanted)).toBe(0);
        got++;
      }
    }
  }
  expect(b.dropped).toBeGreaterThan(0);
  const waiting = sent.length - got;
  const before = b.dropped;
  b.close();
  expect(b.dropped - before).toBe(waiting);
});

test('none swallows frames, offers nothing and has a link', () => {
  const harness = makeHarness();
  const port = makePort('none', harness.context);
  harness.transmit(port, [frame(60, 1)]);
  expect([port.step(8), port.linkUp, harness.offered.length]).toEqual([0, true, 0]);
});
