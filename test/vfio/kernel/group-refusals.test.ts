// What follows from calls of group and container that are refused (every-errno.test.ts has all of
// them, one by one): other devices, other mappings. The preload library in front of a model fails the
// calls it is told to (IXY_PRELOAD_ERRNO, native/preload/injected.c), with the errno values the kernel has.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FakeSystem, fakeSystem } from './fake-sysfs.ts';
import { type Outcome, type RunningModel, runOnModel, type Step, startModel } from './run-child.ts';

const A = '0000:03:10.1';
const B = '0000:03:10.2';
const messages = (outcomes: readonly Outcome[]) => outcomes.map((o) => o.error?.message ?? 'done');
const done = (count: number): string[] => new Array<string>(count).fill('done');

describe('group and container over the preload library', () => {
  let model: RunningModel;
  let system: FakeSystem;
  beforeAll(async () => {
    model = await startModel();
    system = fakeSystem([
      { pci: A, group: 1 },
      { pci: B, group: 2 },
    ]);
  });
  afterAll(async () => {
    system?.remove();
    await model?.stop();
  });

  const run = (steps: readonly Step[], injected = '', memlockKiB?: number) =>
    runOnModel(model, system.sysfs, steps, injected, memlockKiB);

  it('a second device that is refused leaves the first one as it was', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['mapSame', A, 0x200000, 4096],
        ['open', B],
        ['open', B],
        ['mapSame', B, 0x200000, 4096],
        ['close', A],
        ['close', B],
      ],
      'GROUP_GET_DEVICE_FD=EBUSY@2',
    );
    expect(messages(outcomes)).toEqual([
      ...done(2),
      expect.stringMatching(/\(\/dev\/vfio\/2\): EBUSY/),
      ...done(4),
    ]);
  });

  it('MAP_DMA is checked before and refused by the kernel with what was needed and allowed', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x300000, 3 * 2 ** 20],
        ['map', A, 0x200000 + 2048, 4096],
        ['map', A, 2 ** 48, 4096],
        ['map', A, 0xfedff000 - 2 ** 32, 8192],
      ],
      'MAP_DMA=EFAULT@1,MAP_DMA=ENOSPC@1,MAP_DMA=ENOMEM@2',
      64,
    );
    expect(messages(outcomes)).toEqual([
      'done',
      expect.stringMatching(
        /map DMA \(\/dev\/vfio\/vfio\): EFAULT: 4096 bytes at IOVA 0x100200000, address 0x/,
      ),
      expect.stringMatching(
        /ENOSPC: expected room for one mapping more than the 0 there are, the container takes 65535; raise it \(parameter dma_entry_limit/,
      ),
      'done',
      expect.stringMatching(
        /EEXIST: 0x100200000-0x100200fff overlaps the mapping 0x100200000-0x100200fff/,
      ),
      expect.stringMatching(
        /ENOMEM: needs 3 MiB of locked memory, RLIMIT_MEMLOCK allows 64 KiB; raise it: .*prlimit.*LimitMEMLOCK=infinity/,
      ),
      expect.stringMatching(/EINVAL: expected multiples of 4096/),
      expect.stringMatching(
        /EINVAL: expected 0x1000100000000-0x1000100000fff inside 0x0-0xfedfffff/,
      ),
      expect.stringMatching(
        /EINVAL: expected 0xfedff000-0xfee00fff inside 0x0-0xfedfffff, 0xfef00000/,
      ),
    ]);
  });

  it('where the limit would allow it, ENOMEM is said to have another cause', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['map', A, 0x200000, 4096],
      ],
      'MAP_DMA=ENOMEM@1',
      1024,
    );
    expect(messages(outcomes)[1]).toMatch(
      /expected to lock 4 KiB, which RLIMIT_MEMLOCK \(1 MiB\) allows this process, so the system or its cgroup is out of memory/,
    );
  });

  it('UNMAP_DMA takes whole mappings of this device only', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['open', B],
        ['map', A, 0x200000, 8192],
        ['unmap', A, 0x200000, 4096],
        ['unmap', A, 0x400000, 4096],
        ['unmap', B, 0x200000, 8192],
        ['unmap', A, 0x200000, 8192],
        ['unmap', A, 0x200000, 8192],
        ['unmap', A, 0x200000, 8192],
      ],
      'UNMAP_DMA=EINVAL@1',
    );
    expect(messages(outcomes).slice(3)).toEqual([
      expect.stringMatching(
        /unmap DMA .*EINVAL: expected a whole mapping, such as 0x100200000-0x100201fff/,
      ),
      expect.stringMatching(/unmap DMA .*ENOENT: nothing is mapped/),
      expect.stringMatching(/unmap DMA .*ENOENT: nothing is mapped/),
      expect.stringMatching(
        /unmap DMA \(\/dev\/vfio\/vfio\): EINVAL: expected 8192 bytes at IOVA 0x100200000 taken back/,
      ),
      'done',
      expect.stringMatching(/unmap DMA .*ENOENT/),
    ]);
  });

  it('vectors and reset reach the device, and say so when they do not', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['vectors', A, ['new', 'new', 'new']],
        ['vectors', A, ['new', -1, 'new']],
        ['vectors', A, [-1, 'new']],
        ['noVectors', A],
        ['noVectors', A],
        ['reset', A],
        ['reset', A],
      ],
      'DEVICE_SET_IRQS=EBUSY@3,DEVICE_RESET=EINVAL@1',
    );
    expect(messages(outcomes)).toEqual([
      'done',
      expect.stringMatching(/enable vectors \(\/dev\/vfio\/1\): EBUSY: VFIO_DEVICE_SET_IRQS/),
      ...done(4),
      expect.stringMatching(/reset \(\/dev\/vfio\/1\): EINVAL: VFIO_DEVICE_RESET/),
      'done',
    ]);
  });
});
