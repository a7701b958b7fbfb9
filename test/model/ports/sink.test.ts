import { describe, expect, test } from 'vitest';
import { GenPort } from '../../../src/model/ports/generator.ts';
import { makePort } from '../../../src/model/ports/index.ts';
import { makePortLoops } from '../../../src/model/ports/loops.ts';
import { FlowSequences } from '../../../src/traffic/sequence.ts';
import { type Harness, makeHarness, makeViews, sinkOf, takeFrames } from './harness.ts';

/** A generator's frames, and another port whose sink receives them. */
function pair(spec: string, n: number): { frames: Uint8Array[]; to: Harness; sink: GenPort } {
  const from = makeHarness({ port: 0 });
  makePort(spec, from.context).step(n);
  const to = makeHarness({ port: 1 });
  const sink = makePort('gen', to.context);
  if (!(sink instanceof GenPort)) throw new Error('not a gen port');
  return { frames: takeFrames(from), to, sink };
}

function flipped(frame: Uint8Array, byte: number, bit: number): Uint8Array {
  const copy = frame.slice();
  copy[byte] ^= 1 << bit;
  return copy;
}

/** A copy with another sequence number, its complement right. */
function numbered(frame: Uint8Array, seq: number): Uint8Array {
  const copy = frame.slice();
  const view = new DataView(copy.buffer);
  const low = seq % 2 ** 32;
  const high = Math.floor(seq / 2 ** 32);
  view.setUint32(44, low, true);
  view.setUint32(48, ~low >>> 0, true);
  view.setUint16(52, high, true);
  view.setUint16(54, ~high & 0xffff, true);
  return copy;
}

describe('damage', () => {
  test.each(['gen', 'gen:size=67', 'gen:size=132'])(
    '%s: any one bit flipped behind the MACs is corrupt, aligned or not',
    (spec) => {
      const { frames, to, sink } = pair(spec, 1);
      let flips = 0;
      for (let byte = 12; byte < frames[0].length; byte++) {
        for (let bit = 0; bit < 8; bit++) {
          to.transmit(sink, [flipped(frames[0], byte, bit)], 0, flips % 9);
          flips++;
        }
      }
      expect(sinkOf(sink)).toEqual([0, 0, 0, flips]);
      expect(sink.sink.other).toBe(0);
    },
  );

  test('the last bit of the longest frame is looked at', () => {
    const { frames, to, sink } = pair('gen:size=9728', 2);
    to.transmit(sink, [flipped(frames[0], 9723, 7), frames[1]]);
    expect(sinkOf(sink)).toEqual([1, 1, 0, 1]);
  });

  test('a frame that became shorter or longer is corrupt', () => {
    const { frames, to, sink } = pair('gen:size=256', 2);
    to.transmit(sink, [
      frames[0].subarray(0, 251),
      frames[0].subarray(0, 60),
      Uint8Array.from([...frames[0], 0]),
    ]);
    expect(sinkOf(sink)).toEqual([0, 0, 0, 3]);
  });

  test('two equal errors that leave the checksum right are corrupt', () => {
    const { frames, to, sink } = pair('gen:size=256', 1);
    const copy = frames[0].slice();
    [copy[100], copy[102]] = [copy[102], copy[100]];
    expect(copy).not.toEqual(frames[0]);
    to.transmit(sink, [copy]);
    expect(sinkOf(sink)).toEqual([0, 0, 0, 1]);
  });

  test('a number and complement that agree but a port that is no flow is corrupt', () => {
    const { frames, to, sink } = pair('gen', 1);
    const copy = frames[0].slice();
    copy[34] = 0x3f;
    copy[56] = 0xc0;
    to.transmit(sink, [copy]);
    expect(sinkOf(sink)).toEqual([0, 0, 0, 1]);
  });
});

test('frames of others are neither good nor corrupt', () => {
  const { to, sink } = pair('gen', 0);
  const arp = new Uint8Array(60);
  arp.set([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
  const wakeOnLan = new Uint8Array(144).fill(0xff);
  wakeOnLan.set([8, 0, 0x45, 0, 0, 130, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 12);
  wakeOnLan.set([0x10, 0, 0, 9, 0, 110, 0, 0], 34);
  to.transmit(sink, [arp, new Uint8Array(60), wakeOnLan, new Uint8Array(13)]);
  expect(sinkOf(sink)).toEqual([0, 0, 0, 0]);
  expect(sink.sink.other).toBe(4);
});

describe('good frames', () => {
  test.each([
    'gen',
    'gen:flows=5',
    'gen:imix,flows=4',
    'gen:size=1518',
    'gen:size=65',
    'gen:size=9728',
    'gen:flows=16384',
  ])('%s: all are received, at any alignment and with other MACs', (spec) => {
    for (let skew = 0; skew < 9; skew++) {
      const { frames, to, sink } = pair(spec, 50);
      for (const frame of frames) frame.set([9, 9, 9, 9, 9, 9, 8, 8, 8, 8, 8, 8]);
      to.transmit(sink, frames, 0, skew);
      expect(sinkOf(sink)).toEqual([50, 0, 0, 0]);
    }
  });

  test('streams of several ports are followed apart', () => {
    const to = makeHarness({ port: 9 });
    const sink = makePort('gen', to.context);
    for (const port of [0, 16, 255]) {
      const from = makeHarness({ port });
      makePort('gen:imix', from.context).step(24);
      to.transmit(sink, takeFrames(from));
    }
    expect(sinkOf(sink)).toEqual([72, 0, 0, 0]);
  });

  test('figures belong to the VF that sent the frame', () => {
    const { frames } = pair('gen', 3);
    const to = makeHarness({ vfs: 2 });
    const sink = makePort('gen', to.context);
    to.transmit(sink, [frames[0]], 1);
    to.transmit(sink, [frames[2], flipped(frames[1], 50, 0)], 0);
    expect(sinkOf(sink, 1)).toEqual([1, 0, 0, 0]);
    expect(sinkOf(sink, 0)).toEqual([1, 1, 0, 1]);
  });

  test('frames in memory that the arena gained after the port was made are reached', () => {
    const { frames } = pair('gen', 3);
    const small = makeViews(1 << 20);
    const large = makeViews(4 << 20);
    let now = small;
    const to = makeHarness();
    const { batch } = to.context;
    const sink = makePort('gen', {
      ...to.context,
      views: () => now,
      frameLoops: () => makePortLoops(now, batch),
    });
    large.u8.set(small.u8);
    now = large;
    for (const [i, frame] of frames.entries()) {
      large.u8.set(frame, (2 << 20) + i * 64);
      batch.offsets[i] = (2 << 20) + i * 64;
      batch.lengths[i] = 60;
    }
    sink.transmit(batch.offsets, batch.lengths, 3, 0);
    expect(sinkOf(sink)).toEqual([3, 0, 0, 0]);
  });
});

describe('order', () => {
  test('frames lost at the start, in the middle and across flows are gaps', () => {
    const { frames, to, sink } = pair('gen:flows=2', 20);
    to.transmit(
      sink,
      frames.filter((_, i) => i !== 0 && i !== 8 && i !== 9 && i !== 10),
    );
    expect(sinkOf(sink)).toEqual([16, 4, 0, 0]);
  });

  test('a repeated frame is a duplicate and not received again', () => {
    const { frames, to, sink } = pair('gen', 4);
    to.transmit(sink, [frames[0], frames[0], frames[1], frames[2], frames[0], frames[3]]);
    expect(sinkOf(sink)).toEqual([4, 0, 2, 0]);
  });

  test('a late frame fills its gap once; the second copy is a duplicate', () => {
    const { frames, to, sink } = pair('gen', 6);
    const order = [0, 3, 1, 1, 4, 2, 3, 5];
    to.transmit(
      sink,
      order.map((i) => frames[i]),
    );
    expect(sinkOf(sink)).toEqual([6, 0, 2, 0]);
  });

  test('flows that overtake each other are in order', () => {
    const { frames, to, sink } = pair('gen:flows=2', 100);
    const flow = (rest: number) => frames.filter((_, i) => i % 2 === rest);
    to.transmit(sink, [...flow(1), ...flow(0)]);
    expect(sinkOf(sink)).toEqual([100, 0, 0, 0]);
  });

  test('numbers go on past 2**32 and keep 48 bits', () => {
    const { frames, to, sink } = pair('gen', 1);
    const from = 2 ** 32 - 2;
    for (let seq = from; seq < from + 4; seq++) to.transmit(sink, [numbered(frames[0], seq)]);
    expect(sinkOf(sink)).toEqual([4, from, 0, 0]);
    to.transmit(sink, [numbered(frames[0], 2 ** 47), numbered(frames[0], 2 ** 47 + 1)]);
    expect(sinkOf(sink)).toEqual([6, 2 ** 47 - 4, 0, 0]);
  });
});

describe('the window of missing numbers', () => {
  const LATE = -1;
  const DUPLICATE = -2;

  test('reaches 65,536 frames back and no further', () => {
    const flows = new FlowSequences();
    expect(flows.accept(0, 65_537)).toBe(65_537);
    expect(flows.accept(0, 1)).toBe(DUPLICATE);
    expect(flows.accept(0, 2)).toBe(LATE);
    expect(flows.accept(0, 2)).toBe(DUPLICATE);
  });

  test('forgets what was missing one window earlier', () => {
    const flows = new FlowSequences();
    expect(flows.accept(0, 1)).toBe(1);
    for (let seq = 2; seq < 65_540; seq++) flows.accept(0, seq);
    // 65,536 shares its bit with 0, which is missing.
    expect(flows.accept(0, 65_536)).toBe(DUPLICATE);
  });

  test('gives late and repeated as an exact record of each number would', () => {
    const flows = new FlowSequences();
    const seen = new Set<number>();
    let next = 0;
    let random = 12_345;
    for (let i = 0; i < 20_000; i++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      const back = (random >>> 8) % 40;
      const seq = Math.max(0, next + 4 - back);
      const wanted = seq >= next ? seq - next : seen.has(seq) ? DUPLICATE : LATE;
      expect(flows.accept(7, seq)).toBe(wanted);
      seen.add(seq);
      next = Math.max(next, seq + 1);
    }
  });
});
