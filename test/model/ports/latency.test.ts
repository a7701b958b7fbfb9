import { describe, expect, test } from 'vitest';
import { latencyLine } from '../../../src/cli/run/latency-line.ts';
import { makePort } from '../../../src/model/ports/index.ts';
import { LatencyTrack, latencyRow } from '../../../src/model/ports/latency.ts';
import { percentile } from '../../../src/support/histogram.ts';
import { makeHarness, onesSum, sinkOf, takeFrames } from './harness.ts';

function makeTrack(every = 1, flows = 1): { track: LatencyTrack; at: { us: number } } {
  const at = { us: 0 };
  return { track: new LatencyTrack({ nowUs: () => at.us, sleepUs: () => {} }, every, flows), at };
}

describe('the track of a stream', () => {
  test('every bucket holds its sample, and is right to 1 in 64', () => {
    for (const ns of [0, 1, 127, 128, 129, 1000, 4095, 4096, 123_456, 7_654_321, 2 ** 33 + 5]) {
      const { track, at } = makeTrack();
      track.sent(0, 1, 0);
      at.us = ns / 1000;
      track.arrived(0, 1);
      const { samples, maxNs, buckets } = latencyRow(track.copy(3));
      expect([samples, maxNs, buckets.length]).toEqual([1, ns, 1]);
      const [highest, count] = buckets[0];
      expect(count).toBe(1);
      expect(highest).toBeGreaterThanOrEqual(ns);
      expect(highest - ns).toBeLessThanOrEqual(ns / 64);
    }
  });

  test('frames may overtake each other, and only what was sent counts, once', () => {
    const { track, at } = makeTrack(1, 4);
    track.sent(0, 10, 0);
    track.sent(1, 10, 0);
    at.us = 5;
    track.arrived(1, 10);
    track.arrived(1, 10);
    track.arrived(2, 10);
    at.us = 9;
    track.arrived(0, 10);
    expect(latencyRow(track.copy(0))).toMatchObject({ samples: 2, maxNs: 9000 });
  });

  test('lost frames do not keep later ones from being found, one in N of any number of flows', () => {
    for (const [every, flows] of [
      [1, 1],
      [7, 3],
      [64, 16_384],
    ] as const) {
      const { track, at } = makeTrack(every, flows);
      for (let stamp = 0; stamp < 40_000; stamp++) {
        const frame = stamp * every + every - 1;
        at.us = stamp;
        track.sent(frame % flows, Math.floor(frame / flows), at.us);
        at.us += 2;
        if (stamp >= 20_000) track.arrived(frame % flows, Math.floor(frame / flows));
      }
      expect(latencyRow(track.copy(0))).toMatchObject({ samples: 20_000, maxNs: 2000 });
    }
  });
});

test('latency=N stamps each N-th frame, whose checksum stays right; sinks measure it on any port', () => {
  const from = makeHarness({ port: 0 });
  const source = makePort('gen:latency=4,flows=3,size=67', from.context);
  source.step(16);
  const frames = takeFrames(from);
  const magic = frames.map((frame) => (frame[42] << 8) | frame[43]);
  expect(magic.map((value) => value === 0x4979)).toEqual(frames.map((_, i) => i % 4 === 3));
  for (const frame of frames) {
    const udp = frame.subarray(34);
    const pseudo = Uint8Array.of(
      ...frame.subarray(26, 34),
      0,
      17,
      udp.length >> 8,
      udp.length & 255,
    );
    const odd = udp.length % 2 === 0 ? [] : [0];
    expect(onesSum(Uint8Array.of(...pseudo, ...udp, ...odd))).toBe(0xffff);
  }
  const to = makeHarness({ port: 1 });
  const sink = makePort('gen', { ...to.context, latencies: from.context.latencies });
  from.nowUs = 7;
  to.transmit(sink, frames);
  expect(sinkOf(sink)).toEqual([16, 0, 0, 0]);
  expect(from.context.latencies.copies().map(latencyRow)).toEqual([
    { port: 0, stamped: 4, samples: 4, maxNs: 7000, buckets: [[7039, 4]] },
  ]);
});

test('a stamped frame with one bit flipped is corrupt and no sample', () => {
  const from = makeHarness({ port: 0 });
  makePort('gen:latency=1', from.context).step(1);
  const [frame] = takeFrames(from);
  const to = makeHarness({ port: 1 });
  const sink = makePort('gen', { ...to.context, latencies: from.context.latencies });
  let flips = 0;
  for (let bit = 12 * 8; bit < frame.length * 8; bit++) {
    const copy = frame.slice();
    copy[bit >> 3] ^= 1 << (bit & 7);
    to.transmit(sink, [copy]);
    flips++;
  }
  expect(sinkOf(sink)).toEqual([0, 0, 0, flips]);
  expect(from.context.latencies.copies()[0]?.samples).toBe(0);
});

test('window=FROM-TO counts what was sent between, from the first frame on that came back to any port', () => {
  const harness = makeHarness({ port: 0 });
  const ports = [0, 1].map((port) => {
    const context = { ...makeHarness({ port }).context, clock: harness.context.clock };
    return { ...context, latencies: harness.context.latencies };
  });
  const track = ports[0].latencies.open(0, harness.context.clock, 1, 1, { from: 2, to: 3 });
  const other = ports[1].latencies.open(1, harness.context.clock, 1, 1, { from: 2, to: 3 });
  const send = (which: LatencyTrack, number: number, seconds: number, took: number): void => {
    which.sent(0, number, seconds * 1e6);
    harness.nowUs = seconds * 1e6 + took;
    which.arrived(0, number);
  };
  track.sent(0, 1, 0.5e6); // lost, and before the first one came back
  send(other, 1, 1, 1); // came back at 1.000001 s
  send(track, 2, 2.9, 100);
  send(track, 3, 3.1, 10);
  send(other, 2, 3.9, 20);
  track.sent(0, 4, 3.95e6); // lost
  send(track, 5, 4.1, 300);
  expect(harness.context.latencies.copies().map(latencyRow)).toEqual([
    { port: 0, stamped: 2, samples: 1, maxNs: 10_000, buckets: [[10_111, 1]] },
    { port: 1, stamped: 1, samples: 1, maxNs: 20_000, buckets: [[20_223, 1]] },
  ]);
});

test('a closed-loop frame that has to wait keeps its number and is stamped once', () => {
  const from = makeHarness({ port: 0 });
  const source = makePort('gen:latency=2', from.context);
  from.room = 1;
  expect(source.step(8)).toBe(1);
  expect(source.step(8)).toBe(0);
  from.room = 3;
  expect(source.step(8)).toBe(3);
  const magic = takeFrames(from).map((frame) => frame[43]);
  expect(magic).toEqual([0x78, 0x79, 0x78, 0x79]);
});

test('percentiles, and the line for a person', () => {
  const row = {
    port: 1,
    stamped: 1000,
    samples: 1000,
    maxNs: 50_000,
    buckets: [
      [1000, 900],
      [2000, 99],
      [50_047, 1],
    ] as const,
  };
  expect([50, 90, 99, 99.9, 100].map((p) => percentile(row.buckets, p, row.maxNs))).toEqual([
    1000, 1000, 2000, 2000, 50_000,
  ]);
  expect(latencyLine(row)).toBe(
    'model port 1 latency of 1000 frames: p50 1.0 us, p90 1.0 us, p99 2.0 us, p99.9 2.0 us, p99.99 50.0 us, max 50.0 us',
  );
  expect(latencyLine({ ...row, stamped: 1002 })).toContain('of 1000 frames, of 1002 stamped: p50');
  expect(percentile([], 50, 0)).toBe(0);
});
