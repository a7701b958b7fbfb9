// What is refused before VFIO is asked anything, or by the first file that does not open: every row
// of the table is something a user meets, with its cause and its cure in one line.

import { afterEach, describe, expect, it } from 'vitest';
import { processArena } from '../../../src/memory/arena.ts';
import { VfioError } from '../../../src/support/errors.ts';
import { openKernelDevice } from '../../../src/vfio/kernel/open.ts';
import { type FakeFunction, type FakeSystem, fakeSystem } from './fake-sysfs.ts';
import { runSteps } from './run-child.ts';

const PCI = '0000:03:10.1';
const NOBODY = 65_534;
let system: FakeSystem | undefined;
afterEach(() => system?.remove());

interface Refusal {
  readonly name: string;
  readonly fn?: Partial<FakeFunction>;
  readonly modules?: readonly string[];
  /** Ordinary files below dev. */
  readonly files?: readonly string[];
  readonly abi?: 'group' | 'cdev';
  readonly address?: string;
  readonly errno: number;
  readonly message: RegExp;
}

const REFUSALS: readonly Refusal[] = [
  {
    name: 'no device at the address',
    address: '0000:03:10.3',
    errno: 19,
    message:
      /^open VF \(0000:03:10.3\): ENODEV: there is no PCI device at this address; `ixy list` .*sriov_numvfs/,
  },
  {
    name: 'a PF',
    fn: { device: '0x10fb', driver: 'ixgbe' },
    errno: 19,
    message:
      /expected a VF of the 82599 family \(82599 VF 8086:10ed, X540 VF 8086:1515, .*\), got 8086:10fb; `ixy list`/,
  },
  {
    name: 'a device of another vendor with an id of ours',
    fn: { vendor: '0x15b3', device: '0x10ed' },
    errno: 19,
    message: /got 15b3:10ed/,
  },
  {
    name: 'a Hyper-V VF',
    fn: { device: '0x152e' },
    errno: 19,
    message: /got 8086:152e, a Hyper-V VF, whose mailbox is not in hardware/,
  },
  {
    name: 'no IOMMU, whatever it is bound to',
    fn: { group: null, driver: 'ixgbevf' },
    errno: 19,
    message:
      /the device has no IOMMU group, so the IOMMU is off; .*intel_iommu=on .*amd_iommu=on.*kernel command line/,
  },
  {
    name: 'no-IOMMU mode',
    fn: { groupName: 'vfio-noiommu' },
    errno: 1,
    message:
      /EPERM: the device is in VFIO no-IOMMU mode, which this driver refuses: nothing would keep the device from/,
  },
  {
    name: 'no-IOMMU mode by its device file',
    fn: { cdev: 'noiommu-vfio0' },
    errno: 1,
    message: /no-IOMMU mode/,
  },
  {
    name: 'a device bound to ixgbevf',
    fn: { driver: 'ixgbevf', interfaces: ['enp3s0f0v1'] },
    errno: 16,
    message:
      /EBUSY: expected a device bound to vfio-pci, got one that ixgbevf has as network interface enp3s0f0v1; run `sudo ixy bind 0000:03:10.1`/,
  },
  {
    name: 'a device bound to no driver',
    fn: { driver: null },
    errno: 19,
    message: /got one bound to no driver; run `sudo ixy bind 0000:03:10.1`/,
  },
  {
    name: 'no vfio module',
    modules: [],
    errno: 2,
    message:
      /dev\/vfio\/vfio\): ENOENT: the kernel module vfio is not loaded; run `sudo modprobe vfio`, in a container/,
  },
  {
    name: 'no /dev/vfio though the module is there',
    errno: 2,
    message:
      /dev\/vfio\/vfio\): ENOENT: the file is missing though vfio is loaded; in a container start it with --device=/,
  },
  {
    name: 'a container file that is something else',
    files: ['vfio/vfio', 'vfio/1'],
    errno: 25,
    message:
      /dev\/vfio\/vfio\): ENOTTY: expected VFIO of API version 0 behind this file, got a file that is not VFIO/,
  },
  {
    name: 'no device file where one is wanted',
    abi: 'cdev',
    errno: 2,
    message:
      /the kernel offers no device file of its own for it \(needs Linux 6.6 with CONFIG_IOMMUFD/,
  },
  {
    name: 'a device file that is not in /dev',
    abi: 'cdev',
    fn: { cdev: 'vfio0' },
    errno: 2,
    message: /dev\/vfio\/devices\/vfio0\): ENOENT: the file is missing though vfio-pci is loaded/,
  },
  {
    name: 'no iommufd module',
    fn: { cdev: 'vfio0' },
    abi: 'cdev',
    files: ['vfio/devices/vfio0'],
    errno: 2,
    message:
      /dev\/iommu\): ENOENT: the kernel module iommufd is not loaded; run `sudo modprobe iommufd`/,
  },
  {
    name: 'a device file that is something else',
    fn: { cdev: 'vfio0' },
    files: ['vfio/devices/vfio0', 'iommu', 'vfio/vfio', 'vfio/1'],
    errno: 25,
    message: /dev\/vfio\/devices\/vfio0\): ENOTTY: VFIO_DEVICE_BIND_IOMMUFD/,
  },
];

function make(refusal: Pick<Refusal, 'fn' | 'modules' | 'files'>, mode?: number): FakeSystem {
  const made = fakeSystem([{ pci: PCI, ...refusal.fn }], refusal.modules);
  for (const file of refusal.files ?? []) made.addDevFile(file, mode);
  system = made;
  return made;
}

function failure(address: string, options: Parameters<typeof openKernelDevice>[2]): unknown {
  try {
    openKernelDevice(address, processArena(), options);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('opening a VF over kernel VFIO is refused', () => {
  it.each(REFUSALS)('with cause and cure: $name', (refusal) => {
    const { sysfs, dev } = make(refusal);
    const { abi, address = PCI } = refusal;
    const error = failure(address, { sysfs, dev, ...(abi === undefined ? {} : { abi }) });
    expect(error).toBeInstanceOf(VfioError);
    expect((error as VfioError).message).toMatch(refusal.message);
    expect((error as VfioError).errno).toBe(refusal.errno);
    expect((error as VfioError).message).not.toContain('\n');
  });

  it('for a wrong form of address, before anything is looked at', () => {
    for (const address of ['', '03:10', '0000:03:10.8', '0000:03:20.0', 'eth0', `${PCI} `]) {
      expect(failure(address, { sysfs: '/nowhere' })).toBeInstanceOf(RangeError);
    }
  });

  it('for a wrong name of the ABI', () => {
    const wrong = { sysfs: '/nowhere', abi: 'iommufd' as 'cdev' };
    expect((failure(PCI, wrong) as Error).message).toMatch(/expected group or cdev, got 'iommufd'/);
  });

  it('with the same reason when it is tried again: nothing was left open', () => {
    const { sysfs, dev } = make({ files: ['vfio/vfio', 'vfio/1'] });
    const first = (failure(PCI, { sysfs, dev }) as Error).message;
    expect((failure('03:10.1', { sysfs, dev }) as Error).message).toBe(first);
    expect(first).toMatch(/ENOTTY/);
  });
});

const notRoot = process.getuid?.() === 0 ? '' : ' (skipped: needs root to become another user)';
describe.skipIf(notRoot !== '')(`a user without rights${notRoot}`, () => {
  async function messageOf(files: readonly string[], mode: number, cdev: boolean): Promise<string> {
    const made = make({ files, ...(cdev ? { fn: { cdev: 'vfio0' } } : {}) }, mode);
    const { sysfs, dev } = made;
    const [outcome] = await runSteps({ sysfs, dev, uid: NOBODY }, [['open', PCI]]);
    return outcome.error?.message ?? '';
  }

  it('is told to have the container file made his', async () => {
    expect(await messageOf(['vfio/vfio', 'vfio/1'], 0o600, false)).toMatch(
      /dev\/vfio\/vfio\): EACCES: no permission to read and write it; run `sudo chown 65534 \S+\/dev\/vfio\/vfio`, or for good a udev rule: KERNEL=="vfio", OWNER="65534", MODE="0600"/,
    );
  });

  it('is told the same of the device file where there is no group file either', async () => {
    expect(await messageOf(['vfio/devices/vfio0', 'iommu'], 0o600, true)).toMatch(
      /dev\/vfio\/devices\/vfio0\): EACCES: .*SUBSYSTEM=="vfio-dev"/,
    );
  });

  it('gets the ABI whose files he was given', async () => {
    const made = make({ fn: { cdev: 'vfio0' }, files: ['vfio/devices/vfio0', 'iommu'] }, 0o600);
    made.addDevFile('vfio/vfio', 0o666);
    made.addDevFile('vfio/1', 0o666);
    const { sysfs, dev } = made;
    const [outcome] = await runSteps({ sysfs, dev, uid: NOBODY }, [['open', PCI]]);
    // A file that is no VFIO, but of the group.
    expect(outcome.error?.message).toMatch(/dev\/vfio\/vfio\): ENOTTY/);
  });
});
