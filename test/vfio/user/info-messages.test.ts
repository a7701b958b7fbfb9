import { describe, expect, test } from 'vitest';
import {
  checkDeviceInfoCommand,
  checkEmpty,
  decodeDeviceInfoReply,
  decodeIrqInfoCommand,
  decodeIrqInfoReply,
  decodeRegionInfoCommand,
  decodeRegionInfoReply,
  encodeDeviceInfoCommand,
  encodeDeviceInfoReply,
  encodeIrqInfoCommand,
  encodeIrqInfoReply,
  encodeRegionInfoCommand,
  encodeRegionInfoReply,
  encodeResetCommand,
} from '../../../src/vfio/user/info-messages.ts';
import { encoded, message, plain, withWord } from './bytes.ts';

const HEAD = '00 00 00 00 00 00 00 00';
const INFO = `03 00 04 00 20 00 00 00 ${HEAD} 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00`;
const INFO_REPLY = `03 00 04 00 20 00 00 00 01 00 00 00 00 00 00 00
  10 00 00 00 03 00 00 00 09 00 00 00 05 00 00 00`;
const REGION = `04 00 05 00 30 00 00 00 ${HEAD} 00 02 00 00 00 00 00 00 07 00 00 00 00 00 00 00
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00`;
// BAR0, 16 KiB, pages 1 and 2 mappable at file offset 0x10000.
const BAR0_REPLY = `04 00 05 00 60 00 00 00 01 00 00 00 00 00 00 00
  50 00 00 00 0f 00 00 00 00 00 00 00 20 00 00 00 00 40 00 00 00 00 00 00 00 00 01 00 00 00 00 00
  01 00 01 00 00 00 00 00 02 00 00 00 00 00 00 00
  00 10 00 00 00 00 00 00 00 10 00 00 00 00 00 00
  00 20 00 00 00 00 00 00 00 10 00 00 00 00 00 00`;
const IRQ = `05 00 07 00 20 00 00 00 ${HEAD} 10 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00`;
const IRQ_REPLY = `05 00 07 00 20 00 00 00 01 00 00 00 00 00 00 00
  10 00 00 00 09 00 00 00 02 00 00 00 03 00 00 00`;
const query = { index: 0, argsz: 512 };
const bar0 = {
  index: 0,
  flags: 7,
  sizeBytes: 0x4000,
  fileOffset: 0x10000,
  areas: [
    { offset: 0x1000, sizeBytes: 0x1000 },
    { offset: 0x2000, sizeBytes: 0x1000 },
  ],
};

describe('commands that ask are refused', () => {
  test.each([
    ['DEVICE_GET_INFO too short', checkDeviceInfoCommand(withWord(INFO, 4, 31), 0)],
    ['DEVICE_GET_INFO with little room', checkDeviceInfoCommand(withWord(INFO, 16, 8), 0)],
    ['DEVICE_GET_INFO with an fd', checkDeviceInfoCommand(message(INFO), 1)],
    ['GET_REGION_INFO too short', decodeRegionInfoCommand(withWord(REGION, 4, 24), 0)],
    ['GET_REGION_INFO with little room', decodeRegionInfoCommand(withWord(REGION, 16, 8), 0)],
    ['GET_REGION_INFO with an fd', decodeRegionInfoCommand(message(REGION), 1)],
    ['GET_IRQ_INFO too short', decodeIrqInfoCommand(withWord(IRQ, 4, 31), 0)],
    ['GET_IRQ_INFO with little room', decodeIrqInfoCommand(withWord(IRQ, 16, 8), 0)],
    ['GET_IRQ_INFO with an fd', decodeIrqInfoCommand(message(IRQ), 1)],
    ['DEVICE_RESET with a payload', checkEmpty(message(INFO), 0)],
    ['DEVICE_RESET with an fd', checkEmpty(withWord(INFO, 4, 16), 1)],
  ])('%s', (_, refusal) => {
    expect(refusal).toEqual({ refused: expect.any(String), errno: 22 });
  });
});

describe('replies about device and interrupts are refused', () => {
  test.each([
    ['device info too short', decodeDeviceInfoReply(withWord(INFO_REPLY, 4, 28), 0)],
    ['device info too long', decodeDeviceInfoReply(withWord(`${INFO_REPLY} 00`, 4, 33), 0)],
    ['device info with an fd', decodeDeviceInfoReply(message(INFO_REPLY), 1)],
    ['interrupt info too short', decodeIrqInfoReply(withWord(IRQ_REPLY, 4, 28), 0, 2)],
    ['interrupt info with an fd', decodeIrqInfoReply(message(IRQ_REPLY), 1, 2)],
    ['interrupt info of another index', decodeIrqInfoReply(message(IRQ_REPLY), 0, 1)],
  ])('%s', (_, refusal) => {
    expect(refusal).toEqual({ refused: expect.any(String), errno: 22 });
  });
});

describe('region info is refused', () => {
  test.each([
    ['without the structure', 4, 47, 1, 'at least 32'],
    ['shorter than argsz', 16, 0x60, 1, 'argsz'],
    ['longer than argsz', 16, 0x40, 1, 'argsz'],
    ['larger than we have room for', 16, 513, 1, 'at most 512'],
    ['of another region', 24, 7, 1, 'region'],
    ['mappable without an fd', 20, 15, 0, 'file descriptors'],
    ['mappable with two fds', 20, 15, 2, 'file descriptors'],
    ['with an fd though not mappable', 20, 3, 1, 'file descriptors'],
    ['of 2**53 bytes', 36, 0x200000, 1, 'size'],
    ['at half a page of the file', 40, 0x10800, 1, 'offset'],
    ['with capabilities inside the structure', 28, 16, 1, 'capabilities'],
    ['with capabilities past the end', 28, 0x4c, 1, 'capabilities'],
    ['with capabilities at an odd place', 28, 0x21, 1, 'capabilities'],
    ['with capabilities that go in circles', 48, 0x10003, 1, 'chain'],
    ['with a second version of sparse mmap', 48, 0x20001, 1, 'version 1'],
    ['with more areas than bytes', 56, 3, 1, 'areas'],
    ['with 2**32-1 areas', 56, 0xffffffff, 1, 'areas'],
    ['with an area off a page', 64, 0x1010, 1, 'mmap area 0'],
    ['with an area of no bytes', 72, 0, 1, 'mmap area 0'],
    ['with an area past the region', 80, 0x4000, 1, 'mmap area 1'],
  ])('%s', (_, at, word, fdCount, why) => {
    const reply = withWord(BAR0_REPLY, at, word);
    if (why === 'chain') reply.setUint32(52, 0x20, true);
    expect(decodeRegionInfoReply(reply, fdCount, query)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

test('DEVICE_GET_INFO has the bytes of the specification, both ways', () => {
  expect(encoded((out) => encodeDeviceInfoCommand(out, 3))).toBe(plain(INFO));
  expect(checkDeviceInfoCommand(message(INFO), 0)).toBeNull();
  const info = { flags: 3, regions: 9, irqs: 5 };
  expect(encoded((out) => encodeDeviceInfoReply(out, 3, info))).toBe(plain(INFO_REPLY));
  expect(decodeDeviceInfoReply(message(INFO_REPLY), 0)).toEqual(info);
});

test('DEVICE_GET_REGION_INFO has the bytes of the specification, both ways', () => {
  const config = { index: 7, argsz: 512 };
  expect(encoded((out) => encodeRegionInfoCommand(out, 4, config))).toBe(plain(REGION));
  expect(decodeRegionInfoCommand(message(REGION), 0)).toEqual(config);
  expect(encoded((out) => encodeRegionInfoReply(out, 4, bar0, 80))).toBe(plain(BAR0_REPLY));
  expect(decodeRegionInfoReply(message(BAR0_REPLY), 1, query)).toEqual({ ...bar0, flags: 15 });
});

test('capabilities that do not fit are left out, and argsz says what they need', () => {
  const short = encoded((out) => encodeRegionInfoReply(out, 4, bar0, 79));
  expect(short).toBe(
    plain(`04 00 05 00 30 00 00 00 01 00 00 00 00 00 00 00
      50 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00
      00 40 00 00 00 00 00 00 00 00 01 00 00 00 00 00`),
  );
});

test('a region is mappable whole without capabilities, and nowhere without the flag', () => {
  const whole = message(
    encoded((out) => encodeRegionInfoReply(out, 4, { ...bar0, areas: null }, 512)),
  );
  expect(decodeRegionInfoReply(whole, 1, query)).toEqual({ ...bar0, areas: null });
  const trapped = message(
    encoded((out) => encodeRegionInfoReply(out, 4, { ...bar0, flags: 3 }, 512)),
  );
  expect(trapped.byteLength).toBe(48);
  expect(decodeRegionInfoReply(trapped, 0, query)).toEqual({ ...bar0, flags: 3, areas: [] });
});

test('capabilities of other kinds before the sparse one are passed over', () => {
  const reply = message(`04 00 05 00 58 00 00 00 01 00 00 00 00 00 00 00
    48 00 00 00 0f 00 00 00 00 00 00 00 20 00 00 00 00 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    03 00 01 00 28 00 00 00
    01 00 01 00 00 00 00 00 01 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 00 20 00 00 00 00 00 00`);
  expect(decodeRegionInfoReply(reply, 1, query)).toMatchObject({
    areas: [{ offset: 0x1000, sizeBytes: 0x2000 }],
  });
});

test('DEVICE_GET_IRQ_INFO has the bytes of the specification, both ways', () => {
  expect(encoded((out) => encodeIrqInfoCommand(out, 5, 2))).toBe(plain(IRQ));
  expect(decodeIrqInfoCommand(message(IRQ), 0)).toEqual({ index: 2, argsz: 16 });
  const info = { index: 2, flags: 9, count: 3 };
  expect(encoded((out) => encodeIrqInfoReply(out, 5, info))).toBe(plain(IRQ_REPLY));
  expect(decodeIrqInfoReply(message(IRQ_REPLY), 0, 2)).toEqual(info);
});

test('DEVICE_RESET is a header', () => {
  expect(encoded((out) => encodeResetCommand(out, 2))).toBe(
    plain('02 00 0d 00 10 00 00 00 00 00 00 00 00 00 00 00'),
  );
  expect(checkEmpty(withWord(INFO, 4, 16), 0)).toBeNull();
});
