import { execFileSync } from 'node:child_process';
import {
  closeSync,
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
import { VfioError } from '../../../src/support/errors.ts';
import { PcapError, type PcapFrame } from '../../../src/support/pcap/format.ts';
import { PcapReader, parsePcap } from '../../../src/support/pcap/reader.ts';
import { PcapWriter } from '../../../src/support/pcap/writer.ts';
import { CAPTURES } from '../captures.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ixy-pcap-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

// One frame of four bytes, captured from 64, written out by hand from the format's description.
const LITTLE = Buffer.from(
  'd4c3b2a1' +
    '0200' +
    '0400' +
    '00000000' +
    '00000000' +
    'ffff0000' +
    '01000000' +
    '78563412' +
    '40e20100' +
    '04000000' +
    '40000000' +
    'deadbeef',
  'hex',
);
const BIG = Buffer.from(
  'a1b2c3d4' +
    '0002' +
    '0004' +
    '00000000' +
    '00000000' +
    '0000ffff' +
    '00000001' +
    '12345678' +
    '0001e240' +
    '00000004' +
    '00000040' +
    'deadbeef',
  'hex',
);
const patched = (bytes: Uint8Array, at: number, hex: string): Buffer => {
  const copy = Buffer.from(bytes);
  copy.set(Buffer.from(hex, 'hex'), at);
  return copy;
};
const nano = (bytes: Buffer, hex: string): Buffer => patched(bytes, 0, hex);

function readAll(path: string): PcapFrame[] {
  const reader = new PcapReader(path);
  try {
    const frames: PcapFrame[] = [];
    for (let one = reader.next(); one !== null; one = reader.next()) frames.push(one);
    return frames;
  } finally {
    reader.close();
  }
}

describe('what is no complete classic Ethernet capture is refused by parser and reader alike', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /pcap file .*expected a capture, got an empty file/],
    [
      'text',
      Buffer.from('hello, this is no capture'),
      /magic.*got bytes 68 65 6c 6c; .*not a pcap/,
    ],
    ['two bytes', Buffer.from('d4c3', 'hex'), /got bytes d4 c3/],
    [
      'pcapng',
      Buffer.from('0a0d0d0a1c000000', 'hex'),
      /got pcapng; convert it: editcap -F pcap \S*x.pcap OUT.pcap/,
    ],
    [
      'gzip',
      Buffer.from('1f8b0800', 'hex'),
      /got gzip; decompress it: gunzip -c \S*x.pcap > OUT.pcap/,
    ],
    ['half a file header', LITTLE.subarray(0, 23), /header of 24 bytes, got 23; .*truncated/],
    ['version 3', patched(LITTLE, 4, '0300'), /version 2\.x, got 3/],
    ['link type 113', patched(LITTLE, 20, '71000000'), /link type 1 \(Ethernet\), got 113/],
    [
      'half a record header',
      LITTLE.subarray(0, 39),
      /record 0: expected 16 bytes of record header, got 15/,
    ],
    [
      'half a frame',
      LITTLE.subarray(0, 43),
      /record 0: expected 4 bytes of data, got 3; .*truncated/,
    ],
    ['half a second record', Buffer.concat([LITTLE, Buffer.alloc(5)]), /record 1: .*got 5/],
    [
      'a length no capture has',
      patched(LITTLE, 32, '01000400'),
      /at most 262144 captured bytes, got 262145; .*damaged/,
    ],
  ])('%s', (_name, bytes, message) => {
    expect(() => parsePcap(bytes, 'x.pcap')).toThrow(PcapError);
    expect(() => parsePcap(bytes, 'x.pcap')).toThrow(message);
    const path = join(dir, 'x.pcap');
    writeFileSync(path, bytes);
    expect(() => readAll(path)).toThrow(PcapError);
    expect(() => readAll(path)).toThrow(message);
    expect(() => readAll(path)).toThrow(path);
  });

  test('a file that is not there and a directory name path and errno', () => {
    for (const [path, errno] of [
      [join(dir, 'none'), 2],
      [dir, 21],
    ] as const) {
      try {
        new PcapReader(path).close();
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(VfioError);
        expect(error).toMatchObject({ errno, path });
      }
    }
  });
});

test.each([
  ['little-endian microseconds', LITTLE, 123_456_000],
  ['big-endian microseconds', BIG, 123_456_000],
  ['little-endian nanoseconds', nano(LITTLE, '4d3cb2a1'), 123_456],
  ['big-endian nanoseconds', nano(BIG, 'a1b23c4d'), 123_456],
  ['a link type word with FCS bits', patched(LITTLE, 20, '01000014'), 123_456_000],
])('%s', (_name, bytes, nanoseconds) => {
  const path = join(dir, 'x.pcap');
  writeFileSync(path, bytes);
  const wanted = {
    seconds: 0x12345678,
    nanoseconds,
    data: Uint8Array.of(0xde, 0xad, 0xbe, 0xef),
    originalLength: 64,
  };
  expect(parsePcap(bytes, 'x')).toEqual([wanted]);
  expect(readAll(path)).toEqual([wanted]);
});

test('frames are copies, also out of a Buffer', () => {
  const bytes = Buffer.from(LITTLE);
  const [frame] = parsePcap(bytes, 'x');
  bytes.fill(0);
  expect(frame.data[0]).toBe(0xde);
});

test('a header alone is a capture without frames, and reading after the end or close is null', () => {
  expect(parsePcap(LITTLE.subarray(0, 24), 'x')).toEqual([]);
  const path = join(dir, 'x.pcap');
  writeFileSync(path, LITTLE);
  const reader = new PcapReader(path);
  expect(reader.next()).not.toBeNull();
  expect([reader.next(), reader.next()]).toEqual([null, null]);
  reader.close();
  reader.close();
  expect(reader.next()).toBeNull();
});

test('captures longer than every buffer come back frame by frame', () => {
  const path = join(dir, 'out.pcap');
  const writer = new PcapWriter(path);
  const lengths = Array.from({ length: 400 }, (_, i) => (i * 7919) % 20_000);
  lengths.push(262_144, 0, 262_144);
  for (const [i, length] of lengths.entries()) {
    writer.append(new Uint8Array(length).fill(i), i, 0);
  }
  expect(writer.frames).toBe(403);
  writer.close();
  for (const frames of [readAll(path), parsePcap(readFileSync(path), 'x')]) {
    expect(frames.map((one) => one.data.length)).toEqual(lengths);
    expect(frames.map((one) => one.seconds)).toEqual([...lengths.keys()]);
    expect(frames.every((one, i) => one.data.every((byte) => byte === (i & 255)))).toBe(true);
  }
});

test('the modified format is read like any other', () => {
  expect(parsePcap(CAPTURES.modified, 'x')).toEqual(parsePcap(CAPTURES.plain, 'x'));
  const inOtherOrder = patched(BIG, 0, 'a1b2cd34');
  const record = Buffer.concat([inOtherOrder.subarray(0, 40), Buffer.alloc(8), BIG.subarray(40)]);
  expect(parsePcap(record, 'x')).toEqual(parsePcap(BIG, 'x'));
});

describe('a FIFO', () => {
  const fifo = (): string => {
    const path = join(dir, 'fifo');
    execFileSync('mkfifo', [path]);
    return path;
  };

  test('opens without a writer, and frames are there once they are written', () => {
    const path = fifo();
    const reader = new PcapReader(path);
    expect(reader.poll()).toBeUndefined();
    const writer = openSync(path, 'w');
    const polls = (bytes: Uint8Array): unknown => {
      writeSync(writer, bytes);
      return reader.poll();
    };
    expect(polls(LITTLE.subarray(0, 10))).toBeUndefined();
    expect(polls(LITTLE.subarray(10, 43))).toBeUndefined();
    expect(polls(LITTLE.subarray(43))).toEqual(parsePcap(LITTLE, 'x')[0]);
    expect(polls(LITTLE.subarray(24, 30))).toBeUndefined();
    closeSync(writer);
    expect(() => reader.poll()).toThrow(/record 1: .*got 6; the file is truncated/);
    reader.close();
  });

  test('of something else is refused when that has come, and one that stays empty at its end', () => {
    const path = fifo();
    const reader = new PcapReader(path);
    const writer = openSync(path, 'w');
    expect(reader.poll()).toBeUndefined();
    closeSync(writer);
    expect(() => reader.poll()).toThrow(/got an empty file/);
    reader.close();
  });

  test('is waited for in turns by next, until a frame comes or its writer was silent for too long', () => {
    let turns = 0;
    const source = {
      read: (into: Uint8Array, at: number): number | null => {
        if (turns !== 3) return null;
        turns++;
        into.set(LITTLE, at);
        return LITTLE.length;
      },
      wait: (timeoutMs: number): void => {
        expect(timeoutMs).toBeLessThanOrEqual(50);
        turns++;
      },
      close: () => {},
    };
    const reader = new PcapReader('x', source);
    expect(reader.next()).toEqual(parsePcap(LITTLE, 'x')[0]);
    expect(() => reader.next()).toThrow(/read pcap file \(x\): ETIMEDOUT: expected a frame within/);
    expect(turns).toBeLessThan(210);
  });
});

test('a reader closes with its scope', () => {
  const path = join(dir, 'x.pcap');
  writeFileSync(path, LITTLE);
  const reader = new PcapReader(path);
  reader[Symbol.dispose]();
  expect(reader.next()).toBeNull();
});
