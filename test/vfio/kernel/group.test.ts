// Group and container. First against the software 82599, through the preload library that answers
// the group calls from vfio-user sockets (native/preload/preload.h): the kernel's own errno values and type1
// checks, and registers, DMA and interrupts of a live VF. Then what that library does not have, on
// fake-kernel.c: groups of several devices or that are not viable, a kernel without capabilities.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
const B = '0000:03:10.2';
const messages = (outcomes: readonly Outcome[]) => outcomes.map((o) => o.error?.message ?? 'done');
const done = (count: number): string[] => new Array<string>(count).fill('done');

describe.each([[[]], [['--trap-all']]])('a VF of the model, served with %j', (options) => {
  let model: RunningModel;
  let system: FakeSystem;
  beforeAll(async () => {
    model = await startModel(...options);
    system = fakeSystem([
      { pci: A, group: 1 },
      { pci: B, group: 2 },
    ]);
  });
  afterAll(async () => {
    system?.remove();
    await model?.stop();
  });

  const run = (steps: readonly Step[]) => runOnModel(model, system.sysfs, steps);

  it('opens, is driven, is given back, and opens again', async () => {
    const life: Step[] = [
      ['open', A],
      ['facts', A],
      ['config', A, 0],
      ['config', A, 2],
      ['start', A],
      ['config', A, 4],
      ['stop', A],
      ['read32', A, 8],
    ];
    const outcomes = await run([...life, ...life]);
    const once = [
      ...done(7),
      expect.stringMatching(/read32 \(\/dev\/vfio\/1\): EBADFD: the device is closed/),
    ];
    expect(messages(outcomes)).toEqual([...once, ...once]);
    expect(outcomes[1].value).toEqual({
      address: A,
      deviceId: 0x10ed,
      vectors: 3,
      iovaRanges: [
        { first: 0, last: 0xfedfffff },
        { first: 0xfef00000, last: 2 ** 48 - 1 },
      ],
      mapped: [true, true, true, true],
    });
    expect(outcomes.slice(2, 4).map((o) => o.value)).toEqual([0x8086, 0x10ed]);
    expect(outcomes[4].value).toEqual({ mac: '02:09:c0:00:00:00' });
    // Bus master, which the driver sets.
    expect((outcomes[5].value as number) & 4).toBe(4);
  });

  it('reads and writes a register the same by call and by page', async () => {
    // VFRDBAL of queue 0, page 1: 128-byte aligned.
    const outcomes = await run([
      ['open', A],
      ['write32', A, 0x1000, 0x12345680],
      ['read32', A, 0x1000],
      ['readPage', A, 1, 0],
      ['read32', A, 0x4000],
    ]);
    expect(outcomes.slice(2, 4).map((o) => o.value)).toEqual([0x12345680, 0x12345680]);
    expect(messages(outcomes)[4]).toMatch(/expected a multiple of 4 from 0 to 0x3ffc, got 16384/);
  });

  it('runs beside a second VF in the same container', async () => {
    const outcomes = await run([
      ['open', A],
      ['open', B],
      ['open', A],
      ['start', A],
      ['start', B],
      ['grow', 100],
      ['stop', A],
      ['stop', B],
      ['open', B],
      ['logged'],
    ]);
    expect(messages(outcomes)).toEqual([
      ...done(2),
      expect.stringMatching(/open VF \(0000:03:10.1\): EBUSY: this process has the device open/),
      ...done(7),
    ]);
    expect(outcomes[9].value).toEqual([
      `info: ${A}: opened through /dev/vfio/1 (container, group 1)`,
      `info: ${B}: opened through /dev/vfio/2 (container, group 2)`,
      `info: ${B}: opened through /dev/vfio/2 (container, group 2)`,
    ]);
  });
});

describe('group and container over the stand-in for the kernel', () => {
  let kernel: FakeKernel;
  let system: FakeSystem;
  beforeAll(() => {
    kernel = buildFakeKernel();
    system = fakeSystem([
      { pci: A, group: 7 },
      { pci: B, group: 7 },
      { pci: '0000:03:00.0', group: 7, device: '0x10fb', driver: 'ixgbe' },
      { pci: '0000:00:01.0', group: 7, device: '0x1901', driver: 'pcieport' },
      { pci: '0000:03:10.5', group: 7, driver: null },
    ]);
  });
  afterAll(() => {
    kernel.remove();
    system.remove();
  });

  const run = (steps: readonly Step[], settings: Readonly<Record<string, string>> = {}) =>
    runSteps({ sysfs: system.sysfs, env: kernel.env(settings) }, steps);

  it('a group that is not viable is refused with the device that blocks it', async () => {
    const outcomes = await run([['open', A]], { FAKE_GROUP: 'blocked' });
    expect(messages(outcomes)).toEqual([
      expect.stringMatching(
        /open VF \(\/dev\/vfio\/7\): EBUSY: the IOMMU group of 0000:03:10.1 is not viable: 0000:03:00.0 is bound to ixgbe; bind that to vfio-pci too, or use a slot with ACS/,
      ),
    ]);
    expect(kernel.requests()).toEqual(['CLOSE group', 'CLOSE container']);
  });

  it('a kernel of another API version is refused', async () => {
    const outcomes = await run([['open', A]], { FAKE_API: '1' });
    expect(messages(outcomes)).toEqual([
      expect.stringMatching(/expected VFIO of API version 0 .*got version 1/),
    ]);
  });

  it('two devices of one group share its file, one IOMMU and one mapping, and go in order', async () => {
    const outcomes = await run([
      ['open', A],
      ['facts', A],
      ['mapSame', A, 0x200000, 4096],
      ['open', B],
      ['mapSame', B, 0x200000, 4096],
      ['close', A],
      ['close', B],
      ['open', A],
    ]);
    expect(messages(outcomes)).toEqual(done(8));
    // No capabilities: all that x86 IOMMUs translate but for the interrupt window.
    expect(outcomes[1].value).toMatchObject({
      iovaRanges: [
        { first: 0, last: 0xfedfffff },
        { first: 0xfef00000, last: 2 ** 39 - 1 },
      ],
    });
    expect(kernel.requests()).toEqual([
      'SET_CONTAINER container',
      'SET_IOMMU 3',
      `GET_DEVICE_FD ${A}`,
      'MAP_DMA argsz=32 flags=3 iova=0x100200000 size=0x1000',
      `GET_DEVICE_FD ${B}`,
      'RESET master=0',
      'CLOSE device',
      'RESET master=0',
      'UNMAP_DMA argsz=24 iova=0x100200000 size=0x1000',
      'CLOSE device',
      'CLOSE group',
      'CLOSE container',
      'SET_CONTAINER container',
      'SET_IOMMU 3',
      `GET_DEVICE_FD ${A}`,
    ]);
  });
});
