import { describe, expect, test } from 'vitest';
import { CablePort } from '../../../src/model/ports/cable.ts';
import { Cables, makePort } from '../../../src/model/ports/index.ts';
import { OFFER, type WirePort } from '../../../src/model/types.ts';
import { countersOf, type Harness, makeHarness, makeViews, takeFrames } from './harness.ts';

const frame = (length: number, tag: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => (i * 7 + tag) & 255);

function cable(): { a: CablePort; b: CablePort; atA: Harness; atB: Harness } {
  const views = makeViews();
  const cables = new Cables();
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

  test('a cable with one end is named in a warning, one that joins two ports is not', () => {
    const cables = new Cables();
    const warnings: string[] = [];
    const log = { debug: () => {}, info: () => {}, warn: (line: string) => warnings.push(line) };
    for (const [port, spec] of ['cable:4', 'cable:7', 'cable:4'].entries()) {
      makePort(spec, makeHarness({ port, cables }).context);
    }
    cables.warnOfLoose(log);
    expect(warnings).toEqual([
      'cable:7 is at one port only, so its link stays down; give it to a second port',
    ]);
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
    // Ten leave, nine fit again, round the end of the queue: it never fills up to its head.
    expect(b.step(10)).toBe(10);
    for (let i = 14_563; i < 14_574; i++) harnessSend(atA, a, frame(60, i));
    const kept = 10 + b.step(20_000);
    // 1 MiB, 72 bytes a record.
    expect(kept).toBe(14_563 + 9);
    expect(b.dropped).toBe(18_000 - 14_563 + 2);
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
  toVf1.set(atB.macs[1]);
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

test('runs to one unicast destination are written in place, as far as there are places; all else is offered', () => {
  const { a, b, atA, atB } = cable();
  const { batch, ingress } = atB.context;
  const views = atB.context.views();
  const got: (Uint8Array | string)[] = [];
  let places = 2;
  Object.assign(ingress, {
    claim: (word0: number, word1: number, longest: number, n: number): number => {
      if (longest > 9724) return 0;
      const k = Math.min(n, places);
      got.push(`claim ${n} of ${longest}, got ${k}`);
      for (let i = 0; i < k; i++) {
        const w = (5 << 17) + i * 1024;
        views.i32.fill(-1, w, w + 1024);
        batch.targets[i] = w;
        expect([views.i32[w], word0 & 0xff, word1 >>> 16]).toEqual([-1, 2, 0]);
      }
      return k;
    },
    commit: (n: number): void => {
      for (let i = 0; i < n; i++) {
        const at = batch.targets[i] << 2;
        const length = batch.sizes[i];
        got.push(views.u8.slice(at, at + length));
        // Not a byte more than the frame has.
        expect([views.u8[at + length], views.u8[at + length + 3]]).toEqual([255, 255]);
      }
    },
    offer: (offset: number, length: number): number => {
      got.push('offer', views.u8.slice(offset, offset + length));
      return OFFER.TAKEN;
    },
  });
  const to = (last: number, length: number): Uint8Array => {
    const data = frame(length, last);
    data.set([2, 0, 0, 0, 0, last]);
    return data;
  };
  const tagged = to(1, 64);
  tagged.set([0x81, 0], 12);
  const broadcast = frame(70, 5);
  broadcast.fill(255, 0, 6);
  const [one, two, three, other] = [to(1, 60), to(1, 61), to(1, 1514), to(2, 67)];
  atA.transmit(a, [one, two, three, tagged, broadcast, other]);
  expect(b.step(3)).toBe(3);
  expect(got.splice(0)).toEqual([
    'claim 3 of 1514, got 2',
    one,
    two,
    'claim 1 of 1514, got 1',
    three,
  ]);
  places = 0;
  expect(b.step(10)).toBe(3);
  expect(got).toEqual([
    ...['offer', tagged, 'offer', broadcast],
    ...['claim 1 of 67, got 0', 'offer', other],
  ]);
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
        const wanted = frame(data.length, sent[got]);
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
