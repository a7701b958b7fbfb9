import { describe, expect, it } from 'vitest';
import { makeReplay, type ReplayOptions } from '../../../src/cli/pktgen/replay.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { createMempool } from '../../../src/memory/mempool.ts';
import { packetViews } from '../../../src/memory/packet-views.ts';
import type { PcapFrame } from '../../../src/support/pcap/format.ts';

const SOURCE = Uint8Array.of(0x02, 0x09, 0xc0, 0, 0, 0);

function captured(seconds: number, nanoseconds: number, data: Uint8Array): PcapFrame {
  return { seconds, nanoseconds, data, originalLength: data.length };
}

function frame(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

/** A replay on a clock that a test sets. */
function player(frames: readonly PcapFrame[], options: Partial<ReplayOptions> = {}) {
  const mempool = createMempool(processArena(), { count: 64 });
  const views = packetViews(mempool);
  const waiting = [...frames];
  const bufs = new Int32Array(16);
  const state = { nowUs: 1e6, skipped: 0 };
  const source = makeReplay({
    mempool,
    reader: { path: 'x.pcap', poll: () => waiting.shift() ?? null },
    pad: false,
    source: SOURCE,
    destination: null,
    maxLength: 1514,
    clock: (out) => {
      out[0] = state.nowUs;
    },
    onSkip: () => {
      state.skipped++;
    },
    ...options,
  });
  return {
    state,
    source,
    /** Frames due now. */
    take(n = 16): number[][] {
      const count = source.fill(bufs, n);
      const out = Array.from(bufs.subarray(0, count), (buf) => [...views.frame(buf)]);
      mempool.giveBatch(bufs, 0, count);
      return out;
    },
  };
}

describe('a replay', () => {
  it('skips what is no frame and what is longer than allowed', () => {
    const { take, state, source } = player([
      captured(0, 0, frame(13, 1)),
      captured(0, 0, frame(1515, 2)),
      captured(0, 0, frame(0, 3)),
      captured(0, 0, frame(1514, 5)),
    ]);
    expect(take().map((bytes) => [bytes.length, bytes[20]])).toEqual([[1514, 5]]);
    expect([state.skipped, source.ended]).toEqual([3, true]);
  });

  it('keeps the destination and the rest, and sends from the MAC of the VF', () => {
    const [bytes] = player([captured(0, 0, frame(70, 7))]).take();
    expect(bytes).toEqual([...frame(6, 7), ...SOURCE, ...frame(58, 7)]);
  });

  it('rewrites the destination where it was told one', () => {
    const destination = Uint8Array.of(2, 1, 1, 1, 1, 1);
    const [bytes] = player([captured(0, 0, frame(70, 7))], { destination }).take();
    expect(bytes.slice(0, 12)).toEqual([...destination, ...SOURCE]);
  });

  it('fills short frames up with zeros, and with pad cut ones too, unless they are too long', () => {
    const cut = { ...captured(0, 0, frame(64, 9)), originalLength: 100 };
    const long = { ...captured(0, 0, frame(64, 4)), originalLength: 1600 };
    const frames = [captured(0, 0, frame(20, 8)), cut, long];
    const filled = player(frames, { pad: true });
    const [short, padded, ...none] = filled.take();
    expect([short.length, short.slice(20).every((byte) => byte === 0)]).toEqual([60, true]);
    expect([padded.length, padded.slice(64).every((byte) => byte === 0)]).toEqual([100, true]);
    expect([none.length, filled.state.skipped]).toEqual([0, 1]);
    expect(
      player(frames)
        .take()
        .map((bytes) => bytes.length),
    ).toEqual([60, 64, 64]);
  });

  it('takes no time from others as long as the next frame has not come', () => {
    const coming: (PcapFrame | null | undefined)[] = [undefined, captured(0, 0, frame(60, 1))];
    coming.push(undefined, captured(0, 0, frame(60, 2)), null);
    const poll = (): PcapFrame | null | undefined => coming.shift();
    const { take, source } = player([], { reader: { path: 'x.pcap', poll } });
    const turns = [1, 2, 3, 4].map(() => take().map((bytes) => bytes[20]));
    expect(turns).toEqual([[], [1], [2], []]);
    expect(source.ended).toBe(true);
  });

  it('fails where a capture has no frame that can be played', () => {
    expect(() => player([]).take()).toThrow('x.pcap: expected frames to play, got none');
    expect(() => player([captured(0, 0, frame(13, 1))]).take()).toThrow('got only 1 too long');
  });

  it('plays each frame when its time has come, from the first on', () => {
    const { take, state, source } = player([
      captured(100, 999_999_000, frame(60, 1)),
      captured(101, 0, frame(60, 2)),
      captured(101, 500_000, frame(60, 3)),
      captured(103, 0, frame(60, 4)),
    ]);
    const numbers = (): number[] => take().map((bytes) => bytes[20]);
    expect(numbers()).toEqual([1]);
    expect(numbers()).toEqual([]);
    state.nowUs += 1;
    expect(numbers()).toEqual([2]);
    state.nowUs += 499;
    expect(numbers()).toEqual([]);
    state.nowUs += 1;
    expect(numbers()).toEqual([3]);
    state.nowUs += 5e6;
    expect([numbers(), source.ended]).toEqual([[4], true]);
    expect(numbers()).toEqual([]);
  });

  it('plays a frame that is older than the one before it at once', () => {
    const { take } = player([captured(5, 0, frame(60, 1)), captured(4, 0, frame(60, 2))]);
    expect(take().length).toBe(2);
  });

  it('plays all at once without a clock, a batch a time', () => {
    const frames = [1, 2, 3].map((n) => captured(n * 1000, 0, frame(60, n)));
    const { take } = player(frames, { clock: null });
    expect(take(2).map((bytes) => bytes[20])).toEqual([1, 2]);
    expect(take(2).map((bytes) => bytes[20])).toEqual([3]);
  });

  it('sends what it could read of a damaged file before it fails', () => {
    const frames = [captured(0, 0, frame(60, 1)), captured(0, 0, frame(60, 2))];
    const poll = (): PcapFrame => {
      const first = frames.shift();
      if (first === undefined) throw new Error('the file is damaged');
      return first;
    };
    const { take } = player([], { reader: { path: 'x.pcap', poll } });
    expect(take().map((bytes) => bytes[20])).toEqual([1, 2]);
    expect(() => take()).toThrow('the file is damaged');
  });
});
