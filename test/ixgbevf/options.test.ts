import { describe, expect, test } from 'vitest';
import {
  checkDevice,
  checkPlatform,
  ownBufferBytes,
  resolveOptions,
  type VfOptions,
} from '../../src/ixgbevf/options.ts';
import type { Mempool } from '../../src/memory/mempool.ts';
import { ScriptedDevice } from '../support/scripted-device.ts';

const mempoolOf = (bufferBytes: number, headroomBytes: number): Mempool =>
  ({ bufferBytes, headroomBytes }) as Mempool;

describe('refused', () => {
  const refusals: [options: VfOptions, message: RegExp][] = [
    [{ rxQueues: 0 }, /rxQueues: expected an integer from 1 to 8, got 0/],
    [{ rxQueues: 9 }, /rxQueues/],
    [{ rxQueues: 3 }, /rxQueues: expected 1, 2, 4 or 8, got 3/],
    [{ txQueues: 1.5 }, /txQueues/],
    [{ rxRingSize: 32 }, /rxRingSize: expected a power of two from 64 to 4096, got 32/],
    [{ rxRingSize: 8192 }, /rxRingSize/],
    [{ txRingSize: 384 }, /txRingSize: .*got 384/],
    [{ txRingSize: Number.NaN }, /txRingSize/],
    [{ maxFrame: 67 }, /maxFrame: expected an integer from 68 to 9728, got 67/],
    [{ maxFrame: 9729 }, /maxFrame/],
    [{ mempool: mempoolOf(2048, 0), maxFrame: 2049 }, /maxFrame: expected at most 2048/],
    [{ mempool: mempoolOf(2048, 64), maxFrame: 1518 }, /maxFrame: expected at most 1024/],
    [{ mempool: [mempoolOf(4096, 0), mempoolOf(2048, 0)], maxFrame: 4000 }, /at most 2048/],
    [{ stripVlan: true }, /stripVlan: expected metadata: true with it, got false/],
    [{ stuckAfterMs: 0 }, /stuckAfterMs/],
    [{ mac: '01:00:00:00:00:00' }, /mac: expected a unicast/],
  ];
  for (const [options, message] of refusals) {
    test(`${Object.entries(options).map(([k, v]) => `${k} ${JSON.stringify(v)}`)}`, () => {
      const run = () => resolveOptions(options, 0x10ed);
      expect(run).toThrow(RangeError);
      expect(run).toThrow(message);
    });
  }

  test('several rx queues on a chip whose own RSS registers are not programmed', () => {
    expect(() => resolveOptions({ rxQueues: 2 }, 0x1565)).toThrow(/X550 VF/);
    expect(resolveOptions({ rxQueues: 1, txQueues: 2 }, 0x1565).txQueues).toBe(2);
  });

  test('platforms without the memory order the rings rely on', () => {
    expect(() => checkPlatform('linux', 'arm64')).toThrow(/linux arm64.*read barrier/);
    expect(() => checkPlatform('darwin', 'x64')).toThrow(/linux x64/);
    expect(() => checkPlatform('linux', 'x64')).not.toThrow();
  });

  test('devices that are no VF of the family, and the Hyper-V variants with their reason', () => {
    const device = new ScriptedDevice();
    device.deviceId = 0x10fb;
    expect(() => checkDevice(device)).toThrow(/8086:10fb.*is it the PF/);
    device.deviceId = 0x152e;
    expect(() => checkDevice(device)).toThrow(/Hyper-V/);
    device.deviceId = 0x10ed;
    expect(() => checkDevice(device)).not.toThrow();
  });
});

test('no options give one queue each way, rings of 512, 1518-byte frames', () => {
  expect(resolveOptions({}, 0x10ed)).toMatchObject({
    rxQueues: 1,
    txQueues: 1,
    rxRingSize: 512,
    txRingSize: 512,
    maxFrame: 1518,
    mempools: [],
    mac: undefined,
    stuckAfterMs: 1000,
  });
});

test('the smallest and largest rings are accepted', () => {
  expect(resolveOptions({ rxRingSize: 64, txRingSize: 4096 }, 0x10ed)).toMatchObject({
    rxRingSize: 64,
    txRingSize: 4096,
  });
});

test('an own mempool has buffers that hold the longest frame', () => {
  expect(ownBufferBytes(1518)).toBe(2048);
  expect(ownBufferBytes(2048)).toBe(2048);
  expect(ownBufferBytes(2049)).toBe(4096);
  expect(ownBufferBytes(9728)).toBe(10_240);
});
