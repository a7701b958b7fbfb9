import { describe, expect, test } from 'vitest';
import {
  checkRegionWriteReply,
  decodeRegionReadCommand,
  decodeRegionReadReply,
  decodeRegionWriteCommand,
  decodeRegionWriteMultiCommand,
  encodeRegionReadReply,
  encodeRegionWriteMultiReply,
  encodeRegionWriteReply,
} from '../../../src/vfio/user/region-messages.ts';
import { encoded, hex, message, plain, withWord } from './bytes.ts';

// 4 bytes at 0x3190 of region 0.
const ACCESS = '90 31 00 00 00 00 00 00 00 00 00 00 04 00 00 00';
const READ = `09 00 09 00 20 00 00 00 00 00 00 00 00 00 00 00 ${ACCESS}`;
const READ_REPLY = `09 00 09 00 24 00 00 00 01 00 00 00 00 00 00 00 ${ACCESS} 78 56 34 12`;
const WRITE = `0a 00 0a 00 24 00 00 00 00 00 00 00 00 00 00 00 ${ACCESS} 78 56 34 12`;
const WRITE_REPLY = `0a 00 0a 00 20 00 00 00 01 00 00 00 00 00 00 00 ${ACCESS}`;
const MULTI = `0b 00 0f 00 48 00 00 00 10 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
  ${ACCESS} 78 56 34 12 00 00 00 00
  04 00 00 00 00 00 00 00 07 00 00 00 02 00 00 00 06 04 00 00 00 00 00 00`;
const access = { region: 0, offset: 0x3190, count: 4 };
const write = { ...access, data: hex('78563412') };

describe('REGION_READ is refused', () => {
  test.each([
    ['too short', withWord(READ, 4, 31), 0, 'payload', 22],
    ['too long', withWord(`${READ} 00000000`, 4, 36), 0, 'payload', 22],
    ['with an fd', message(READ), 1, 'file descriptors', 22],
    ['of nothing', withWord(READ, 28, 0), 0, 'count', 22],
    ['of more than the limit', withWord(READ, 28, 65), 0, 'at most 64', 7],
    ['at an offset past 2**53', withWord(READ, 20, 0x200000), 0, 'offset', 22],
  ])('%s', (_, bytes, fdCount, why, errno) => {
    expect(decodeRegionReadCommand(bytes, fdCount, 64)).toEqual({
      refused: expect.stringContaining(why),
      errno,
    });
  });
});

describe('the reply to REGION_READ is refused', () => {
  test.each([
    ['too short', withWord(READ_REPLY, 4, 35), 0],
    ['too long', withWord(`${READ_REPLY} 00`, 4, 37), 0],
    ['with an fd', message(READ_REPLY), 1],
    ['for another offset', withWord(READ_REPLY, 16, 0x3194), 0],
    ['for another region', withWord(READ_REPLY, 24, 7), 0],
    ['for another count', withWord(READ_REPLY, 28, 2), 0],
  ])('%s', (_, bytes, fdCount) => {
    expect(decodeRegionReadReply(bytes, fdCount, access)).toHaveProperty('refused');
  });
});

describe('REGION_WRITE is refused', () => {
  test.each([
    ['without its structure', withWord(WRITE, 4, 31), 0, 'payload', 22],
    ['with less data than it says', withWord(WRITE, 4, 35), 0, 'payload', 22],
    ['with more data than it says', withWord(`${WRITE} 00`, 4, 37), 0, 'payload', 22],
    ['of more than the limit', withWord(WRITE, 28, 65), 0, 'at most 64', 7],
    ['with an fd', message(WRITE), 1, 'file descriptors', 22],
  ])('%s', (_, bytes, fdCount, why, errno) => {
    expect(decodeRegionWriteCommand(bytes, fdCount, 64)).toEqual({
      refused: expect.stringContaining(why),
      errno,
    });
  });
});

describe('the reply to REGION_WRITE is refused', () => {
  test.each([
    ['too short', withWord(WRITE_REPLY, 4, 31), 0],
    ['too long', withWord(`${WRITE_REPLY} 00`, 4, 33), 0],
    ['with an fd', message(WRITE_REPLY), 1],
    ['for less', withWord(WRITE_REPLY, 28, 3), 0],
  ])('%s', (_, bytes, fdCount) => {
    expect(checkRegionWriteReply(bytes, fdCount, access)).toHaveProperty('refused');
  });
});

describe('REGION_WRITE_MULTI is refused', () => {
  test.each([
    ['without a count', withWord(MULTI, 4, 23), 0, 'payload'],
    ['of no writes', withWord(MULTI, 16, 0), 0, 'writes'],
    ['with more writes than it carries', withWord(MULTI, 16, 3), 0, 'writes'],
    ['with a count that wraps', withWord(MULTI, 20, 0x80000000), 0, 'writes'],
    ['with an fd', message(MULTI), 1, 'file descriptors'],
    ['with a write of nothing', withWord(MULTI, 36, 0), 0, 'write 0'],
    ['with a write of 9 bytes', withWord(MULTI, 60, 9), 0, 'write 1'],
  ])('%s', (_, bytes, fdCount, why) => {
    expect(decodeRegionWriteMultiCommand(bytes, fdCount)).toEqual({
      refused: expect.stringContaining(why),
      errno: expect.any(Number),
    });
  });
});

test('REGION_READ is read and answered by the bytes of the specification', () => {
  expect(decodeRegionReadCommand(message(READ), 0, 4)).toEqual(access);
  expect(encoded((out) => encodeRegionReadReply(out, 9, access, write.data))).toBe(
    plain(READ_REPLY),
  );
  expect(decodeRegionReadReply(message(READ_REPLY), 0, access)).toEqual(write);
});

test('REGION_WRITE is read and answered by the bytes of the specification', () => {
  expect(decodeRegionWriteCommand(message(WRITE), 0, 4)).toEqual(write);
  expect(encoded((out) => encodeRegionWriteReply(out, 10, access))).toBe(plain(WRITE_REPLY));
  expect(checkRegionWriteReply(message(WRITE_REPLY), 0, access)).toBeNull();
});

test('REGION_WRITE_MULTI is read and answered by the bytes of the specification', () => {
  const command = { region: 7, offset: 4, count: 2, data: hex('0604') };
  expect(decodeRegionWriteMultiCommand(message(MULTI), 0)).toEqual([write, command]);
  expect(encoded((out) => encodeRegionWriteMultiReply(out, 11, 2))).toBe(
    plain('0b 00 0f 00 18 00 00 00 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00'),
  );
});
