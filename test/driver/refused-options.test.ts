// Options of a VF and of a mempool that cannot be: refused with type and message,
// and with nothing left open or allocated.

import { describe, expect, it } from 'vitest';
import { mempool } from '../../src/index.ts';
import type { VfOptions } from '../../src/ixgbevf/options.ts';
import { processArena } from '../../src/memory/arena.ts';
import { useRigs } from '../suites/driver/rig.ts';
import { directHarness } from '../support/driver-harness.ts';

describe('options', () => {
  const rigOf = useRigs(directHarness(false));
  const small = { count: 64, bufferBytes: 2048 };
  const wrong: readonly (readonly [keyof VfOptions, unknown, RegExp])[] = [
    ...[0, 1, 32, 63, 65, 96, 100, 1000, 4095, 8192, 64.5, -64, Number.NaN, '64'].flatMap(
      (size) => {
        const message = new RegExp(
          `RingSize: expected a power of two from 64 to 4096, got ${size}$`,
        );
        return [
          ['rxRingSize', size, message],
          ['txRingSize', size, message],
        ] as const;
      },
    ),
    ['rxQueues', 0, /rxQueues: expected an integer from 1 to 8, got 0/],
    ['rxQueues', 9, /from 1 to 8, got 9/],
    ['rxQueues', 1.5, /got 1\.5/],
    ['rxQueues', 3, /rxQueues: expected 1, 2, 4 or 8, got 3/],
    ['rxQueues', 8, /expected at most 4, which is what the PF grants model:0\.0, got 8/],
    ['txQueues', 0, /txQueues: expected an integer from 1 to 8, got 0/],
    ['txQueues', 9, /from 1 to 8, got 9/],
    ['txQueues', 8, /expected at most 4, which is what the PF grants model:0\.0, got 8/],
    ['maxFrame', 67, /maxFrame: expected an integer from 68 to 9728, got 67/],
    ['maxFrame', 9729, /got 9729/],
    ['maxFrame', Number.POSITIVE_INFINITY, /got Infinity/],
    ['stuckAfterMs', 0, /stuckAfterMs: expected a time above 0, got 0/],
    ['stuckAfterMs', Number.NaN, /got NaN/],
    ['mac', '02:00:00:00:00', /mac: expected .*02:00:00:00:00/],
    ['mac', '01:00:00:00:00:01', /mac: expected .*01:00:00:00:00:01/],
    ['mac', '00:00:00:00:00:00', /mac: expected .*00:00:00:00:00:00/],
    ['mac', 'ff:ff:ff:ff:ff:ff', /mac: expected/],
  ];

  it.each(wrong)(
    '%s %s is refused, and the VF is free afterwards',
    async (name, value, message) => {
      const rig = rigOf({ vfs: 1 });
      const error: unknown = await rig
        .open(0, 0, { [name]: value })
        .catch((reason: unknown) => reason);
      expect(error === undefined || error instanceof RangeError || error instanceof TypeError).toBe(
        true,
      );
      expect((error as Error).message).toMatch(message);
      expect((await rig.open(0, 0)).running).toBe(true);
    },
  );

  it('a mempool that cannot fill the rx ring is refused, with both numbers', async () => {
    const rig = rigOf({ vfs: 1 });
    const tooFew = rig.mempool({ ...small, count: 63 });
    await expect(rig.open(0, 0, { mempool: tooFew })).rejects.toThrow(
      /rx queue 0: expected a mempool with at least 64 free buffers for its ring, got 63/,
    );
    expect(tooFew.available).toBe(63);
  });

  it('a mempool whose buffers are smaller than maxFrame is refused before the device is touched', async () => {
    const rig = rigOf({ vfs: 1, pfMtu: 9000 });
    const device = rig.tampered(0, 0);
    const mempool = rig.mempool({ count: 256 });
    await expect(rig.openDevice(device, { mempool, maxFrame: 9018 })).rejects.toThrow(
      /maxFrame: expected at most 2048, .* got 9018; make the mempool with larger buffers/,
    );
    expect(device.requests).toEqual([]);
  });

  it.each([
    [{ count: 0 }, /mempool count: expected an integer from 1 to \d+, got 0/],
    [{ count: 2.5 }, /got 2\.5/],
    [
      { count: 1, bufferBytes: 1000 },
      /mempool bufferBytes: expected .* a multiple of 2048, got 1000/,
    ],
    [{ count: 1, bufferBytes: 18_432 }, /from 2048 to 16384/],
    [{ count: 1, headroomBytes: 2 }, /mempool headroomBytes: .* a multiple of 4, got 2/],
    [{ count: 1, headroomBytes: 1028 }, /from 0 to 1024/],
  ])('mempool %j is refused', (options, message) => {
    const used = processArena().dmaUsedBytes;
    expect(() => mempool(options)).toThrow(RangeError);
    expect(() => mempool(options)).toThrow(message);
    expect(processArena().dmaUsedBytes).toBe(used);
  });
});
