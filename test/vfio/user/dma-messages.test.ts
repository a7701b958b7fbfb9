import { describe, expect, test } from 'vitest';
import {
  checkDmaUnmapReply,
  decodeDmaMapCommand,
  decodeDmaUnmapCommand,
  encodeDmaMapCommand,
  encodeDmaMapReply,
  encodeDmaUnmapCommand,
  encodeDmaUnmapReply,
} from '../../../src/vfio/user/dma-messages.ts';
import { encoded, message, plain, withWord } from './bytes.ts';

// 2 MiB at IOVA 0x1_0020_0000 from file offset 0x20_0000, readable and writable.
const MAP = `05 00 02 00 30 00 00 00 00 00 00 00 00 00 00 00
  20 00 00 00 03 00 00 00 00 00 20 00 00 00 00 00
  00 00 20 00 01 00 00 00 00 00 20 00 00 00 00 00`;
const UNMAP = `06 00 03 00 28 00 00 00 00 00 00 00 00 00 00 00
  18 00 00 00 00 00 00 00 00 00 20 00 01 00 00 00 00 00 20 00 00 00 00 00`;

describe('DMA_MAP is refused', () => {
  test.each([
    ['too short', withWord(MAP, 4, 47), 1, 'payload'],
    ['longer than argsz', withWord(`${MAP} 00000000`, 4, 52), 1, 'payload'],
    ['with an argsz below the structure', withWord(MAP, 16, 31), 1, 'argsz'],
    ['with two fds', message(MAP), 2, 'file descriptors'],
    ['with no access at all', withWord(MAP, 20, 0), 1, 'flags'],
    ['with the flag for vaddr', withWord(MAP, 20, 7), 1, 'flags'],
    ['with an odd file offset', withWord(MAP, 24, 0x200800), 1, 'offset'],
    ['with a file offset past 2**53', withWord(MAP, 28, 0x200000), 1, 'offset'],
    ['with an odd address', withWord(MAP, 32, 0x200010), 1, 'address'],
    ['of nothing', withWord(MAP, 40, 0), 1, 'size'],
    ['of half a page', withWord(MAP, 40, 2048), 1, 'size'],
    [
      'that ends past 2**64',
      withWord(MAP.replace('00 00 20 00 01', '00 00 f0 ff 01'), 36, 0xffffffff),
      1,
      '2**64',
    ],
  ])('%s', (_, bytes, fdCount, why) => {
    expect(decodeDmaMapCommand(bytes, fdCount)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

describe('DMA_UNMAP is refused', () => {
  test.each([
    ['too short', withWord(UNMAP, 4, 39), 0, 'payload'],
    ['with an argsz below the structure', withWord(UNMAP, 16, 23), 0, 'argsz'],
    ['with an fd', message(UNMAP), 1, 'file descriptors'],
    ['with a dirty bitmap wanted', withWord(UNMAP, 20, 1), 0, 'flags'],
    ['of everything with a range', withWord(UNMAP, 20, 2), 0, 'unmap all'],
    ['of an odd address', withWord(UNMAP, 24, 0x200001), 0, 'address'],
    ['of nothing', withWord(UNMAP, 32, 0), 0, 'size'],
  ])('%s', (_, bytes, fdCount, why) => {
    expect(decodeDmaUnmapCommand(bytes, fdCount)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

describe('the reply to DMA_UNMAP is refused', () => {
  const unmap = { all: false, iova: 0x1_0020_0000, sizeBytes: 0x20_0000 };
  test.each([
    ['without payload', withWord(UNMAP, 4, 16), 0],
    ['with an fd', message(UNMAP), 1],
    ['for another address', withWord(UNMAP, 24, 0x400000), 0],
    ['for less', withWord(UNMAP, 32, 0x1000), 0],
  ])('%s', (_, bytes, fdCount) => {
    expect(checkDmaUnmapReply(bytes, fdCount, unmap)).toHaveProperty('refused');
  });
  test('not when it repeats the command', () => {
    expect(checkDmaUnmapReply(message(UNMAP), 0, unmap)).toBeNull();
  });
});

test('DMA_MAP has the bytes of the specification, both ways', () => {
  const map = {
    readable: true,
    writable: true,
    fdOffset: 0x20_0000,
    iova: 0x1_0020_0000,
    sizeBytes: 0x20_0000,
  };
  expect(encoded((out) => encodeDmaMapCommand(out, 5, map))).toBe(plain(MAP));
  expect(decodeDmaMapCommand(message(MAP), 1)).toEqual(map);
  expect(encoded((out) => encodeDmaMapReply(out, 5))).toBe(
    plain('05 00 02 00 10 00 00 00 01 00 00 00 00 00 00 00'),
  );
});

test('DMA_MAP without an fd may be read-only, and its offset is not looked at', () => {
  const rom = withWord(MAP, 20, 1);
  rom.setUint32(24, 0x123, true);
  expect(decodeDmaMapCommand(rom, 0)).toMatchObject({ readable: true, writable: false });
});

test('DMA_UNMAP has the bytes of the specification, both ways', () => {
  const unmap = { all: false, iova: 0x1_0020_0000, sizeBytes: 0x20_0000 };
  expect(encoded((out) => encodeDmaUnmapCommand(out, 6, unmap))).toBe(plain(UNMAP));
  expect(decodeDmaUnmapCommand(message(UNMAP), 0)).toEqual(unmap);
  expect(encoded((out) => encodeDmaUnmapReply(out, 6, unmap))).toBe(
    plain(UNMAP.replace('00 00 00 00 00 00 00 00\n', '01 00 00 00 00 00 00 00\n')),
  );
});

test('DMA_UNMAP takes everything, and the upper half of the address space', () => {
  const all = withWord(UNMAP, 20, 2);
  for (const at of [24, 28, 32, 36]) all.setUint32(at, 0, true);
  expect(decodeDmaUnmapCommand(all, 0)).toEqual({ all: true, iova: 0, sizeBytes: 0 });
  const half = withWord(UNMAP, 24, 0);
  half.setUint32(28, 0x80000000, true);
  half.setUint32(32, 0, true);
  half.setUint32(36, 0x80000000, true);
  expect(decodeDmaUnmapCommand(half, 0)).toEqual({ all: false, iova: 2 ** 63, sizeBytes: 2 ** 63 });
});
