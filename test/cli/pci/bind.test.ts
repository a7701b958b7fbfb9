import { rmSync, statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Command, parseCommandLine, UsageError } from '../../../src/cli/arguments.ts';
import { runBind, runUnbind } from '../../../src/cli/pci/bind.ts';
import { bind, unbind } from '../../../src/cli/pci/command.ts';
import { bindPlan, unbindPlan } from '../../../src/cli/pci/plan.ts';
import { VfioError } from '../../../src/support/errors.ts';
import { FakeMachine } from '../../support/fake-sysfs.ts';

const PF = '0000:03:00.0';
const VF0 = '0000:03:10.0';
const VF1 = '0000:03:10.2';
const DEVICES = '/sys/bus/pci/devices';

/** A machine with a PF and two VFs at ixgbevf, VF 0 as eth0v0. */
function card(machine: FakeMachine): FakeMachine {
  machine.add(PF, { device: '10fb', driver: 'ixgbe', group: 12, totalVfs: 63 });
  const net = { name: 'eth0v0', mac: '02:09:c0:00:00:00', flags: '0x1003', operstate: 'up' };
  machine.add(VF0, { device: '10ed', driver: 'ixgbevf', group: 40, pf: PF, net });
  machine.add(VF1, {
    device: '10ed',
    driver: 'ixgbevf',
    group: 41,
    pf: PF,
    net: { ...net, name: 'eth0v1', flags: '0x1002', operstate: 'down' },
  });
  return machine;
}

let machine = new FakeMachine();
beforeEach(() => {
  machine.remove();
  machine = card(new FakeMachine());
});
afterEach(() => machine.remove());

/** Runs a command; lines have the temporary folder taken out. */
function run(command: Command, argv: readonly string[]): string[] {
  const lines: string[] = [];
  const print = (line: string): void => {
    lines.push(line.replaceAll(machine.folder, ''));
  };
  const args = parseCommandLine(command, argv);
  const status =
    command.name === 'bind'
      ? runBind(bindPlan(args), machine, print)
      : runUnbind(unbindPlan(args), machine, print);
  expect(status).toBe(0);
  return lines;
}

/** The error of a command that fails before its first write. */
function refusal(command: Command, ...argv: string[]): Error {
  try {
    run(command, argv);
  } catch (error) {
    expect(machine.writes).toEqual([]);
    expect((error as Error).message).not.toContain('\n');
    return error as Error;
  }
  throw new Error(`${command.name} ${argv.join(' ')} was not refused`);
}

describe('a wrong command line is a UsageError:', () => {
  const wrong: [Command, string[], RegExp][] = [
    [bind, [], /expected a PCI address, got none/],
    [unbind, [], /expected a PCI address, got none/],
    [bind, ['eth0'], /expected a PCI address such as 0000:03:10.0, got 'eth0'/],
    [bind, ['vfio-user:/tmp/a.sock'], /expected a PCI address/],
    [bind, ['../../etc'], /expected a PCI address/],
    [unbind, ['model:0.0'], /expected a PCI address/],
    [bind, ['--vfs', '0', PF], /--vfs: expected an integer from 1 to 63, got '0'/],
    [bind, ['--vfs', 'two', PF], /--vfs: expected an integer from 1 to 63, got 'two'/],
    [bind, ['--vfs', '2'], /expected a PCI address, got none/],
    [bind, ['--vfs', '2', PF, VF0], /expected one PF/],
    [bind, ['--owner', 'no such user', VF0], /--owner: expected a user name or number/],
    [unbind, ['--vfs', '2', PF], /Unknown option '--vfs'/],
  ];
  for (const [command, argv, message] of wrong) {
    it(`ixy ${[command.name, ...argv].join(' ')}`, () => {
      const error = refusal(command, ...argv);
      expect(error).toBeInstanceOf(UsageError);
      expect(error.message).toMatch(message);
    });
  }
});

describe('ixy bind refuses', () => {
  const message = (...argv: string[]): string => {
    const error = refusal(bind, ...argv);
    expect(error).not.toBeInstanceOf(UsageError);
    return error.message;
  };

  it('an address where there is nothing', () => {
    expect(message('0000:09:10.0')).toBe(
      '0000:09:10.0: there is no PCI device at this address; `ixy list` shows the VFs there are, and a PF makes them with `sudo ixy bind --vfs N PF` or `echo N | sudo tee /sys/class/net/PF/device/sriov_numvfs`',
    );
  });

  it('a device of another family', () => {
    machine.add('0000:04:00.0', { device: '1521', group: 50 });
    expect(message('0000:04:00.0')).toMatch(
      /^0000:04:00.0: expected a VF of the 82599 family \(82599 VF 8086:10ed, .*\), got 8086:1521; `ixy list` shows the VFs there are$/,
    );
  });

  it('a PF, and names its VFs', () => {
    expect(message(PF)).toBe(
      '0000:03:00.0: expected a VF, got a PF (82599); its VFs are 0000:03:10.0, 0000:03:10.2',
    );
  });

  it('a PF without VFs, and says how to make some', () => {
    machine.add('0000:05:00.0', { device: '1528', driver: 'ixgbe', group: 50, totalVfs: 63 });
    expect(message('05:00.0')).toBe(
      '0000:05:00.0: expected a VF, got a PF (X540); `ixy bind --vfs N 0000:05:00.0` makes some',
    );
  });

  it('a Hyper-V variant', () => {
    machine.add('0000:06:00.0', { device: '152e', group: 50 });
    expect(message('0000:06:00.0')).toMatch(/a Hyper-V VF, whose mailbox is not in hardware/);
  });

  it('any VF on a machine without an IOMMU, force or not', () => {
    machine.add('0000:07:10.0', { device: '10ed' });
    expect(message('--force', '0000:07:10.0')).toMatch(
      /^0000:07:10.0: the device has no IOMMU group/,
    );
  });

  it('any VF where vfio-pci is not loaded', () => {
    machine.remove();
    machine = card(new FakeMachine({ drivers: ['ixgbe', 'ixgbevf'] }));
    expect(message(VF0)).toBe('0000:03:10.0: vfio-pci is not loaded; run `sudo modprobe vfio-pci`');
  });

  it('an interface that is up with an address', () => {
    machine.addresses.eth0v0 = ['192.0.2.7', 'fe80::9:c0ff:fe00:0'];
    expect(message(VF0)).toBe(
      '0000:03:10.0 is eth0v0, which is up with 192.0.2.7; --force takes it away all the same',
    );
  });

  it('an interface that is up and part of a bridge', () => {
    const net = {
      name: 'eth1v0',
      mac: '02:09:c0:00:01:00',
      flags: '0x1103',
      operstate: 'up',
      upper: 'br0',
    };
    machine.add('0000:07:10.0', { device: '10ed', driver: 'ixgbevf', group: 50, net });
    expect(message('0000:07:10.0')).toMatch(
      /^0000:07:10.0 is eth1v0, which is up and part of br0;/,
    );
  });

  it('an interface that is in another network namespace', () => {
    machine.add('0000:07:10.0', { device: '10ed', driver: 'ixgbevf', group: 50 });
    expect(message('0000:07:10.0')).toMatch(/it is in another network namespace; --force/);
  });

  it('all of several VFs when one of them cannot be had', () => {
    machine.addresses.eth0v0 = ['192.0.2.7'];
    expect(message(VF1, VF0)).toMatch(/^0000:03:10.0 is eth0v0/);
  });

  it('--vfs on a VF', () => {
    expect(message('--vfs', '2', VF0)).toBe(
      '0000:03:10.0: --vfs expected a PF, got a VF of 0000:03:00.0',
    );
  });

  it('more VFs than the PF makes', () => {
    machine.add('0000:05:00.0', { device: '1528', driver: 'ixgbe', group: 50, totalVfs: 8 });
    expect(message('--vfs', '9', '0000:05:00.0')).toBe(
      '--vfs: 0000:05:00.0 makes at most 8 VFs, got 9',
    );
  });

  it('--vfs on a PF that nobody drives', () => {
    machine.add('0000:05:00.0', { device: '1528', group: 50, totalVfs: 8 });
    expect(message('--vfs', '2', '0000:05:00.0')).toMatch(/no driver bound.*modprobe ixgbe$/);
  });

  it('another number of VFs while one of the present ones carries traffic', () => {
    machine.addresses.eth0v0 = ['192.0.2.7'];
    expect(message('--vfs', '4', PF)).toBe(
      'changing 0000:03:00.0 from 2 to 4 VFs removes them all first, and 0000:03:10.0 is eth0v0, which is up with 192.0.2.7; --force does it all the same',
    );
  });

  it('another number of VFs while a process holds one, force or not', () => {
    run(bind, [VF0]);
    machine.writes.length = 0;
    machine.addProcess(4711, 'node', `${machine.dev}/vfio/40`);
    expect(message('--vfs', '4', '--force', PF)).toMatch(
      /0000:03:10.0 is in use by process 4711 \(node\); end it first$/,
    );
  });
});

describe('ixy unbind refuses', () => {
  it('a PF', () => {
    expect(refusal(unbind, PF).message).toMatch(/expected a VF, got a PF/);
  });

  it('an address where there is nothing', () => {
    expect(refusal(unbind, '0000:09:10.0').message).toMatch(
      /there is no PCI device at this address/,
    );
  });

  it('a VF that a process holds, since the kernel would wait for it', () => {
    run(bind, [VF0]);
    machine.writes.length = 0;
    machine.addProcess(4711, 'node', `${machine.dev}/vfio/40`);
    expect(refusal(unbind, VF0).message).toBe(
      '0000:03:10.0: in use by process 4711 (node); end it first',
    );
  });
});

describe('--dry-run prints the writes and changes nothing:', () => {
  const dry = (command: Command, ...argv: string[]): string[] => {
    const before = machine.writes.length;
    const lines = run(command, ['--dry-run', ...argv]);
    expect(machine.writes.length).toBe(before);
    return lines;
  };

  it('bind of a VF that ixgbevf has', () => {
    expect(dry(bind, '--owner', '1000', VF0)).toEqual([
      `echo vfio-pci > ${DEVICES}/0000:03:10.0/driver_override`,
      `echo 0000:03:10.0 > ${DEVICES}/0000:03:10.0/driver/unbind`,
      'echo 0000:03:10.0 > /sys/bus/pci/drivers_probe',
      'chown 1000 /dev/vfio/40',
    ]);
    expect(machine.driverOf(VF0)).toBe('ixgbevf');
  });

  it('bind of a VF without a driver, by its short address', () => {
    machine.add('0000:07:10.0', { device: '1515', group: 50 });
    expect(dry(bind, '07:10.0')).toEqual([
      `echo vfio-pci > ${DEVICES}/0000:07:10.0/driver_override`,
      'echo 0000:07:10.0 > /sys/bus/pci/drivers_probe',
    ]);
  });

  it('bind of new VFs, at the addresses they will have', () => {
    expect(dry(bind, '--owner', '1000', '--vfs', '3', PF).filter((_, i) => i === 6)).toEqual([
      `chown 1000 /dev/vfio/$(basename $(readlink ${DEVICES}/0000:03:10.0/iommu_group))`,
    ]);
    expect(dry(bind, '--vfs', '3', PF)).toEqual([
      `echo 0 > ${DEVICES}/0000:03:00.0/sriov_drivers_autoprobe`,
      `echo 0 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      `echo 3 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      `echo 1 > ${DEVICES}/0000:03:00.0/sriov_drivers_autoprobe`,
      `echo vfio-pci > ${DEVICES}/0000:03:10.0/driver_override`,
      'echo 0000:03:10.0 > /sys/bus/pci/drivers_probe',
      `echo vfio-pci > ${DEVICES}/0000:03:10.2/driver_override`,
      'echo 0000:03:10.2 > /sys/bus/pci/drivers_probe',
      `echo vfio-pci > ${DEVICES}/0000:03:10.4/driver_override`,
      'echo 0000:03:10.4 > /sys/bus/pci/drivers_probe',
    ]);
  });

  it('unbind', () => {
    run(bind, [VF0]);
    expect(dry(unbind, VF0)).toEqual([
      `echo > ${DEVICES}/0000:03:10.0/driver_override`,
      `echo 0000:03:10.0 > ${DEVICES}/0000:03:10.0/driver/unbind`,
      'echo 0000:03:10.0 > /sys/bus/pci/drivers_probe',
    ]);
  });

  it('where there is nothing to do', () => {
    run(bind, [VF0]);
    expect(dry(bind, VF0)).toEqual(['# nothing to do']);
    expect(dry(unbind, VF1)).toEqual(['# nothing to do']);
  });
});

describe('ixy bind', () => {
  it('makes the writes of the dry run, and the VF is bound', () => {
    const lines = run(bind, ['--dry-run', VF0]);
    expect(run(bind, [VF0])).toEqual(['0000:03:10.0: ixgbevf -> vfio-pci']);
    expect(machine.writes).toEqual(lines);
    expect(machine.driverOf(VF0)).toBe('vfio-pci');
    expect(machine.driverOf(VF1)).toBe('ixgbevf');
  });

  it('takes an address given twice once, and does nothing to a VF that is bound already', () => {
    run(bind, [VF0]);
    const writes = machine.writes.length;
    expect(run(bind, [VF0, '03:10.0'])).toEqual(['0000:03:10.0: already bound to vfio-pci']);
    expect(machine.writes.length).toBe(writes);
  });

  it('takes an interface that is up when forced, and one without an address unasked', () => {
    machine.addresses.eth0v0 = ['fe80::9:c0ff:fe00:0'];
    expect(run(bind, [VF0])).toHaveLength(1);
    run(unbind, [VF0]);
    machine.add('0000:07:10.0', { device: '10ed', driver: 'ixgbevf', group: 50 });
    expect(run(bind, ['--force', '0000:07:10.0'])).toEqual(['0000:07:10.0: ixgbevf -> vfio-pci']);
  });

  it('gives the nodes to the owner', () => {
    const uid = process.getuid?.() ?? 0;
    expect(run(bind, ['--owner', `${uid}`, VF0])).toEqual([
      `0000:03:10.0: ixgbevf -> vfio-pci, /dev/vfio/40 of ${uid}`,
    ]);
    expect(statSync(`${machine.dev}/vfio/40`).uid).toBe(uid);
  });

  it.skipIf(process.getuid?.() !== 0)('changes the owner of the node, run as root', () => {
    run(bind, ['--owner', '12345', VF0]);
    expect(statSync(`${machine.dev}/vfio/40`).uid).toBe(12345);
  });

  it('says what is still missing afterwards', () => {
    machine.add('0000:07:10.0', { device: '10ed', group: 50 });
    machine.add('0000:07:10.2', { device: '10ed', driver: 'ixgbevf', group: 50 });
    expect(run(bind, ['0000:07:10.0'])).toEqual([
      '0000:07:10.0: no driver -> vfio-pci',
      '0000:07:10.0: not ready yet: /dev/vfio/50: the IOMMU group of 0000:07:10.0 is not viable: 0000:07:10.2 is bound to ixgbevf; run `sudo ixy bind 0000:07:10.2` (or unbind it); the group is shared because its PCIe slot has no ACS',
    ]);
  });

  it('reports path and errno of a refused write', () => {
    machine.failing['0000:03:10.0/driver_override'] = { code: 'EACCES', errno: 13 };
    let error: VfioError | undefined;
    try {
      run(bind, [VF0]);
    } catch (caught) {
      error = caught as VfioError;
    }
    expect(error).toBeInstanceOf(VfioError);
    expect(error?.errno).toBe(13);
    expect(error?.path).toBe(`${machine.sysfs}/bus/pci/devices/0000:03:10.0/driver_override`);
    expect(error?.message).toMatch(/EACCES: run this as root$/);
    expect(machine.driverOf(VF0)).toBe('ixgbevf');
  });

  it('gives the VF back where vfio-pci does not take it', () => {
    machine.refusing.add('vfio-pci');
    expect(() => run(bind, [VF0])).toThrow(
      /^0000:03:10.0: expected driver vfio-pci within 2000 ms, got no driver; the kernel log/,
    );
    expect(machine.driverOf(VF0)).toBe('ixgbevf');
    expect(machine.writes.slice(-2)).toEqual([
      `echo > ${DEVICES}/0000:03:10.0/driver_override`,
      'echo 0000:03:10.0 > /sys/bus/pci/drivers_probe',
    ]);
  });
});

describe('ixy bind --vfs', () => {
  it('makes VFs, from another number by way of 0, and binds them all', () => {
    expect(run(bind, ['--vfs', '3', PF])).toEqual([
      '0000:03:00.0: 3 VFs',
      '0000:03:10.0: no driver -> vfio-pci',
      '0000:03:10.2: no driver -> vfio-pci',
      '0000:03:10.4: no driver -> vfio-pci',
    ]);
    expect(machine.writes.slice(0, 4)).toEqual([
      `echo 0 > ${DEVICES}/0000:03:00.0/sriov_drivers_autoprobe`,
      `echo 0 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      `echo 3 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      `echo 1 > ${DEVICES}/0000:03:00.0/sriov_drivers_autoprobe`,
    ]);
  });

  it('makes the writes of its dry run', () => {
    const lines = run(bind, ['--dry-run', '--vfs', '1', PF]);
    run(bind, ['--vfs', '1', PF]);
    expect(machine.writes).toEqual(lines);
  });

  it('leaves the VFs alone where their number is right, and binds them', () => {
    expect(run(bind, ['--vfs', '2', PF])).toEqual([
      '0000:03:00.0: 2 VFs, as before',
      '0000:03:10.0: ixgbevf -> vfio-pci',
      '0000:03:10.2: ixgbevf -> vfio-pci',
    ]);
    expect(machine.writes.filter((line) => line.includes('sriov'))).toEqual([]);
  });

  it('takes new VFs from the driver that an older kernel gives them at once', () => {
    rmSync(`${machine.sysfs}/bus/pci/devices/${PF}/sriov_drivers_autoprobe`);
    expect(run(bind, ['--dry-run', '--vfs', '1', PF])).toEqual([
      `echo 0 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      `echo 1 > ${DEVICES}/0000:03:00.0/sriov_numvfs`,
      '# then bind each new VF of 0000:03:00.0 to vfio-pci',
    ]);
    expect(run(bind, ['--vfs', '1', PF])).toEqual([
      '0000:03:00.0: 1 VF',
      '0000:03:10.0: ixgbevf -> vfio-pci',
    ]);
  });

  it('switches probing on again where the PF refuses the number', () => {
    machine.failing['0000:03:00.0/sriov_numvfs'] = { code: 'EBUSY', errno: 16 };
    expect(() => run(bind, ['--vfs', '4', PF])).toThrow(/sriov_numvfs\): EBUSY/);
    expect(machine.writes.at(-1)).toBe(`echo 1 > ${DEVICES}/0000:03:00.0/sriov_drivers_autoprobe`);
  });
});

describe('an SR-IOV PF of another family', () => {
  const OTHER = '0000:04:00.0';
  const OTHER_VF = '0000:04:10.0';
  beforeEach(() => {
    machine.add(OTHER, { device: '10c9', driver: 'igb', group: 50, totalVfs: 7 });
    machine.add(OTHER_VF, { device: '10ca', group: 51, pf: OTHER });
  });

  it('is refused, and so are its VFs', () => {
    expect(refusal(bind, '--vfs', '1', OTHER).message).toMatch(/got 8086:10c9/);
    expect(refusal(bind, OTHER_VF).message).toMatch(/got 8086:10ca/);
  });

  it('is taken by force; what is not ready is said; unbind gives its VFs back', () => {
    const bound = `${OTHER_VF}: no driver -> vfio-pci`;
    const notReady = expect.stringMatching(
      /^0000:04:10.0: not ready yet: expected a VF of the 82599 family/,
    );
    expect(run(bind, ['--vfs', '1', '--force', OTHER])).toEqual([
      `${OTHER}: 1 VF, as before`,
      bound,
      notReady,
    ]);
    machine.refusing.add('ixgbevf');
    expect(run(unbind, [OTHER_VF])).toEqual([expect.stringMatching(/no driver took it/)]);
    expect(run(bind, ['--force', OTHER_VF])).toEqual([bound, notReady]);
  });

  it('is not what has no SR-IOV, by force or not', () => {
    machine.add('0000:05:00.0', { device: '1521', group: 52 });
    expect(refusal(bind, '--force', '0000:05:00.0').message).toMatch(/got 8086:1521/);
    expect(refusal(bind, '--force', OTHER).message).toMatch(
      /expected a VF, got a PF \(8086:10c9\)/,
    );
  });

  it('keeps its VFs where a process holds one', () => {
    run(bind, ['--force', OTHER_VF]);
    machine.writes.length = 0;
    machine.addProcess(4711, 'node', `${machine.dev}/vfio/51`);
    expect(refusal(bind, '--vfs', '2', '--force', OTHER).message).toMatch(
      /0000:04:10.0 is in use by process 4711/,
    );
    expect(refusal(unbind, OTHER_VF).message).toMatch(/in use by process 4711/);
  });
});

describe('ixy unbind', () => {
  it('gives the VF back to the kernel driver and clears the override', () => {
    run(bind, [VF0]);
    expect(run(unbind, [VF0])).toEqual(['0000:03:10.0: vfio-pci -> ixgbevf']);
    expect(machine.driverOf(VF0)).toBe('ixgbevf');
    expect(run(unbind, [VF0])).toEqual(['0000:03:10.0: already bound to ixgbevf']);
  });

  it('says so where no driver takes the VF', () => {
    machine.refusing.add('ixgbevf');
    run(bind, [VF0]);
    expect(run(unbind, [VF0])).toEqual([
      '0000:03:10.0: no driver took it; modprobe ixgbevf does, if you want its network interface',
    ]);
  });

  it('fails within bounds where vfio-pci keeps the VF', () => {
    run(bind, [VF0]);
    machine.write = () => {};
    expect(() => run(unbind, [VF0])).toThrow(
      /^0000:03:10.0: expected another driver than vfio-pci within 2000 ms, still bound/,
    );
  });
});
