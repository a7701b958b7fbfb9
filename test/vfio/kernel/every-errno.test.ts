// Every ioctl of both ABIs: answered as it should be, and refused with each errno that the kernel has
// for it. One attempt of an open after the other fails one call later; what was opened before has to
// be given back each time, and the attempt after the last errno succeeds. Group and container by the
// preload library in front of a model (IXY_PRELOAD_ERRNO, native/preload/injected.c); iommufd by fake-kernel.c.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERRNO } from '../../../src/support/linux.ts';
import { IOCTL } from '../../../src/vfio/kernel/ioctl.ts';
import { buildFakeKernel, type FakeKernel } from './fake-kernel.ts';
import { type FakeSystem, fakeSystem } from './fake-sysfs.ts';
import {
  type Outcome,
  type RunningModel,
  runOnModel,
  runSteps,
  type Step,
  startModel,
} from './run-child.ts';

const A = '0000:03:10.1';
const messages = (outcomes: readonly Outcome[]) => outcomes.map((o) => o.error?.message ?? 'done');

type Errno = keyof typeof ERRNO;
/** A call, and what is said to each errno: a part of the message. */
type Refusals = readonly (readonly [string, Readonly<Partial<Record<Errno, RegExp>>>])[];

const ISOLATION = {
  EPERM:
    /the IOMMU does not isolate 0000:03:10.1: no interrupt remapping .*allow_unsafe_interrupts=1.*RMRR/,
  EBUSY: /another process has 0000:03:10.1 or a device of its IOMMU group; stop that one first/,
  EINVAL: /0000:03:10.1 cannot share one IOMMU address space .*process of its own/,
  ENODEV: /no IOMMU driver takes it; run `sudo modprobe vfio_iommu_type1`/,
  ENOMEM: /for 0000:03:10.1$/,
};
const GIVING = {
  EACCES:
    /0000:03:10.1 asks for a VF token, since its PF is bound to vfio-pci too; bind the PF to ixgbe/,
  EBUSY: /another process has 0000:03:10.1 or a device of its IOMMU group; stop that one first/,
  EPERM: /the IOMMU group of 0000:03:10.1 is in use by another driver or process/,
  ENODEV: /vfio-pci has lost 0000:03:10.1; is it still bound\?/,
  EINVAL: /0000:03:10.1 is open already by the other of group and cdev/,
  EIO: /for 0000:03:10.1$/,
};
const opening = (path: string, module: string) => ({
  EACCES: new RegExp(`no permission to read and write it; run .sudo chown 0 ${path}.*udev rule`),
  EPERM: new RegExp(`not permitted; in a container start it with --device=${path}`),
  EBUSY: new RegExp(`another process has ${A} open; .sudo fuser -v ${path}. names it`),
  ENOENT: new RegExp(`the file is missing though ${module} is loaded|kernel module ${module} is`),
  ENODEV: new RegExp(`the file is missing though ${module} is loaded|kernel module ${module} is`),
  ENXIO: new RegExp(`the file is missing though ${module} is loaded|kernel module ${module} is`),
  EIO: new RegExp(`for ${A}; is ${module} loaded\\?`),
});
const plain = (operation: string, request: string, ...names: readonly Errno[]) =>
  Object.fromEntries(names.map((name) => [name, new RegExp(`^${operation} .*: ${request}$`)]));

/** In the order in which an open makes the calls, by the names the preload library has for them. */
const GROUP_OPEN: Refusals = [
  ['OPEN_CONTAINER', opening('/dev/vfio/vfio', 'vfio')],
  [
    'GET_API_VERSION',
    { ENOTTY: /expected VFIO of API version 0 behind this file, got a file that is not VFIO/ },
  ],
  ['CHECK_EXTENSION', { EINVAL: /no type1v2 IOMMU; run `sudo modprobe vfio_iommu_type1`/ }],
  ['OPEN_GROUP', opening('/dev/vfio/1', 'vfio-pci')],
  ['GROUP_GET_STATUS', plain('query group', 'VFIO_GROUP_GET_STATUS', 'EPERM', 'EINVAL', 'ENOTTY')],
  ['GROUP_SET_CONTAINER', ISOLATION],
  ['SET_IOMMU', ISOLATION],
  ['IOMMU_GET_INFO', plain('query IOMMU', 'VFIO_IOMMU_GET_INFO', 'EINVAL', 'ENODEV')],
  ['GROUP_GET_DEVICE_FD', GIVING],
  ['DEVICE_GET_INFO', plain('query device', 'VFIO_DEVICE_GET_INFO', 'EINVAL', 'EIO')],
  [
    'DEVICE_GET_REGION_INFO',
    plain('query region 7', 'VFIO_DEVICE_GET_REGION_INFO', 'EINVAL', 'EIO'),
  ],
  ['DEVICE_GET_IRQ_INFO', plain('query MSI-X', 'VFIO_DEVICE_GET_IRQ_INFO', 'EINVAL', 'EIO')],
  ['MMAP', { EINVAL: /map BAR0 .*16384 bytes at offset 0x0/, EPERM: /map BAR0/ }],
];

/** The same by the names of fake-kernel.c. */
const CDEV_OPEN: Refusals = [
  ['OPEN_DEVICE', opening('/dev/vfio/devices/vfio0', 'vfio-pci')],
  ['OPEN_IOMMU', opening('/dev/iommu', 'iommufd')],
  ['BIND', GIVING],
  ['IOAS_ALLOC', plain('make IOMMU address space', 'IOMMU_IOAS_ALLOC', 'ENOMEM', 'EINVAL')],
  ['ATTACH', ISOLATION],
  ['RANGES', plain('query IOVA ranges', 'IOMMU_IOAS_IOVA_RANGES', 'EINVAL', 'ENOENT')],
  ['GET_INFO', plain('query device', 'VFIO_DEVICE_GET_INFO', 'EINVAL', 'EIO')],
  ['GET_REGION_INFO', plain('query region 7', 'VFIO_DEVICE_GET_REGION_INFO', 'EINVAL', 'EIO')],
  ['GET_IRQ_INFO', plain('query MSI-X', 'VFIO_DEVICE_GET_IRQ_INFO', 'EINVAL', 'EIO')],
];

/** What an open device does, each step refused once for each errno of its call, then done. */
type StepRefusals = readonly (readonly [Step, ...Refusals[number]])[];
const MAPPING: Step = ['map', A, 0x200000, 4096];
const UNMAPPING: Step = ['unmap', A, 0x200000, 4096];
const BYTES = /4096 bytes at IOVA 0x100200000/;
const KEPT = /unmap DMA .*expected 4096 bytes at IOVA 0x100200000 taken back/;
const MEMORY = /needs 4 KiB of locked memory|expected to lock 4 KiB/;
const CONNECT = plain('enable vectors', 'VFIO_DEVICE_SET_IRQS', 'EINVAL', 'ENOSPC', 'EBUSY');
const DISCONNECT = plain('disable vectors', 'VFIO_DEVICE_SET_IRQS', 'EINVAL', 'EIO');
const RESET = plain('reset', 'VFIO_DEVICE_RESET', 'EINVAL', 'EIO');

const GROUP_STEPS: StepRefusals = [
  [
    MAPPING,
    'MAP_DMA',
    {
      EINVAL: BYTES,
      EEXIST: BYTES,
      EFAULT: BYTES,
      ENOMEM: MEMORY,
      ENOSPC: /expected room for one mapping more than the 0 there are, the container takes 65535/,
    },
  ],
  [UNMAPPING, 'UNMAP_DMA', { EINVAL: KEPT, ENOENT: KEPT }],
  [['vectors', A, ['new', 'new', 'new']], 'DEVICE_SET_IRQS', CONNECT],
  [['noVectors', A], 'DEVICE_SET_IRQS', DISCONNECT],
  [['reset', A], 'DEVICE_RESET', RESET],
];
const CDEV_STEPS: StepRefusals = [
  [MAPPING, 'MAP', { EINVAL: BYTES, EEXIST: BYTES, EFAULT: BYTES, ENOMEM: MEMORY, ENOSPC: BYTES }],
  [UNMAPPING, 'UNMAP', { EINVAL: KEPT, ENOENT: KEPT }],
  [['vectors', A, ['new', 'new', 'new']], 'SET_IRQS', CONNECT],
  [['noVectors', A], 'SET_IRQS', DISCONNECT],
  [['reset', A], 'RESET', RESET],
];

interface Expectation {
  readonly step: Step;
  readonly call: string;
  readonly errno: Errno;
  readonly part: RegExp;
}

function refusalsOf(step: Step, call: string, said: Refusals[number][1]): Expectation[] {
  return Object.entries(said).map(([errno, part]) => ({
    step,
    call,
    errno: errno as Errno,
    part: part,
  }));
}

const numbered = (errno: Errno) => ERRNO[errno];

/** What came out other than expected, a line each. */
function judge(expected: readonly Expectation[], outcomes: readonly Outcome[]): string[] {
  return expected.flatMap(({ call, errno, part }, i) => {
    const error = outcomes[i]?.error;
    const text = error?.message ?? 'no error';
    // This one answers yes or no: whatever it fails with is a no.
    const known = call === 'CHECK_EXTENSION' ? 'ENODEV' : errno;
    const right =
      error?.name === 'VfioError' &&
      error.errno === numbered(known) &&
      text.includes(`: ${known}`) &&
      part.test(text) &&
      !text.includes('\n');
    return right ? [] : [`${call} ${errno}: expected ${part}, got ${text}`];
  });
}

describe('every call', () => {
  let model: RunningModel;
  let kernel: FakeKernel;
  let group: FakeSystem;
  let cdev: FakeSystem;
  beforeAll(async () => {
    model = await startModel();
    kernel = buildFakeKernel();
    group = fakeSystem([{ pci: A, group: 1 }]);
    cdev = fakeSystem([{ pci: A, group: 1, cdev: 'vfio0' }], ['vfio', 'vfio_pci', 'iommufd']);
  });
  afterAll(async () => {
    for (const system of [group, cdev]) system?.remove();
    kernel?.remove();
    await model?.stop();
  });

  /** Injections of the preload library: of several for one call each is used up in turn. */
  const onModel = (expected: readonly Expectation[], steps: readonly Step[]) => {
    const injected = expected.map(({ call, errno }) => `${call}=${errno}@1`).join(',');
    return runOnModel(model, group.sysfs, steps, injected, 64);
  };
  /** Those of fake-kernel.c count the calls of a name. */
  const onFake = (
    expected: readonly Expectation[],
    steps: readonly Step[],
    done: string[] = [],
  ) => {
    const calls = new Map<string, number>();
    const injected = expected.map(({ call, errno }) => {
      const before = done.filter((name) => name === call).length;
      const nth = (calls.get(call) ?? before) + 1;
      calls.set(call, nth);
      return `${call}=${numbered(errno)}@${nth}`;
    });
    const env = kernel.env({ IXY_VFIO: 'cdev', FAKE_ERRNO: injected.join(',') });
    return runSteps({ sysfs: cdev.sysfs, env, memlockKiB: 64 }, steps);
  };

  it.each([
    ['group and container', GROUP_OPEN, 'group'],
    ['device file and iommufd', CDEV_OPEN, 'cdev'],
  ] as const)(
    'of an open through %s is refused with every errno, then it opens',
    async (...row) => {
      const [, calls, abi] = row;
      const all = calls.flatMap(([call, said]) => refusalsOf(['open', A], call, said));
      // The library takes 32 injections.
      const half = calls.findIndex(([call]) => call === 'SET_IOMMU');
      const first = new Set(calls.slice(0, half < 0 ? calls.length : half).map(([call]) => call));
      for (const part of [
        all.filter(({ call }) => first.has(call)),
        all.filter(({ call }) => !first.has(call)),
      ]) {
        if (part.length === 0) continue;
        const steps: Step[] = [...part, 'last'].map(() => ['open', A]);
        const outcomes = await (abi === 'group' ? onModel(part, steps) : onFake(part, steps));
        expect(judge(part, outcomes)).toEqual([]);
        expect(messages(outcomes).at(-1)).toBe('done');
      }
    },
  );

  it.each([
    ['group and container', GROUP_STEPS, 'group'],
    ['device file and iommufd', CDEV_STEPS, 'cdev'],
  ] as const)(
    'of a device open through %s is refused with every errno, then done',
    async (...row) => {
      const [, rows, abi] = row;
      for (const [step, call, said] of rows) {
        const expected = refusalsOf(step, call, said);
        // What the step needs before it.
        const before: Step[] =
          step[0] === 'unmap'
            ? [['open', A], MAPPING]
            : step[0] === 'noVectors'
              ? [
                  ['open', A],
                  ['vectors', A, ['new', 'new', 'new']],
                ]
              : [['open', A]];
        const steps: Step[] = [...before, ...expected.map(() => step), step];
        let outcomes: readonly Outcome[];
        if (abi === 'cdev') {
          outcomes = await onFake(expected, steps, step[0] === 'noVectors' ? [call] : []);
        } else {
          // An open has connected the two events of the host.
          const later = { vectors: 3, noVectors: 4 }[step[0]] ?? 1;
          const injected = expected.map(({ errno }) => `${call}=${errno}@${later}`);
          outcomes = await runOnModel(model, group.sysfs, steps, injected.join(','), 64);
        }
        expect(messages(outcomes.slice(0, before.length))).toEqual(before.map(() => 'done'));
        expect(judge(expected, outcomes.slice(before.length))).toEqual([]);
        expect(messages(outcomes).at(-1)).toBe('done');
      }
    },
  );

  it('whose failure a close has nothing to do about does not stop the close', async () => {
    const env = kernel.env({ IXY_VFIO: 'cdev', FAKE_ERRNO: 'DETACH=22@1,DESTROY=16@1' });
    const steps: Step[] = [['open', A], ['close', A], ['open', A], ['close', A], ['logged']];
    const outcomes = await runSteps({ sysfs: cdev.sysfs, env }, steps);
    expect(messages(outcomes)).toEqual(steps.map(() => 'done'));
    expect(outcomes[4]?.value).toHaveLength(2);
    expect(kernel.requests()).toEqual(
      expect.arrayContaining(['DETACH fails', 'DESTROY fails', 'CLOSE device', 'CLOSE iommu']),
    );
  });

  it('is in one of these tables', () => {
    const tables = [
      GROUP_OPEN,
      CDEV_OPEN,
      GROUP_STEPS.map((row) => [row[1]]),
      CDEV_STEPS.map((row) => [row[1]]),
    ];
    const tested = new Set(tables.flatMap((table) => table.map(([call]) => call)));
    const short = (name: string) => name.replace(/^(VFIO|IOMMU)_/, '');
    const spelled: Readonly<Record<string, string>> = {
      IOMMU_MAP_DMA: 'MAP_DMA',
      IOMMU_UNMAP_DMA: 'UNMAP_DMA',
      DEVICE_BIND_IOMMUFD: 'BIND',
      DEVICE_ATTACH_IOMMUFD_PT: 'ATTACH',
      IOAS_IOVA_RANGES: 'RANGES',
      IOAS_MAP: 'MAP',
      IOAS_UNMAP: 'UNMAP',
    };
    const atClose = ['DEVICE_DETACH_IOMMUFD_PT', 'DESTROY'];
    const missing = Object.keys(IOCTL)
      .map(short)
      .filter((name) => !atClose.includes(name) && !tested.has(spelled[name] ?? name));
    expect(missing).toEqual([]);
  });
});
