import { describe, expect, test } from 'vitest';
import {
  decodeSetIrqsCommand,
  encodeSetIrqsCommand,
  encodeSetIrqsReply,
  vectorRuns,
} from '../../../src/vfio/user/irq-messages.ts';
import { encoded, hex, message, plain, withWord } from './bytes.ts';

// MSI-X (index 2) vectors 0 to 2 to eventfds.
const SET = `08 00 08 00 24 00 00 00 00 00 00 00 00 00 00 00
  14 00 00 00 24 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00`;
const BOOLS = `08 00 08 00 27 00 00 00 00 00 00 00 00 00 00 00
  17 00 00 00 22 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00 01 00 01`;
const DISABLE = `08 00 08 00 24 00 00 00 00 00 00 00 00 00 00 00
  14 00 00 00 21 00 00 00 02 00 00 00 00 00 00 00 00 00 00 00`;
const COUNTS = [0, 0, 3, 1, 1];

describe('DEVICE_SET_IRQS is refused', () => {
  test.each([
    ['too short', withWord(SET, 4, 35), 3, 'payload'],
    ['with an argsz below the structure', withWord(SET, 16, 19), 3, 'argsz'],
    ['with no data flag', withWord(SET, 20, 0x20), 0, 'flags'],
    ['with two data flags', withWord(SET, 20, 0x25), 3, 'flags'],
    ['with no action', withWord(SET, 20, 0x4), 3, 'flags'],
    ['with two actions', withWord(SET, 20, 0x34), 3, 'flags'],
    ['with an unknown flag', withWord(SET, 20, 0x64), 3, 'flags'],
    ['for an index the device has not', withWord(SET, 24, 5), 3, 'interrupt index'],
    ['for a vector beyond the last', withWord(SET, 28, 1), 3, 'range'],
    ['for a range that would wrap', withWord(SET, 28, 0xffffffff), 3, 'range'],
    ['with fewer fds than vectors', message(SET), 2, 'file descriptors'],
    ['with more fds than vectors', message(SET), 4, 'file descriptors'],
    ['with fds but without the eventfd flag', withWord(SET, 20, 0x21), 3, 'file descriptors'],
    ['with fewer booleans than vectors', withWord(BOOLS, 4, 38), 0, 'booleans'],
    ['with count 0 and eventfds', withWord(SET, 32, 0), 0, 'count 0'],
    ['with count 0 and a start', withWord(DISABLE, 28, 1), 0, 'count 0'],
    ['with count 0 and another action', withWord(DISABLE, 20, 0x9), 0, 'count 0'],
  ])('%s', (_, bytes, fdCount, why) => {
    expect(decodeSetIrqsCommand(bytes, fdCount, COUNTS)).toEqual({
      refused: expect.stringContaining(why),
      errno: 22,
    });
  });
});

test('DEVICE_SET_IRQS has the bytes of the specification, both ways', () => {
  const base = { index: 2, start: 0, count: 3, data: 4, action: 0x20, bools: new Uint8Array(0) };
  expect(encoded((out) => encodeSetIrqsCommand(out, 8, base))).toBe(plain(SET));
  expect(decodeSetIrqsCommand(message(SET), 3, COUNTS)).toEqual(base);
  const bools = { ...base, data: 2, bools: hex('01 00 01') };
  expect(encoded((out) => encodeSetIrqsCommand(out, 8, bools))).toBe(plain(BOOLS));
  expect(decodeSetIrqsCommand(message(BOOLS), 0, COUNTS)).toEqual(bools);
  const disable = { ...base, count: 0, data: 1 };
  expect(encoded((out) => encodeSetIrqsCommand(out, 8, disable))).toBe(plain(DISABLE));
  expect(decodeSetIrqsCommand(message(DISABLE), 0, COUNTS)).toEqual(disable);
  expect(encoded((out) => encodeSetIrqsReply(out, 8))).toBe(
    plain('08 00 08 00 10 00 00 00 01 00 00 00 00 00 00 00'),
  );
});

test('eventfds announced but not sent disconnect the range', () => {
  expect(decodeSetIrqsCommand(message(SET), 0, COUNTS)).toMatchObject({ count: 3, data: 4 });
});

describe('a set of eventfds', () => {
  const none = [false, false, false];

  test('without holes is one message', () => {
    expect(vectorRuns([7, 8, 9], none, 8)).toEqual([{ start: 0, count: 3, fds: [7, 8, 9] }]);
  });

  test('with holes is a message for each run, and none for what was never connected', () => {
    expect(vectorRuns([7, -1, 9], none, 8)).toEqual([
      { start: 0, count: 1, fds: [7] },
      { start: 2, count: 1, fds: [9] },
    ]);
  });

  test('disconnects what was connected and is no longer wanted', () => {
    expect(vectorRuns([7, -1, -1], [true, true, true], 8)).toEqual([
      { start: 0, count: 1, fds: [7] },
      { start: 1, count: 2, fds: [] },
    ]);
  });

  test('is cut where the server takes fewer fds in a message', () => {
    expect(vectorRuns([7, 8, 9], none, 2)).toEqual([
      { start: 0, count: 2, fds: [7, 8] },
      { start: 2, count: 1, fds: [9] },
    ]);
    expect(vectorRuns([7, 8], none, 0)).toHaveLength(2);
  });

  test('of nothing sends nothing where nothing is connected', () => {
    expect(vectorRuns([-1, -1, -1], none, 8)).toEqual([]);
    expect(vectorRuns([], [], 8)).toEqual([]);
  });
});
