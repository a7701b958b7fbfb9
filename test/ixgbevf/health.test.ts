import { expect, test } from 'vitest';
import { disabledQueue, StuckWatch } from '../../src/ixgbevf/health.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

const TDH1 = 0x2050;
const TDT1 = 0x2058;

test('a queue whose head stands still behind its tail is named with head, tail and time', () => {
  const device = new ScriptedDevice();
  const watch = new StuckWatch(device, [{ index: 0 }, { index: 1 }], 1000);
  device.words.set(TDH1, 60);
  device.words.set(TDT1, 4);
  expect(watch.check(0, 64)).toEqual([]);
  expect(watch.check(999_000, 64)).toEqual([]);
  const [stuck, ...others] = watch.check(1_500_000, 64);
  expect(others).toEqual([]);
  expect(stuck).toMatchObject({ queue: 1, head: 60, tail: 4, pending: 8, sinceMs: 1500 });
  expect(stuck.message).toContain('tx queue 1');
});

test('a head that moves is no stuck queue, however slowly', () => {
  const device = new ScriptedDevice();
  const watch = new StuckWatch(device, [{ index: 0 }, { index: 1 }], 1000);
  device.words.set(TDT1, 50);
  for (let second = 0; second < 10; second++) {
    device.words.set(TDH1, second);
    expect(watch.check(second * 900_000, 64)).toEqual([]);
  }
});

test('time spent idle does not count: it starts when there is something to send', () => {
  const device = new ScriptedDevice();
  const watch = new StuckWatch(device, [{ index: 0 }, { index: 1 }], 1000);
  device.words.set(TDH1, 5);
  device.words.set(TDT1, 5);
  watch.check(0, 64);
  watch.check(60_000_000, 64);
  device.words.set(TDT1, 6);
  expect(watch.check(61_000_000, 64)).toEqual([]);
  expect(watch.check(62_000_000, 64)).toHaveLength(1);
});

test('a restart begins anew', () => {
  const device = new ScriptedDevice();
  const watch = new StuckWatch(device, [{ index: 0 }, { index: 1 }], 1000);
  device.words.set(TDT1, 6);
  watch.check(0, 64);
  watch.restart();
  expect(watch.check(5_000_000, 64)).toEqual([]);
});

test('a queue that is off although it was started is named', () => {
  const device = new ScriptedDevice();
  for (const offset of [0x1028, 0x1068, 0x2028, 0x2068]) device.words.set(offset, 0x02000000);
  const started = (['rx', 'tx'] as const).flatMap((kind) =>
    [0, 1].map((index) => ({ kind, index })),
  );
  expect(disabledQueue(device, started)).toBe('');
  device.words.set(0x2068, 0);
  expect(disabledQueue(device, started)).toContain('tx queue 1');
  device.words.set(0x1028, 0);
  expect(disabledQueue(device, started)).toContain('rx queue 0');
});
