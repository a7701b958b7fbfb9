// The format of test frames against bytes written out by hand and against tshark. What the loops do with frames that are
// damaged or out of order: test/model/ports/sink.test.ts and test/cli/pktgen/generate.test.ts.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PcapWriter } from '../../src/support/pcap/writer.ts';
import { ANY_NUMBER, FRAME_CHECK_BYTES, FrameCheck } from '../../src/traffic/frame-check.ts';
import { makeFrameLoops, makeFrameRun } from '../../src/traffic/frame-loops.ts';
import { GEN, layOutGenerator } from '../../src/traffic/generator.ts';
import {
  checksumsHold,
  flowOf,
  looksLikeTestFrame,
  MARK,
  markWord,
  STAMPED_MARK,
  sequenceOf,
  streamOf,
  WORD,
} from '../../src/traffic/test-frame.ts';
import { FRAMES, type GoldenFrame } from '../golden/frames.ts';
import { makeViews } from '../model/ports/harness.ts';

const MACS = Uint8Array.of(2, 9, 0xc0, 0, 3, 0, 2, 9, 0xc0, 0xff, 3, 0);
const TARGET = 1 << 18;

type Wanted = Pick<GoldenFrame, 'length' | 'stream' | 'flow' | 'sequence' | 'stamped'>;

const views = makeViews();
const { i32, u8 } = views;
let next = 4096;

function allocate(sizeBytes: number): number {
  const offset = next;
  next += (sizeBytes + 63) & ~63;
  return offset;
}

/** One frame, in a copy of the heap bytes. */
function make({ length, stream, flow, sequence, stamped }: Wanted): Uint8Array {
  u8.fill(0, 4096, next);
  next = 4096;
  const options = { lengths: [length], flows: flow + 1, stream };
  const { state, templates } = layOutGenerator(options, allocate, () => views);
  for (const word of templates) u8.set(MACS, word * 4);
  i32[state + GEN.FLOW] = flow;
  i32[state + GEN.LOW] = (sequence % 2 ** 32) | 0;
  i32[state + GEN.HIGH] = Math.floor(sequence / 2 ** 32);
  const run = makeFrameRun(1);
  run.targets[0] = TARGET >>> 2;
  makeFrameLoops(views, run).write(state, 1);
  if (stamped) i32[(TARGET >>> 2) + WORD.MARK] = markWord(length, stream, STAMPED_MARK);
  return u8.slice(TARGET, TARGET + run.sizes[0]);
}

const bytesOf = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');

/** Sum in ones' complement, by long division: what RFC 1071 does by folding. */
function sumOf(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (const [i, byte] of bytes.entries()) sum += i % 2 === 0 ? byte * 256 : byte;
  return sum % 0xffff;
}

describe.each(FRAMES)('the frame of $length bytes, stream $stream, flow $flow', (golden) => {
  const { length, hex, end = '' } = golden;
  const written = bytesOf(hex);
  const frame = make(golden);

  it('is byte for byte what is written down', () => {
    expect(frame.length).toBe(length);
    expect(Buffer.from(frame.subarray(0, written.length)).toString('hex')).toBe(
      Buffer.from(written).toString('hex'),
    );
    const last = bytesOf(end);
    expect([...frame.subarray(length - last.length)]).toEqual([...last]);
  });

  it('has a pattern of words that follow the rule', () => {
    for (let at = 60; at < length; at++) {
      const word = Math.floor(at / 4);
      const half = (word * 0x9ffd) % 0x10000;
      const halves = at % 4 < 2 ? half : 0xffff - half;
      expect(frame[at]).toBe(at % 2 === 0 ? halves % 256 : Math.floor(halves / 256));
    }
  });

  it('has the checksums of RFC 791 and RFC 768', () => {
    expect(sumOf(frame.subarray(14, 34))).toBe(0);
    const udp = frame.subarray(34);
    const pseudo = Uint8Array.of(0, 17, udp.length >> 8, udp.length & 0xff);
    expect(sumOf(frame.subarray(26, 34), pseudo, udp)).toBe(0);
    expect(checksumsHold(frame)).toBe(true);
  });

  it('is taken as intact, and read as what it is', () => {
    const w = TARGET >>> 2;
    u8.set(frame, TARGET);
    expect([streamOf(i32, w), flowOf(i32[w + WORD.PORTS] >>> 16), sequenceOf(i32, w)]).toEqual([
      golden.stream,
      golden.flow,
      golden.sequence,
    ]);
    expect(looksLikeTestFrame(u8, TARGET, length)).toBe(true);
    const run = makeFrameRun(1);
    run.offsets[0] = TARGET;
    run.lengths[0] = length;
    const loops = makeFrameLoops(views, run);
    const check = new FrameCheck(i32, allocate(FRAME_CHECK_BYTES));
    const mark = golden.stamped ? STAMPED_MARK : MARK;
    expect(check.pass(loops, i32, 0, 1, length, golden.stream, ANY_NUMBER, mark)).toBe(1);
    u8[TARGET + length - 1] ^= 1;
    expect(check.pass(loops, i32, 0, 1, length, golden.stream, ANY_NUMBER, mark)).toBe(0);
  });
});

describe('a buffer that keeps its frames', () => {
  it('gets the words that differ, and all of them where another length or nothing is known', () => {
    const [template, other] = [60, 64].map((length) => {
      const { state } = layOutGenerator(
        { lengths: [length], flows: 1, stream: 9 },
        allocate,
        () => views,
      );
      return state;
    });
    const run = makeFrameRun(1, TARGET);
    run.targets[0] = TARGET >>> 2;
    const loops = makeFrameLoops(views, run);
    loops.write(template, 1);
    const [first, untouched] = [i32[(TARGET >>> 2) + WORD.LOW], TARGET + 14];
    u8[untouched] = 0x77;
    loops.write(template, 1);
    expect([first, i32[(TARGET >>> 2) + WORD.LOW], u8[untouched]]).toEqual([0, 1, 0x77]);
    loops.write(other, 1);
    expect(u8[untouched]).toBe(0x45);
    u8[untouched] = 0x77;
    run.held?.fill(0, TARGET >>> 11, (TARGET >>> 11) + 1);
    loops.write(other, 1);
    expect(u8[untouched]).toBe(0x45);
  });
});

const noTshark =
  spawnSync('tshark', ['--version']).error === undefined ? '' : 'no tshark: apt-get install tshark';

describe('tshark', () => {
  it('finds nothing malformed and no wrong checksum in frames of all kinds', (context) => {
    if (noTshark !== '') return context.skip(noTshark);
    const folder = mkdtempSync(join(tmpdir(), 'ixy-frames-'));
    try {
      const path = join(folder, 'frames.pcap');
      const writer = new PcapWriter(path);
      const lengths = [60, 61, 62, 63, 64, 65, 128, 590, 1514, 1518, 9723, 9724];
      for (const length of lengths) {
        for (const [stream, flow, sequence] of [
          [0, 0, 0],
          [255, 16_383, 2 ** 48 - 1],
          [200, 300, 2 ** 32 - 1],
        ]) {
          for (const stamped of [false, true]) {
            writer.append(make({ length, stream, flow, sequence, stamped }), 0, 0);
          }
        }
      }
      writer.close();
      const checks = ['ip.check_checksum:TRUE', 'udp.check_checksum:TRUE'];
      const fields = ['ip.checksum.status', 'udp.checksum.status', '_ws.malformed', 'udp.length'];
      const { stdout, stderr, status } = spawnSync(
        'tshark',
        [
          ...['-n', '-r', path, '-T', 'fields'],
          ...checks.flatMap((check) => ['-o', check]),
          ...fields.flatMap((field) => ['-e', field]),
        ],
        { encoding: 'utf8' },
      );
      expect(status, stderr).toBe(0);
      // A status of 1 is good, 0 bad, 2 unverified.
      const wanted = lengths.flatMap((length) => Array(6).fill(`1\t1\t\t${length - 34}`));
      expect(stdout.trimEnd().split('\n')).toEqual(wanted);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
