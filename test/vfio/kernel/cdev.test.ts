// Device files and iommufd, on a stand-in for the kernel that checks every struct and keeps a list
// of the requests (fake-kernel.c). What the real kernel does with them is a matter for the VM tests.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFakeKernel, type FakeKernel } from './fake-kernel.ts';
import { type FakeSystem, fakeSystem } from './fake-sysfs.ts';
import { type Outcome, runSteps, type Step } from './run-child.ts';

const A = '0000:03:10.1';
const B = '0000:03:10.3';
let kernel: FakeKernel;
let system: FakeSystem;

beforeAll(() => {
  kernel = buildFakeKernel();
  system = fakeSystem([
    { pci: A, group: 1, cdev: 'vfio0' },
    { pci: B, group: 2, cdev: 'vfio1' },
  ]);
});
afterAll(() => {
  kernel.remove();
  system.remove();
});

function run(
  steps: readonly Step[],
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly Outcome[]> {
  const env = kernel.env({ IXY_VFIO: 'cdev', ...settings });
  return runSteps({ sysfs: system.sysfs, env }, steps);
}

const messages = (outcomes: readonly Outcome[]) => outcomes.map((o) => o.error?.message ?? 'done');

describe('the life of a device that has a file of its own', () => {
  it('is refused step by step, each with its cause, and gives everything back each time', async () => {
    const stages =
      'OPEN_DEVICE=13@1,OPEN_IOMMU=2@1,BIND=13@1,IOAS_ALLOC=12@1,ATTACH=1@1,RANGES=22@1';
    const more = 'GET_INFO=5@1,GET_REGION_INFO=22@1,GET_IRQ_INFO=22@1';
    const attempts: Step[] = Array.from({ length: 10 }, () => ['open', A]);
    const outcomes = await run(attempts, { FAKE_ERRNO: `${stages},${more}` });
    expect(messages(outcomes)).toEqual([
      expect.stringMatching(
        /\/dev\/vfio\/devices\/vfio0\): EACCES: .*sudo chown 0 \/dev\/vfio\/devices\/vfio0.*SUBSYSTEM=="vfio-dev"/,
      ),
      expect.stringMatching(/\/dev\/iommu\): ENOENT: .*sudo modprobe iommufd/),
      expect.stringMatching(/BIND_IOMMUFD: 0000:03:10.1 asks for a VF token.*bind the PF to ixgbe/),
      expect.stringMatching(/make IOMMU address space \(\/dev\/iommu\): ENOMEM/),
      expect.stringMatching(
        /ATTACH_IOMMUFD_PT: .*no interrupt remapping.*iommufd\.allow_unsafe_interrupts=1/,
      ),
      expect.stringMatching(/query IOVA ranges \(\/dev\/iommu\): EINVAL/),
      expect.stringMatching(/query device .*EIO: VFIO_DEVICE_GET_INFO/),
      expect.stringMatching(/query region 7 .*EINVAL/),
      expect.stringMatching(/query MSI-X .*EINVAL/),
      'done',
    ]);
    const closes = kernel.requests().filter((line) => line.startsWith('CLOSE'));
    expect(closes.filter((line) => line === 'CLOSE device')).toHaveLength(8);
    expect(closes.filter((line) => line === 'CLOSE iommu')).toHaveLength(7);
  });

  it('is these requests in this order, with the smallest sizes', async () => {
    const outcomes = await run([
      ['open', A],
      ['facts', A],
      ['map', A, 0x100000, 8192],
      ['vectors', A, ['new', -1]],
      ['close', A],
      ['close', A],
    ]);
    expect(messages(outcomes)).toEqual(['done', 'done', 'done', 'done', 'done', 'done']);
    expect(outcomes[1].value).toMatchObject({
      address: A,
      deviceId: 0x10ed,
      vectors: 3,
      iovaRanges: [
        { first: 0, last: 0xffffffff },
        { first: 0x100000000, last: Number.MAX_SAFE_INTEGER },
      ],
      mapped: [true, true, true, true],
    });
    expect(kernel.requests()).toEqual([
      'BIND argsz=16 flags=0 iommufd=yes',
      'IOAS_ALLOC size=12 flags=0',
      'ATTACH argsz=12 flags=0 pt=7',
      'RANGES size=32 room=16 attached=1',
      'MAP size=40 flags=7 ioas=7 iova=0x100100000 length=0x2000',
      'SET_IRQS argsz=32 flags=0x24 index=2 start=0 count=3 unused=2',
      'RESET master=0',
      'SET_IRQS argsz=20 flags=0x21 index=2 start=0 count=0 unused=0',
      'UNMAP size=24 ioas=7 iova=0x100100000 length=0x2000',
      'DETACH argsz=8 flags=0',
      'CLOSE device',
      'DESTROY size=8 id=7',
      'CLOSE iommu',
    ]);
  });

  it('asks again with room for all where there are more IOVA ranges than expected', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['facts', A],
      ],
      { FAKE_RANGES: '40' },
    );
    const { iovaRanges } = outcomes[1].value as { iovaRanges: { first: number }[] };
    expect(iovaRanges).toHaveLength(40);
    expect(iovaRanges[38].first).toBe(38 * 2 ** 32);
    expect(kernel.requests().filter((line) => line.startsWith('RANGES'))).toEqual([
      'RANGES size=32 room=16 attached=1',
      'RANGES size=32 room=40 attached=1',
    ]);
  });
});

describe('two devices of one process', () => {
  it('share one IOAS, where the same memory is mapped once and goes with the last of them', async () => {
    const outcomes = await run([
      ['open', A],
      ['open', B],
      ['mapSame', A, 0x200000, 4096],
      ['mapSame', B, 0x200000, 4096],
      ['map', B, 0x200000, 4096],
      ['close', A],
      ['unmap', B, 0x200000, 4096],
      ['close', B],
    ]);
    expect(messages(outcomes).filter((message) => message !== 'done')).toEqual([
      expect.stringMatching(/map DMA .*EEXIST/),
    ]);
    const requests = kernel.requests();
    const count = (start: string) => requests.filter((line) => line.startsWith(start)).length;
    expect([count('BIND'), count('IOAS_ALLOC'), count('ATTACH')]).toEqual([2, 1, 2]);
    expect([count('MAP'), count('UNMAP'), count('DESTROY')]).toEqual([1, 1, 1]);
    expect(requests.indexOf('DESTROY size=8 id=7')).toBe(requests.length - 2);
    expect(requests.findIndex((line) => line.startsWith('UNMAP'))).toBeGreaterThan(
      requests.indexOf('CLOSE device'),
    );
  });

  it('may not lay different memory at one IOVA', async () => {
    const outcomes = await run([
      ['open', A],
      ['open', B],
      ['map', A, 0x200000, 8192],
      ['map', B, 0x200000, 8192],
      ['map', B, 0x201000, 4096],
    ]);
    expect(messages(outcomes).slice(3)).toEqual([
      expect.stringMatching(/map DMA \(\/dev\/iommu\): EEXIST: 8192 bytes at IOVA 0x100200000/),
      expect.stringMatching(/map DMA \(\/dev\/iommu\): EEXIST: 4096 bytes at IOVA 0x100201000/),
    ]);
  });
});

describe('BAR0', () => {
  it('is reached through the device file where a page cannot be mapped', async () => {
    const outcomes = await run(
      [
        ['open', A],
        ['facts', A],
        ['read32', A, 8],
        ['write32', A, 0x3ffc, 7],
        ['read32', A, 0x3ffc],
      ],
      { FAKE_REGION: 'sparse' },
    );
    // Areas of the capability: pages 1 and 2.
    expect(outcomes[1].value).toMatchObject({ mapped: [false, true, true, false] });
    expect(outcomes.slice(2).map((o) => o.value)).toEqual([0x12345678, null, 7]);
  });

  it('works without any mapped page', async () => {
    const steps: Step[] = [
      ['open', A],
      ['read32', A, 8],
      ['read32', A, 9],
      ['close', A],
    ];
    const outcomes = await run([...steps, ['read32', A, 8]], { FAKE_REGION: 'unmappable' });
    expect(outcomes[1].value).toBe(0x12345678);
    expect(messages(outcomes).slice(2)).toEqual([
      expect.stringMatching(/expected a multiple of 4 from 0 to 0x3ffc, got 9/),
      'done',
      expect.stringMatching(/read32 .*EBADFD: the device is closed/),
    ]);
  });

  it('reads all ones once the kernel takes it away, and the process lives', async () => {
    const outcomes = await run([
      ['open', A],
      ['write32', A, 0x1018, 7],
      ['vanish'],
      ['read32', A, 8],
      ['read32', A, 0x1018],
      ['write32', A, 0x1018, 8],
      ['readPage', A, 2, 0x18],
      ['close', A],
      ['open', A],
      ['read32', A, 8],
    ]);
    const gone = 0xffffffff;
    expect(messages(outcomes)).toEqual(outcomes.map(() => 'done'));
    expect([3, 4, 6, 9].map((i) => outcomes[i].value)).toEqual([gone, gone, gone, 0x12345678]);
  });

  it.each(['loop', 'outside'])('is refused where its capabilities %s', async (shape) => {
    const outcomes = await run([['open', A]], { FAKE_REGION: shape });
    expect(messages(outcomes)).toEqual([
      expect.stringMatching(
        /read capabilities .*EPROTO: .*expected a chain inside the kernel's reply/,
      ),
    ]);
  });
});

describe('what a device does after it was opened', () => {
  it('says what the kernel refused, and goes on', async () => {
    const settings = { FAKE_ERRNO: 'MAP=28@1,MAP=22@2,SET_IRQS=22@1,RESET=22@1,UNMAP=2@1' };
    const outcomes = await run(
      [
        ['open', A],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x200000, 4096],
        ['map', A, 0x200000, 4096],
        ['vectors', A, ['new']],
        ['reset', A],
        ['unmap', A, 0x200000, 4096],
        ['unmap', A, 0x200000, 4096],
        ['close', A],
      ],
      settings,
    );
    expect(messages(outcomes)).toEqual([
      'done',
      expect.stringMatching(/map DMA .*ENOSPC: 4096 bytes at IOVA 0x100200000/),
      expect.stringMatching(/map DMA .*EINVAL: 4096 bytes at IOVA 0x100200000/),
      'done',
      expect.stringMatching(/enable vectors .*EINVAL/),
      expect.stringMatching(/reset .*EINVAL/),
      expect.stringMatching(/unmap DMA .*ENOENT/),
      'done',
      'done',
    ]);
  });

  it('closes to the end where a step of it fails, and says so', async () => {
    const steps: Step[] = [['open', A], ['map', A, 0x200000, 4096], ['close', A], ['logged']];
    const outcomes = await run(steps, { FAKE_ERRNO: 'RESET=5@1,UNMAP=5@1' });
    expect(outcomes[3].value).toEqual([
      `info: ${A}: opened through /dev/vfio/devices/vfio0 (iommufd)`,
      expect.stringMatching(/^warn: 0000:03:10.1: close: reset .*EIO/),
      expect.stringMatching(/^warn: 0000:03:10.1: close: unmap DMA .*EIO/),
    ]);
    expect(kernel.requests().slice(-4)).toEqual([
      'DETACH argsz=8 flags=0',
      'CLOSE device',
      'DESTROY size=8 id=7',
      'CLOSE iommu',
    ]);
  });

  it('clears bus mastering before a reset, since the kernel restores config space after it', async () => {
    const outcomes = await run([
      ['open', A],
      ['config', A, 4],
      ['reset', A],
      ['config', A, 4],
      ['setConfig', A, 4, 0x0106],
      ['config', A, 4],
    ]);
    expect(outcomes.map((o) => o.value)).toEqual([null, 6, null, 2, null, 0x106]);
    expect(kernel.requests()).toContain('RESET master=0');
  });

  it('connects no vector where none was given an eventfd, and disconnects only what was connected', async () => {
    await run([
      ['open', A],
      ['noVectors', A],
      ['vectors', A, [-1, -1]],
      ['vectors', A, []],
    ]);
    expect(kernel.requests().filter((line) => line.startsWith('SET_IRQS'))).toEqual([]);
    const tooMany = await run([
      ['open', A],
      ['vectors', A, [-1, -1, -1, -1]],
      ['vectors', A, [-2]],
    ]);
    expect(tooMany.slice(1).map((o) => o.error?.name)).toEqual(['RangeError', 'RangeError']);
  });
});

describe('events of the host', () => {
  const LIFE: readonly Step[] = [
    ['open', A],
    ['events', A],
    ['events', A],
    ['close', A],
    ['events', A],
  ];

  it('are asked for with an eventfd each, and told once', async () => {
    const outcomes = await run(LIFE, { FAKE_EVENTS: '1' });
    expect(outcomes.slice(0, 4).map((o) => o.value)).toEqual([null, 1, 0, null]);
    expect(outcomes[4].error?.message).toMatch(/take events .*the device is closed/);
    expect(kernel.requests().filter((line) => line.startsWith('SET_IRQS'))).toEqual([
      'SET_IRQS argsz=24 flags=0x24 index=3 start=0 count=1 unused=0',
      'SET_IRQS argsz=24 flags=0x24 index=4 start=0 count=1 unused=0',
    ]);
  });

  it('never come where the kernel has none', async () => {
    const outcomes = await run(LIFE);
    expect(outcomes.slice(0, 4).map((o) => o.value)).toEqual([null, 0, 0, null]);
    expect(kernel.requests().filter((line) => line.startsWith('SET_IRQS'))).toEqual([]);
  });

  it('that the kernel refuses to tell are said, and the device is of use all the same', async () => {
    const settings = { FAKE_EVENTS: '1', FAKE_ERRNO: 'GET_IRQ_INFO=22@2,SET_IRQS=12@1' };
    const outcomes = await run([...LIFE.slice(0, 4), ['logged']], settings);
    expect(messages(outcomes)).toEqual(outcomes.map(() => 'done'));
    expect(outcomes[4].value).toContainEqual(
      expect.stringMatching(/^warn: no events from the host: await events .*ENOMEM/),
    );
  });

  it('a removal that waits refuses the reset, and the device is given back all the same', async () => {
    const steps: Step[] = [
      ['open', A],
      ['setConfig', A, 4, 6],
      ['map', A, 0x200000, 4096],
      ['reset', A],
      ['config', A, 4],
      ['close', A],
      ['logged'],
    ];
    const outcomes = await run(steps, { FAKE_ERRNO: 'RESET=11@1,RESET=11@2' });
    const waits =
      /EAGAIN: VFIO_DEVICE_RESET: .*given back \(unbind, sriov_numvfs=0, hot unplug\).*close the device/;
    expect(outcomes[3].error?.message).toMatch(waits);
    expect(outcomes[4].value).toBe(2);
    expect(outcomes[6].value).toContainEqual(expect.stringMatching(waits));
    expect(kernel.requests().slice(-5)).toEqual([
      'UNMAP size=24 ioas=7 iova=0x100200000 length=0x1000',
      'DETACH argsz=8 flags=0',
      'CLOSE device',
      'DESTROY size=8 id=7',
      'CLOSE iommu',
    ]);
  });
});
