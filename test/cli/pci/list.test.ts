import { execFileSync } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCommandLine, UsageError } from '../../../src/cli/arguments.ts';
import { list } from '../../../src/cli/pci/command.ts';
import { systemHost } from '../../../src/cli/pci/host.ts';
import { runList } from '../../../src/cli/pci/list.ts';
import { FakeMachine } from '../../support/fake-sysfs.ts';
import { run } from '../run-ixy.ts';

const PF = '0000:03:00.0';
const VF0 = '0000:03:10.0';
const VF1 = '0000:03:10.2';

let machine = new FakeMachine();
beforeEach(() => {
  machine.remove();
  machine = new FakeMachine();
});
afterEach(() => machine.remove());

function use(other: FakeMachine): void {
  machine.remove();
  machine = other;
}

/** The command's lines, with the temporary folder taken out. */
function lines(...argv: string[]): string[] {
  const printed: string[] = [];
  const status = runList(parseCommandLine(list, argv), machine, (line) => printed.push(line));
  expect(status).toBe(0);
  return printed.map((line) => line.replaceAll(machine.folder, ''));
}

interface Row {
  readonly address: string;
  readonly ready: boolean;
  readonly missing: string | null;
}

/** What is missing for VF0. */
function missing(): string | null | undefined {
  const { vfs } = JSON.parse(lines('--json')[0]) as { vfs: Row[] };
  const row = vfs.find((one) => one.address === VF0);
  expect(row?.ready).toBe(row?.missing === null);
  return row?.missing?.replaceAll(machine.folder, '') ?? row?.missing;
}

describe('ixy list refuses', () => {
  it('arguments, since it takes none', () => {
    expect(() => parseCommandLine(list, [PF])).toThrow(UsageError);
  });
});

describe('ixy list, where there is nothing', () => {
  it('says so and how VFs are made', () => {
    machine.add('0000:00:02.0', { device: '1521', driver: 'igb' });
    expect(lines()).toEqual([
      'no PF or VF of the 82599, X540 or X550 under /sys/bus/pci/devices',
      'A VF is made on the machine that has the card, by its PF: `ixy bind --vfs 2 PF_ADDRESS`;',
      'a virtual machine gets one passed through. Without hardware: `ixy l2fwd` brings its own.',
    ]);
  });

  it('prints empty arrays as JSON', () => {
    expect(lines('--json')).toEqual(['{"pfs":[],"vfs":[],"memlock":null,"final":true}']);
  });

  it('survives a folder that is no sysfs at all', () => {
    const none = { ...machine, access: machine.access, sysfs: '/nonexistent' };
    const printed: string[] = [];
    runList(
      parseCommandLine(list, []),
      { ...none, interfaceAddresses: () => [], write: () => {} },
      (line) => printed.push(line),
    );
    expect(printed[0]).toBe(
      'no PF or VF of the 82599, X540 or X550 under /nonexistent/bus/pci/devices',
    );
  });
});

describe('ixy list says of a VF', () => {
  it('that there is no IOMMU', () => {
    use(new FakeMachine({ iommu: false }));
    machine.add(VF0, { device: '10ed', driver: 'ixgbevf' });
    expect(missing()).toBe(
      'the device has no IOMMU group, so the IOMMU is off; turn on VT-d or AMD-Vi in the firmware, put intel_iommu=on (or amd_iommu=on) on the kernel command line, reboot; in a VM give it a virtual IOMMU',
    );
  });

  it('that the IOMMU does not cover it', () => {
    machine.add(VF0, { device: '10ed' });
    expect(missing()).toMatch(
      /^the device has no IOMMU group, since the machine's IOMMU does not cover it; /,
    );
  });

  it("that VFIO's no-IOMMU mode is not supported", () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 0 });
    machine.file('sys/kernel/iommu_groups/0/name', 'vfio-noiommu\n');
    expect(missing()).toMatch(
      /^the device is in VFIO no-IOMMU mode, which this driver refuses: .*intel_iommu=on/,
    );
  });

  it('that vfio-pci is not loaded', () => {
    use(new FakeMachine({ drivers: ['ixgbevf'] }));
    machine.add(VF0, { device: '10ed', driver: 'ixgbevf', group: 7 });
    expect(missing()).toBe(
      'expected a device bound to vfio-pci, got one that ixgbevf has; run `sudo modprobe vfio-pci`, then `sudo ixy bind 0000:03:10.0`',
    );
  });

  it('that another driver has it', () => {
    machine.add(VF0, { device: '10ed', driver: 'ixgbevf', group: 7 });
    expect(missing()).toBe(
      'expected a device bound to vfio-pci, got one that ixgbevf has; run `sudo ixy bind 0000:03:10.0`',
    );
  });

  it('that no driver has it', () => {
    machine.add(VF0, { device: '10ed', group: 7 });
    expect(missing()).toBe(
      'expected a device bound to vfio-pci, got one bound to no driver; run `sudo ixy bind 0000:03:10.0`',
    );
  });

  it('that its group holds a VF bound elsewhere', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.add(VF1, { device: '10ed', driver: 'ixgbevf', group: 7 });
    expect(missing()).toBe(
      '/dev/vfio/7: the IOMMU group of 0000:03:10.0 is not viable: 0000:03:10.2 is bound to ixgbevf; run `sudo ixy bind 0000:03:10.2` (or unbind it); the group is shared because its PCIe slot has no ACS',
    );
  });

  it('that its group holds a strange device in use', () => {
    machine.addDriver('igb');
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.add('0000:04:00.0', { device: '1521', driver: 'igb', group: 7 });
    expect(missing()).toBe(
      '/dev/vfio/7: the IOMMU group of 0000:03:10.0 is not viable: 0000:04:00.0 is bound to igb; bind that to vfio-pci too, or use a slot with ACS; the group is shared because its PCIe slot has no ACS',
    );
  });

  it('that there is no node in this container', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    const full = machine.access.bind(machine);
    machine.access = (path) => (path.endsWith('/dev/vfio/7') ? 'absent' : full(path));
    expect(missing()).toBe(
      '/dev/vfio/7: the file is missing though vfio-pci is loaded; in a container start it with --device=/dev/vfio/7',
    );
  });

  it('that this user may not open the node', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.denied.add(`${machine.dev}/vfio/7`);
    const uid = process.getuid?.();
    expect(missing()).toBe(
      `/dev/vfio/7: no permission to read and write it; run \`sudo chown ${uid} /dev/vfio/7\`, or for good a udev rule: SUBSYSTEM=="vfio", OWNER="${uid}", MODE="0600"`,
    );
  });

  it('that its PF is down', () => {
    const net = { name: 'eth0', mac: 'a0:36:9f:00:00:01', flags: '0x1002', operstate: 'down' };
    machine.add(PF, { device: '10fb', driver: 'ixgbe', totalVfs: 63, net });
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7, pf: PF });
    expect(missing()).toBe(
      'its PF 0000:03:00.0 is down and answers no VF; run `sudo ip link set eth0 up`',
    );
  });

  it('that a Hyper-V variant is not supported', () => {
    machine.add(VF0, { device: '152e', driver: 'vfio-pci', group: 7 });
    expect(missing()).toMatch(/a Hyper-V VF, whose mailbox is not in hardware/);
  });

  it('ready, where nothing is missing', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    expect(missing()).toBeNull();
  });

  it('ready, where the rest of its group is a bridge, unbound, or bound to VFIO', () => {
    machine.addDriver('pcieport');
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.add(VF1, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.add('0000:03:10.4', { device: '10ed', group: 7 });
    machine.add('0000:00:01.0', { device: '0c01', driver: 'pcieport', group: 7 });
    expect(missing()).toBeNull();
  });

  it('ready, where only the device node of iommufd is open to this user', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.file(`sys/bus/pci/devices/${VF0}/vfio-dev/vfio3/dev`, '511:3\n');
    machine.file('dev/vfio/devices/vfio3', '');
    machine.file('dev/iommu', '');
    machine.denied.add(`${machine.dev}/vfio/7`);
    expect(missing()).toBeNull();
    machine.denied.add(`${machine.dev}/iommu`);
    expect(missing()).toMatch(/^\/dev\/vfio\/7: no permission /);
  });
});

describe('ixy list', () => {
  /** A card with two VFs, one at its kernel driver. */
  function card(): void {
    machine.add(PF, {
      device: '10fb',
      driver: 'ixgbe',
      group: 12,
      numaNode: 1,
      totalVfs: 63,
      net: { name: 'eth0', mac: 'a0:36:9f:00:00:01', flags: '0x1003', operstate: 'up' },
    });
    machine.add('0000:05:00.0', { device: '1563', driver: 'ixgbe', totalVfs: 63 });
    machine.add(VF1, {
      device: '10ed',
      driver: 'ixgbevf',
      group: 40,
      numaNode: 1,
      net: { name: 'eth0v1', mac: '02:09:c0:00:00:01', flags: '0x1003', operstate: 'down' },
      pf: PF,
    });
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 40, numaNode: 1, pf: PF });
    machine.add('0000:06:10.0', { device: '1565', group: 41 });
  }

  it('aligns PFs, their VFs by number, and VFs without a PF', () => {
    card();
    expect(lines()).toEqual([
      'ADDRESS         FUNCTION    DRIVER    GROUP  NUMA  INTERFACE  LINK  MAC                STATUS',
      '0000:03:00.0    82599 PF    ixgbe     12     1     eth0       up    a0:36:9f:00:00:01  2 of 63 VFs',
      '  0000:03:10.2  82599 VF 0  ixgbevf   40     1     eth0v1     down  02:09:c0:00:00:01  expected a device bound to vfio-pci, got one that ixgbevf has as network interface eth0v1; run `sudo ixy bind 0000:03:10.2`',
      '  0000:03:10.0  82599 VF 1  vfio-pci  40     1     -          -     -                  /dev/vfio/40: the IOMMU group of 0000:03:10.0 is not viable: 0000:03:10.2 is bound to ixgbevf; run `sudo ixy bind 0000:03:10.2` (or unbind it); the group is shared because its PCIe slot has no ACS',
      '0000:05:00.0    X550 PF     ixgbe     -      -     -          -     -                  no VFs: `ixy bind --vfs N 0000:05:00.0` makes up to 63',
      '0000:06:10.0    X550 VF     -         41     -     -          -     -                  expected a device bound to vfio-pci, got one bound to no driver; run `sudo ixy bind 0000:06:10.0`',
      'group 40 is shared by 0000:03:10.0 (vfio-pci), 0000:03:10.2 (ixgbevf)',
    ]);
  });

  it('gives the same as JSON, null for what a VF does not show', () => {
    card();
    const { pfs, vfs, final } = JSON.parse(lines('--json').join('')) as Record<string, unknown[]>;
    expect(final).toBe(true);
    expect(pfs[0]).toEqual({
      address: '0000:03:00.0',
      family: '82599',
      deviceId: '0x10fb',
      driver: 'ixgbe',
      iommuGroup: 12,
      groupOthers: [],
      numaNode: 1,
      interface: 'eth0',
      link: true,
      mac: 'a0:36:9f:00:00:01',
      vfs: ['0000:03:10.2', '0000:03:10.0'],
      vfLimit: 63,
    });
    expect(vfs[1]).toEqual({
      address: '0000:03:10.0',
      family: '82599',
      deviceId: '0x10ed',
      driver: 'vfio-pci',
      iommuGroup: 40,
      groupOthers: [{ address: '0000:03:10.2', driver: 'ixgbevf' }],
      numaNode: 1,
      interface: null,
      link: null,
      mac: null,
      pf: '0000:03:00.0',
      vf: 1,
      ready: false,
      missing:
        '/dev/vfio/40: the IOMMU group of 0000:03:10.0 is not viable: 0000:03:10.2 is bound to ixgbevf; run `sudo ixy bind 0000:03:10.2` (or unbind it); the group is shared because its PCIe slot has no ACS',
    });
  });

  it('knows PFs and VFs of every family by their ids', () => {
    const ids = {
      82599: ['10f7', '10f8', '10f9', '10fb', '10fc', '1517', '151c', '154d', '1557', '1558'],
      X540: ['1528', '1560'],
      X550: ['1563', '15d1'],
      X550EM_x: ['15aa', '15ac', '15ad'],
      X550EM_a: ['15c2', '15c8', '15e4'],
    };
    const wanted = Object.entries(ids).flatMap(([family, list]) => list.map((id) => [id, family]));
    wanted.forEach(([id], i) => {
      machine.add(`0000:${(i + 16).toString(16)}:00.0`, { device: id });
    });
    machine.add('0000:80:00.0', { device: '10fb', vendor: '0x1af4' });
    const { pfs } = JSON.parse(lines('--json')[0]) as {
      pfs: { deviceId: string; family: string }[];
    };
    expect(pfs.map((pf) => [pf.deviceId.slice(2), pf.family])).toEqual(wanted);
  });

  it('says where this user may lock too little memory, and not where that does not count', () => {
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci', group: 7 });
    machine.file(
      'proc/self/limits',
      'Limit                     Soft Limit           Hard Limit           Units\n' +
        'Max locked memory         8388608              8388608              bytes\n',
    );
    machine.file('proc/self/status', 'CapEff:\t0000000000000000\n');
    expect(lines().at(-1)).toBe(
      'this user may lock 8192 KiB of memory, packet buffers want 65536: see README, memlock limit',
    );
    machine.file('proc/self/status', 'CapEff:\t0000000000004000\n');
    expect(lines().at(-1)).toMatch(/ready$/);
    machine.file('proc/self/limits', 'Max locked memory         unlimited  unlimited  bytes\n');
    machine.file('proc/self/status', 'CapEff:\t0000000000000000\n');
    expect(lines().at(-1)).toMatch(/ready$/);
  });
});

describe('ixy list, given a hostile sysfs', () => {
  it('prints no character that a terminal obeys', async () => {
    const evil = 'vfio\x1b[31m\x07\u009b2J';
    machine.addDriver(evil);
    machine.add(VF0, { device: '10ed', driver: evil, group: 7 });
    const { stdout, status } = await run('list', '--sysfs', machine.sysfs);
    expect(status).toBe(0);
    expect(stdout).toContain('vfio?[31m??2J');
    const json = await run('list', '--json', '--sysfs', machine.sysfs);
    expect(JSON.parse(json.stdout)).toMatchObject({ vfs: [{ address: VF0 }] });
    for (const text of [stdout, json.stdout]) expect(text).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it('shows numbers and MACs only where they can be true', () => {
    const net = { name: 'eth0', mac: 'a0:36\x1b[2J', flags: '0x1003', operstate: 'up' };
    machine.add(PF, { device: '10fb', driver: 'ixgbe', group: 6, net });
    const at = `sys/bus/pci/devices/${PF}`;
    machine.file(`${at}/numa_node`, '99999999999999999999\n');
    machine.file(`${at}/sriov_totalvfs`, '0xffffffffffffffffffff\n');
    symlinkSync('../\x1b[31m', join(machine.folder, at, 'virtfn0'));
    expect(lines('--json').map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { pfs: [{ address: PF, numaNode: null, mac: null, vfs: [], vfLimit: 0 }] },
    ]);
    machine.add(VF0, { device: '10ed', driver: 'vfio-pci' });
    symlinkSync(
      `../groups/${'9'.repeat(30)}`,
      join(machine.folder, `sys/bus/pci/devices/${VF0}/iommu_group`),
    );
    expect(lines('--json')[0]).toContain('"iommuGroup":null');
  });

  it('leaves out names that are no PCI addresses, and takes none for a PF', () => {
    machine.add('\x1b[31m', { device: '10ed' });
    machine.add(VF0, { device: '10ed' });
    symlinkSync('../\x1b[31m', join(machine.folder, `sys/bus/pci/devices/${VF0}/physfn`));
    expect(JSON.parse(lines('--json')[0])).toMatchObject({ vfs: [{ address: VF0, pf: null }] });
  });

  it('does not wait for a FIFO, nor read a file longer than an attribute can be', () => {
    machine.add(VF0, { device: '10ed' });
    machine.add(VF1, { device: '10ed' });
    const vendor = (vf: string): string => join(machine.sysfs, `bus/pci/devices/${vf}/vendor`);
    rmSync(vendor(VF0));
    execFileSync('mkfifo', [vendor(VF0)]);
    writeFileSync(vendor(VF1), `0x8086${' '.repeat(1e6)}`);
    expect(lines('--json')).toEqual(['{"pfs":[],"vfs":[],"memlock":null,"final":true}']);
    execFileSync('mkfifo', [join(machine.sysfs, 'drivers_probe')]);
    const { write } = systemHost(machine.sysfs);
    expect(() => write(join(machine.sysfs, 'drivers_probe'), '1')).toThrow(/ENXIO/);
  });
});
