import { describe, expect, test } from 'vitest';
import {
  checkFds,
  checkReply,
  checkStruct,
  commandName,
  decodeCommand,
  encodeCommand,
  encodeErrorReply,
  encodeReply,
  messageSize,
  putU64,
  u64At,
} from '../../../src/vfio/user/wire.ts';
import { encoded, message, plain } from './bytes.ts';

const RESET = '34 12 0d 00 10 00 00 00 00 00 00 00 00 00 00 00';
const RESET_REPLY = '34 12 0d 00 10 00 00 00 01 00 00 00 00 00 00 00';

describe('a command header is refused', () => {
  test.each([
    ['with fewer than 16 bytes', '34 12 0d 00 10 00 00 00 00 00 00 00', 'expected 16 bytes'],
    ['that claims a size below 16', '34 12 0d 00 0f 00 00 00 00000000 00000000', 'got 15'],
    [
      'that claims more than the receiver takes',
      '34 12 0d 00 01 01 00 00 00000000 00000000',
      '257',
    ],
    ['that is a reply', RESET_REPLY, 'flags'],
    ['with the error flag', '34 12 0d 00 10 00 00 00 20 00 00 00 00000000', 'flags'],
    ['with a flag nobody defined', '34 12 0d 00 10 00 00 00 40 00 00 00 00000000', 'flags'],
  ])('%s', (_, bytes, why) => {
    expect(decodeCommand(message(bytes), 256)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

describe('a reply header is refused', () => {
  test.each([
    ['with nothing received', RESET_REPLY, 0, 'whole message'],
    ['cut short', RESET_REPLY, 12, 'whole message'],
    ['shorter than it says', '34 12 0d 00 14 00 00 00 01 00 00 00 00000000', 16, 'size 20'],
    ['longer than it says', `${RESET_REPLY} 00000000`, 20, 'size 16'],
    ['that is a command', RESET, 16, 'expected a reply'],
    ['that asks for no reply', '34 12 0d 00 10 00 00 00 11 00 00 00 00000000', 16, '0x11'],
    ['with another id', '35 12 0d 00 10 00 00 00 01 00 00 00 00000000', 16, 'message id'],
    ['to another command', '34 12 03 00 10 00 00 00 01 00 00 00 00000000', 16, 'DMA_UNMAP'],
    [
      'with the error flag and a payload',
      '34 12 0d 00 14 00 00 00 21 00 00 00 05000000 00000000',
      20,
      'error reply',
    ],
  ])('%s', (_, bytes, received, why) => {
    expect(checkReply(message(bytes), received, 0x1234, 13)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

test('an error reply gives its errno, and -1 where it has none or nonsense', () => {
  const errorReply = (word: string) =>
    checkReply(message(`34 12 0d 00 10 00 00 00 21 00 00 00 ${word}`), 16, 0x1234, 13);
  expect(errorReply('10 00 00 00')).toBe(16);
  expect(errorReply('00 00 00 00')).toBe(-1);
  expect(errorReply('f0 ff ff ff')).toBe(-1);
});

test('a good reply gives 0 whatever its error word holds', () => {
  expect(checkReply(message(RESET_REPLY), 16, 0x1234, 13)).toBe(0);
  const word = message('34 12 0d 00 10 00 00 00 01 00 00 00 05 00 00 00');
  expect(checkReply(word, 16, 0x1234, 13)).toBe(0);
});

test('headers have the bytes of the specification', () => {
  expect(encoded((out) => encodeCommand(out, 0x1234, 13, 16))).toBe(plain(RESET));
  expect(encoded((out) => encodeReply(out, 0x1234, 13))).toBe(plain(RESET_REPLY));
  expect(encoded((out) => encodeErrorReply(out, 0x1234, 13, 22))).toBe(
    plain('34 12 0d 00 10 00 00 00 21 00 00 00 16 00 00 00'),
  );
  const posted = encoded((out) => Math.min(encodeCommand(out, 1, 10, 36, true), 16));
  expect(posted).toBe(plain('01 00 0a 00 24 00 00 00 10 00 00 00 00 00 00 00'));
});

test('a command header is read whole, with or without No_reply', () => {
  expect(decodeCommand(message(RESET), 256)).toEqual({
    id: 0x1234,
    command: 13,
    sizeBytes: 16,
    noReply: false,
  });
  expect(decodeCommand(message('01 00 0a 00 24 00 00 00 10 00 00 00 00000000'), 256)).toEqual({
    id: 1,
    command: 10,
    sizeBytes: 36,
    noReply: true,
  });
});

test('the size of a message is its second word, even where that is nonsense', () => {
  expect(messageSize(message('34 12 0d 00 ff ff ff ff 00000000 00000000'))).toBe(0xffffffff);
});

test('command numbers have the names of the specification', () => {
  const names = Array.from({ length: 19 }, (_, n) => commandName(n));
  expect(names).toEqual([
    'command 0',
    'VERSION',
    'DMA_MAP',
    'DMA_UNMAP',
    'DEVICE_GET_INFO',
    'DEVICE_GET_REGION_INFO',
    'DEVICE_GET_REGION_IO_FDS',
    'DEVICE_GET_IRQ_INFO',
    'DEVICE_SET_IRQS',
    'REGION_READ',
    'REGION_WRITE',
    'DMA_READ',
    'DMA_WRITE',
    'DEVICE_RESET',
    'command 14',
    'REGION_WRITE_MULTI',
    'DEVICE_FEATURE',
    'MIG_DATA_READ',
    'MIG_DATA_WRITE',
  ]);
});

test('a structure may have the room of argsz behind it, and no more', () => {
  const struct = (size: string, argsz: string) =>
    checkStruct(message(`0100 0500 ${size} 00000000 00000000 ${argsz} 00000000 00000000`), 12);
  expect(struct('1c000000', '0c000000')).toBeNull();
  expect(struct('1b000000', '0c000000')?.refused).toContain('expected 12 bytes, got 11');
  expect(struct('1c000000', '0b000000')?.refused).toContain('argsz');
  expect(struct('1d000000', '0c000000')?.refused).toContain('at most argsz 12');
  expect(struct('1d000000', '0d000000')).toBeNull();
});

test('a number of fds outside what is expected is refused', () => {
  expect(checkFds(0, 0)).toBeNull();
  expect(checkFds(1, 0)?.refused).toBe('file descriptors: expected 0, got 1');
  expect(checkFds(2, 0, 1)?.refused).toBe('file descriptors: expected 0 to 1, got 2');
  expect(checkFds(0, 1)?.refused).toBe('file descriptors: expected 1, got 0');
});

test('64-bit fields are exact below 2**53 and for pages, and -1 otherwise', () => {
  const read = (bytes: string) => u64At(message(bytes), 0);
  expect(read('ff ff ff ff ff ff 1f 00')).toBe(2 ** 53 - 1);
  expect(read('00 f0 ff ff ff ff ff ff')).toBe(2 ** 64 - 4096);
  expect(read('00 00 00 00 00 00 00 80')).toBe(2 ** 63);
  expect(read('01 00 00 00 00 00 20 00')).toBe(-1);
  expect(read('ff ff ff ff ff ff ff ff')).toBe(-1);
});

test('64-bit fields are written low word first', () => {
  const write = (value: number) =>
    encoded((out) => {
      putU64(out, 0, value);
      return 8;
    });
  expect(write(0x1_8000_0004)).toBe('0400008001000000');
  expect(write(2 ** 64 - 4096)).toBe('00f0ffffffffffff');
});
