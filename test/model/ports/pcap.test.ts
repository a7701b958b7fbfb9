import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makePort } from '../../../src/model/ports/index.ts';
import { parsePcap } from '../../../src/support/pcap/reader.ts';
import { PcapWriter } from '../../../src/support/pcap/writer.ts';
import { CAPTURES } from '../../support/captures.ts';
import { countersOf, makeHarness, takeFrames } from './harness.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ixy-pcap-port-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const frame = (length: number, tag: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => (i * 7 + tag) & 255);

function capture(name: string, frames: readonly Uint8Array[]): string {
  const path = join(dir, name);
  const writer = new PcapWriter(path);
  for (const data of frames) writer.append(data, 1, 0);
  writer.close();
  return path;
}

describe('refusals', () => {
  test('a file that is not there, a directory to write to, a VF that does not exist', () => {
    const { context } = makeHarness();
    expect(() => makePort(`pcap:${dir}/none.pcap`, context)).toThrow(/none\.pcap.*ENOENT/);
    const input = capture('in.pcap', [frame(60, 1)]);
    expect(() => makePort(`pcap:${input},${dir}`, context)).toThrow(/EISDIR/);
    expect(() => makePort(`pcap:${input},vf=1`, context)).toThrow(/vf= below 1/);
  });

  test('a truncated capture plays what is whole, then ends with one message', () => {
    const harness = makeHarness();
    const input = capture('in.pcap', [frame(60, 1), frame(60, 2)]);
    writeFileSync(input, readFileSync(input).subarray(0, -1));
    const port = makePort(`pcap:${input},loop=0`, harness.context);
    expect(port.step(10)).toBe(1);
    expect(port.step(10)).toBe(0);
    expect(port).toMatchObject({ done: true });
    expect(harness.errors).toHaveLength(1);
    expect(harness.errors[0]).toMatch(/^pcap file .*truncated/);
  });

  test('a full disk is reported once, and every frame after it is counted', () => {
    const harness = makeHarness();
    const input = capture('in.pcap', [frame(60, 1)]);
    const port = makePort(`pcap:${input},/dev/full`, harness.context);
    const big = [frame(9000, 0), frame(9000, 1), frame(9000, 2)];
    for (let i = 0; i < 60; i++) harness.transmit(port, big);
    port.close();
    expect(harness.errors).toHaveLength(1);
    expect(harness.errors[0]).toMatch(/\/dev\/full.*ENOSPC/);
    // Those that were buffered for the write that failed are lost like all that followed.
    expect(countersOf(port).unwritten).toBe(180);
  });

  test('a full disk that shows only at close is reported', () => {
    const harness = makeHarness();
    const port = makePort(`pcap:${capture('in.pcap', [frame(60, 1)])},/dev/full`, harness.context);
    harness.transmit(port, [frame(60, 1)]);
    expect(harness.errors).toEqual([]);
    port.close();
    port.close();
    expect(harness.errors).toHaveLength(1);
    expect(harness.errors[0]).toMatch(/ENOSPC/);
    expect(countersOf(port).unwritten).toBe(1);
  });

  test('a capture without a frame to offer is not played for ever', () => {
    const harness = makeHarness();
    const port = makePort(`pcap:${capture('in.pcap', [])},loop=0`, harness.context);
    expect(port.step(10)).toBe(0);
    expect(port).toMatchObject({ done: true });
    const empty = makePort(
      `pcap:${capture('two.pcap', [new Uint8Array(0)])},loop=0`,
      harness.context,
    );
    expect(empty.step(10)).toBe(0);
    expect(empty).toMatchObject({ done: true, skipped: 1 });
    expect(countersOf(empty).skipped).toBe(1);
  });
});

describe('one rule holds for captured frames', () => {
  const play = (name: keyof typeof CAPTURES, options = ''): [number[], string[], unknown] => {
    const harness = makeHarness();
    const input = join(dir, `${name}.pcap`);
    writeFileSync(input, CAPTURES[name]);
    const port = makePort(`pcap:${input}${options}`, harness.context);
    port.step(100);
    return [takeFrames(harness).map(({ length }) => length), harness.errors, port];
  };
  const plain = Array.from({ length: 10 }, (_, i) => 60 + i);

  test.each<[keyof typeof CAPTURES, string, number[]]>([
    ['caplong', '', [785, ...plain]],
    ['snap', '', new Array(10).fill(64)],
    ['snap', ',pad=yes', new Array(10).fill(1000)],
    ['vlan1518', '', new Array(10).fill(1518)],
    ['modified', '', plain],
  ])('%s%s', (name, options, lengths) => {
    const [played, errors, port] = play(name, options);
    expect([played, errors]).toEqual([lengths, []]);
    expect(port).toMatchObject({ done: true, skipped: 0 });
  });

  test('a capture of no frames says so', () => {
    expect(play('none')[1]).toEqual([
      expect.stringContaining('none.pcap: expected frames to play, got none; capture again'),
    ]);
  });
});

describe('a FIFO', () => {
  const fifo = (): string => {
    const path = join(dir, 'fifo');
    execFileSync('mkfifo', [path]);
    return path;
  };

  test('is waited for without blocking, and played as it is written', () => {
    const harness = makeHarness();
    const path = fifo();
    const port = makePort(`pcap:${path}`, harness.context);
    expect([port.step(10), port.step(10)]).toEqual([0, 0]);
    const writer = openSync(path, 'w');
    expect(port.step(10)).toBe(0);
    writeSync(writer, CAPTURES.plain.subarray(0, 200));
    expect([port.step(10), port.step(10)]).toEqual([2, 0]);
    writeSync(writer, CAPTURES.plain.subarray(200));
    closeSync(writer);
    expect(port.step(10)).toBe(8);
    expect([port.step(10), harness.errors]).toEqual([0, []]);
    expect(port).toMatchObject({ done: true });
    port.close();
  });

  test('can be played only once', () => {
    const path = fifo();
    expect(() => makePort(`pcap:${path},loop=2`, makeHarness().context)).toThrow(
      /expected a file to play several times, got a FIFO/,
    );
  });

  test('that nobody reads is no place to write to', () => {
    const input = capture('in.pcap', [frame(60, 1)]);
    expect(() => makePort(`pcap:${input},${fifo()}`, makeHarness().context)).toThrow(
      /ENXIO: nobody reads this FIFO; start its reader first/,
    );
  });

  test('whose reader has stopped reading costs a moment, an error, and the frames', () => {
    const harness = makeHarness();
    const path = fifo();
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const port = makePort(`pcap:${capture('in.pcap', [frame(60, 1)])},${path}`, harness.context);
    for (let i = 0; i < 200; i++) harness.transmit(port, [frame(9000, i)]);
    port.close();
    closeSync(reader);
    expect(harness.errors).toEqual([expect.stringMatching(/ETIMEDOUT.*does it still read/)]);
    // None of the frames that the failed write was to bring is known to have arrived.
    expect(countersOf(port).unwritten).toBe(200);
  });
});

test('frames come in order to the one VF, padded, and wait where there is no descriptor', () => {
  const harness = makeHarness();
  const sent = [frame(100, 1), frame(42, 2), frame(1514, 3)];
  const port = makePort(`pcap:${capture('in.pcap', sent)}`, harness.context);
  harness.room = 1;
  expect(port.step(10)).toBe(1);
  expect(port.step(10)).toBe(0);
  harness.room = 5;
  expect(port.step(1)).toBe(1);
  expect(port).toMatchObject({ done: false });
  expect(port.step(10)).toBe(1);
  expect(port).toMatchObject({ done: true });
  expect(harness.offered.map((one) => one.closedLoop)).toEqual([true, true, true]);
  const got = takeFrames(harness);
  const padded = new Uint8Array(60);
  padded.set(sent[1]);
  const wanted = [sent[0], padded, sent[2]];
  wanted.forEach((data, i) => {
    expect([...got[i].subarray(0, 6)]).toEqual([2, 9, 0xc0, 0, 0, 0]);
    expect(got[i].subarray(6)).toEqual(data.subarray(6));
  });
  expect(countersOf(port).offered).toBe(3);
});

test('with several VFs the MAC is kept, and the frame counted for the VF it names', () => {
  const harness = makeHarness({ vfs: 3 });
  const toVf2 = frame(60, 1);
  toVf2.set(harness.macs[2]);
  const input = capture('in.pcap', [toVf2, frame(60, 9)]);
  const port = makePort(`pcap:${input}`, harness.context);
  port.step(10);
  expect(takeFrames(harness)).toEqual([toVf2, frame(60, 9)]);
  expect([0, 1, 2].map((vf) => countersOf(port, vf).offered)).toEqual([1, 0, 1]);
  makePort(`pcap:${input},dst=vf,vf=1`, harness.context).step(10);
  for (const data of takeFrames(harness)) {
    expect([...data.subarray(0, 6)]).toEqual([2, 9, 0xc0, 0, 0, 1]);
  }
});

test('loop plays it again, rate paces it open-loop, and a VF without MAC is waited for', () => {
  const harness = makeHarness();
  harness.macs[0] = new Uint8Array(6);
  const input = capture('in.pcap', [frame(60, 1), frame(60, 2)]);
  const port = makePort(`pcap:${input},loop=3,rate=1000`, harness.context);
  expect(port.step(10)).toBe(0);
  harness.macs[0] = Uint8Array.of(2, 0, 0, 0, 0, 7);
  expect(port.step(10)).toBe(1);
  harness.nowUs = 3000;
  expect(port.step(10)).toBe(3);
  harness.nowUs = 20_000;
  expect(port.step(10)).toBe(2);
  expect(harness.offered.map((one) => one.closedLoop)).toEqual(new Array(6).fill(false));
  expect(takeFrames(harness).map((data) => data[6])).toEqual([43, 44, 43, 44, 43, 44]);
});

test('what leaves the chip is written with the time of the clock', () => {
  const harness = makeHarness();
  const output = join(dir, 'out.pcap');
  const port = makePort(`pcap:${capture('in.pcap', [])},${output}`, harness.context);
  harness.nowUs = 3_000_007;
  harness.transmit(port, [frame(60, 1), frame(1514, 2)]);
  port.close();
  port.close();
  const frames = parsePcap(readFileSync(output), 'out');
  expect(frames.map((one) => one.data)).toEqual([frame(60, 1), frame(1514, 2)]);
  expect(frames.map((one) => [one.seconds, one.nanoseconds])).toEqual([
    [3, 7000],
    [3, 7000],
  ]);
  expect(harness.errors).toEqual([]);
});
