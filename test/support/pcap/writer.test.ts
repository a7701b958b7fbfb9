import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parsePcap } from '../../../src/support/pcap/reader.ts';
import { PcapWriter } from '../../../src/support/pcap/writer.ts';

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
test('the writer writes the bytes of the format', () => {
  const path = join(dir, 'out.pcap');
  const writer = new PcapWriter(path, { snaplen: 65_535 });
  writer.append(Uint8Array.of(0xde, 0xad, 0xbe, 0xef), 0x12345678, 123_456_999, 64);
  writer.close();
  writer.close();
  expect(readFileSync(path)).toEqual(LITTLE);
});

test('snaplen cuts frames and keeps their length; nanoseconds are kept where asked for', () => {
  const path = join(dir, 'out.pcap');
  const writer = new PcapWriter(path, { snaplen: 3, nanosecond: true });
  writer.append(Uint8Array.of(1, 2, 3, 4), 5, 999_999_999);
  writer.append(Uint8Array.of(1, 2), 6, 1);
  writer.close();
  expect(parsePcap(readFileSync(path), path)).toEqual([
    { seconds: 5, nanoseconds: 999_999_999, data: Uint8Array.of(1, 2, 3), originalLength: 4 },
    { seconds: 6, nanoseconds: 1, data: Uint8Array.of(1, 2), originalLength: 2 },
  ]);
});

describe('the writer reports', () => {
  test('a snaplen that the format does not have, a path it cannot create, use after close', () => {
    for (const snaplen of [0, 1.5, 262_145]) {
      expect(() => new PcapWriter(join(dir, 'x'), { snaplen })).toThrow(RangeError);
    }
    expect(() => new PcapWriter(join(dir, 'no', 'x'))).toThrow(/create pcap file.*ENOENT/);
    const writer = new PcapWriter(join(dir, 'x'));
    writer.close();
    expect(() => writer.append(new Uint8Array(1), 0, 0)).toThrow(TypeError);
  });

  test('a full disk at flush, again at every later call, and not a second time at close', () => {
    const writer = new PcapWriter('/dev/full');
    writer.append(new Uint8Array(60), 0, 0);
    for (const call of [
      () => writer.flush(),
      () => writer.append(new Uint8Array(60), 0, 0),
      () => writer.flush(),
    ]) {
      expect(call).toThrow(expect.objectContaining({ errno: 28, path: '/dev/full' }));
    }
    expect(() => writer.close()).not.toThrow();
  });

  test('a full disk when the buffer is full', () => {
    const writer = new PcapWriter('/dev/full');
    const frame = new Uint8Array(262_144);
    const fill = (): void => {
      for (let i = 0; i < 4; i++) writer.append(frame, 0, 0);
    };
    expect(fill).toThrow(/write pcap file \(\/dev\/full\): ENOSPC/);
    writer.close();
  });

  test('a full disk that shows only at close', () => {
    const writer = new PcapWriter('/dev/full');
    writer.append(new Uint8Array(60), 0, 0);
    expect(() => writer.close()).toThrow(/ENOSPC/);
    expect(() => writer.close()).not.toThrow();
  });
});

test('a writer closes with its scope, and writes the rest out', () => {
  const path = join(dir, 'x.pcap');
  const writer = new PcapWriter(path);
  writer.append(new Uint8Array(60), 0, 0);
  writer[Symbol.dispose]();
  expect(parsePcap(readFileSync(path), path).length).toBe(1);
  expect(() => writer.flush()).toThrow(TypeError);
});
