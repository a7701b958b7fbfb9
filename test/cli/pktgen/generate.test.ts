// The generator and the checker of pktgen face to face in one thread, and the generator against the
// model's sink. What the frames are, byte for byte: test/traffic/test-frame.test.ts.

import { describe, expect, it } from 'vitest';
import { makeCheck } from '../../../src/cli/pktgen/check.ts';
import { COUNTS_BYTES } from '../../../src/cli/pktgen/counts.ts';
import { makeGenerator } from '../../../src/cli/pktgen/generate.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { BUF_LIMIT } from '../../../src/memory/layout.ts';
import { createMempool } from '../../../src/memory/mempool.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import { GenPort } from '../../../src/model/ports/generator.ts';
import { makePort } from '../../../src/model/ports/index.ts';
import { FRAME_CHECK_BYTES } from '../../../src/traffic/frame-check.ts';
import { makeFrameLoops, makeFrameRun } from '../../../src/traffic/frame-loops.ts';
import { layOutGenerator, turnsToSkip } from '../../../src/traffic/generator.ts';
import { makeHarness, sinkOf } from '../../model/ports/harness.ts';

const STREAM = 200;
const SOURCE = [0x02, 0x09, 0xc0, 0, 0, 0];
const DESTINATION = [0x02, 0x09, 0xc0, 0, 1, 0];

interface Bench {
  /** Makes n frames, copies. */
  make(n: number): Uint8Array[];
  /** Gives frames to the checker. */
  check(...frames: readonly Uint8Array[]): void;
  /** sent is not counted here: received, gaps, duplicates, corrupt. */
  readonly counts: number[];
}

/** @param lengths bytes without CRC, in turn */
function bench(lengths: readonly number[], flows = 1, stream = STREAM): Bench {
  const arena = processArena();
  const mempool = createMempool(arena, { count: 256, bufferBytes: 10_240 });
  const allocate = (sizeBytes: number): number => arena.allocateControl(sizeBytes);
  const counts = allocate(COUNTS_BYTES) >>> 3;
  const options = { lengths, flows, stream };
  const { state, templates } = layOutGenerator(options, allocate, () => arena.views);
  for (const word of templates) arena.views.u8.set([...DESTINATION, ...SOURCE], word * 4);
  const views = packetViews(mempool);
  const loops = makeFrameLoops(arena.views, makeFrameRun(256, BUF_LIMIT));
  const source = makeGenerator(mempool, state, loops);
  const check = makeCheck({
    ...options,
    mempool,
    loops,
    check: allocate(FRAME_CHECK_BYTES),
    counts,
  });
  const bufs = new Int32Array(256);
  return {
    make(n) {
      const count = source.fill(bufs, n);
      const frames = Array.from(bufs.subarray(0, count), (buf) => new Uint8Array(views.frame(buf)));
      mempool.giveBatch(bufs, 0, count);
      return frames;
    },
    check(...frames) {
      frames.forEach((frame, i) => {
        bufs[i] = mempool.take();
        views.fill(bufs[i], frame);
      });
      check(bufs, frames.length);
      source.overwritten(bufs, frames.length);
      mempool.giveBatch(bufs, 0, frames.length);
    },
    get counts() {
      return Array.from(processArena().views.f64.subarray(counts + 1, counts + 5));
    },
  };
}

/** Independent of the generator's own sum. */
function checksumHolds(bytes: readonly number[]): boolean {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] * 256 + (bytes[i + 1] ?? 0);
  return sum > 0 && sum % 0xffff === 0;
}

function flipped(frame: Uint8Array, byte: number, bit: number): Uint8Array {
  const copy = frame.slice();
  copy[byte] ^= 1 << bit;
  return copy;
}

describe('the generator', () => {
  for (const size of [60, 61, 62, 63, 590, 1514, 9724]) {
    it(`makes frames of ${size} bytes whose IPv4 and UDP checksums and lengths are right`, () => {
      for (const frame of bench([size], 3).make(7)) {
        const bytes = [...frame];
        expect(bytes.length).toBe(size);
        expect(bytes.slice(0, 14)).toEqual([...DESTINATION, ...SOURCE, 0x08, 0x00]);
        expect(bytes[16] * 256 + bytes[17]).toBe(size - 14);
        expect(bytes[38] * 256 + bytes[39]).toBe(size - 34);
        expect(checksumHolds(bytes.slice(14, 34))).toBe(true);
        const udp = bytes.slice(34);
        const pseudo = [...bytes.slice(26, 34), 0, 17, udp.length >> 8, udp.length & 0xff];
        expect(checksumHolds([...pseudo, ...udp])).toBe(true);
      }
    });
  }

  it('makes every frame different', () => {
    const { make } = bench([60, 128], 4);
    const frames = [...make(200), ...make(56)].map((frame) => Buffer.from(frame).toString('hex'));
    expect(new Set(frames).size).toBe(256);
  });

  it('gives every flow every size, in turn', () => {
    const frames = bench([60, 64, 68, 72], 2).make(64);
    const seen = new Set(frames.map((frame) => `${frame[34] * 256 + frame[35]} ${frame.length}`));
    expect(seen).toEqual(
      new Set([32_768, 32_769].flatMap((port) => [60, 64, 68, 72].map((n) => `${port} ${n}`))),
    );
  });

  it('skips turns only where flows and sizes have a common divisor', () => {
    expect([turnsToSkip(1, 12), turnsToSkip(5, 12), turnsToSkip(4, 12)]).toEqual([0, 0, 1]);
  });

  for (const [sizes, flows] of [
    [[60], 1],
    [[60, 590, 1514], 7],
    [[61, 62, 63], 1],
  ] as const) {
    it(`makes frames of ${sizes} bytes in ${flows} flows that the model's sink accepts as they are`, () => {
      const harness = makeHarness({ port: 1 });
      const sink = makePort('gen', harness.context);
      if (!(sink instanceof GenPort)) throw new Error('not a gen port');
      harness.transmit(sink, bench(sizes, flows).make(100));
      expect(sinkOf(sink)).toEqual([100, 0, 0, 0]);
      expect(sink.sink.other).toBe(0);
    });
  }
});

describe('the checker', () => {
  it('counts a frame with any one bit flipped as corrupt, or does not know it as its own', () => {
    const one = bench([67]);
    const [frame] = one.make(1);
    let flips = 0;
    for (let byte = 12; byte < frame.length; byte++) {
      // Bytes 42, 43 and 58, 59 say whose frame it is.
      if ([42, 43, 58, 59].includes(byte)) continue;
      for (let bit = 0; bit < 8; bit++, flips++) one.check(flipped(frame, byte, bit));
    }
    expect(one.counts).toEqual([0, 0, 0, flips]);
    for (const byte of [42, 43, 58, 59]) one.check(flipped(frame, byte, 3));
    expect(one.counts).toEqual([0, 0, 0, flips]);
    one.check(frame);
    expect(one.counts).toEqual([1, 0, 0, flips]);
  });

  it('counts a frame that became shorter or longer as corrupt', () => {
    const one = bench([128, 64]);
    const [frame] = one.make(1);
    one.check(frame.subarray(0, 127), frame.subarray(0, 64), new Uint8Array([...frame, 0]));
    expect(one.counts).toEqual([0, 0, 0, 3]);
  });

  it('leaves frames of others out of its counts', () => {
    const one = bench([60]);
    const [foreign] = bench([60], 1, 3).make(1);
    one.check(new Uint8Array(60), new Uint8Array(14).fill(0x49), foreign);
    expect(one.counts).toEqual([0, 0, 0, 0]);
  });

  it('counts gaps, late frames and duplicates over all flows', () => {
    const one = bench([60, 590], 3);
    const frames = one.make(20);
    one.check(...frames.slice(0, 5), ...frames.slice(8, 10));
    expect(one.counts).toEqual([7, 3, 0, 0]);
    one.check(frames[6], frames[6], frames[2]);
    expect(one.counts).toEqual([8, 2, 2, 0]);
    one.check(...frames.slice(10));
    expect(one.counts).toEqual([18, 2, 2, 0]);
  });

  it('takes frames with other MACs as they are: a forwarder rewrites those', () => {
    const one = bench([60]);
    const frames = one.make(3);
    for (const frame of frames) frame.set([2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4], 0);
    one.check(...frames);
    expect(one.counts).toEqual([3, 0, 0, 0]);
  });

  it('accepts a lower TTL with a right header checksum and refuses it with a wrong one', () => {
    const one = bench([60]);
    const [routed, wrong] = one.make(2);
    for (const frame of [routed, wrong]) frame[22] = 63;
    // RFC 1624: the checksum grows by what the word shrank.
    const sum = routed[24] * 256 + routed[25] + 0x100;
    const folded = (sum & 0xffff) + (sum >> 16);
    routed.set([folded >> 8, folded & 0xff], 24);
    one.check(routed, wrong);
    expect(one.counts).toEqual([1, 0, 0, 1]);
  });

  it('follows the number over 32 bits', () => {
    const one = bench([60]);
    const [frame] = one.make(1);
    const numbered = (low: number, high: number): Uint8Array => {
      const copy = frame.slice();
      const view = new DataView(copy.buffer);
      view.setUint32(44, low, true);
      view.setUint32(48, ~low >>> 0, true);
      view.setUint16(52, high, true);
      view.setUint16(54, ~high & 0xffff, true);
      return copy;
    };
    one.check(numbered(0xfffffffe, 0));
    one.check(numbered(0xffffffff, 0), numbered(0, 1), numbered(1, 1), numbered(3, 1));
    expect(one.counts).toEqual([5, 2 ** 32 - 2 + 1, 0, 0]);
  });
});
