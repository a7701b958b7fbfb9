// The first step of the doctor on machines that are trees of files: what it says of host and PF, and what it cannot see.

import { afterEach, describe, expect, it } from 'vitest';
import type { Finding, Verdict } from '../../../../src/cli/doctor/finding.ts';
import { Patient } from '../../../../src/cli/doctor/patient.ts';
import { host } from '../../../../src/cli/doctor/steps/host.ts';
import { FakeMachine } from '../../../support/fake-sysfs.ts';

const VF = '0000:03:10.2';
const PF = '0000:03:00.0';

const machines: FakeMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.remove();
});

/** A host with a PF and two VFs, each in a group of its own, bound to vfio-pci. */
function machineWithPf(): FakeMachine {
  const machine = new FakeMachine();
  machines.push(machine);
  const mac = 'a0:36:9f:00:00:01';
  const net = { name: 'enp3s0', mac, flags: '0x1003', operstate: 'up' };
  machine.add(PF, { device: '10fb', driver: 'ixgbe', group: 30, totalVfs: 63, net });
  machine.file(`sys/bus/pci/devices/${PF}/net/enp3s0/mtu`, '1500\n');
  for (const [i, pci] of ['0000:03:10.0', VF].entries()) {
    machine.add(pci, { device: '10ed', driver: 'vfio-pci', group: 40 + i, pf: PF, numaNode: 0 });
  }
  machine.file('sys/devices/system/node/node0/cpulist', '0-7\n');
  machine.file(
    'sys/kernel/iommu_groups/41/reserved_regions',
    '0x00000000fee00000 0x00000000feefffff msi\n',
  );
  machine.file('proc/self/status', 'Cpus_allowed_list:\t2-3\n');
  machine.file('proc/self/limits', 'Max locked memory         unlimited            unlimited\n');
  machine.file('proc/meminfo', 'HugePages_Free:       64\n');
  machine.file('proc/cmdline', 'intel_iommu=on\n');
  machine.file('proc/interrupts', ' 24: 0 IR-PCI-MSI 65536-edge eth0\n');
  return machine;
}

/** What `ip -j -d link show` says of VF 1. */
const settings = (vf: object): string =>
  JSON.stringify([{ ifname: 'enp3s0', vfinfo_list: [{ vf: 0 }, { vf: 1, ...vf }] }]);

async function findingsOn(
  machine: FakeMachine,
  ipLink: (name: string) => string | undefined = () => undefined,
): Promise<Finding[]> {
  const patient = new Patient({
    address: VF,
    peer: undefined,
    clock: machine.clock,
    surroundings: {
      sysfs: machine.sysfs,
      dev: machine.dev,
      proc: machine.proc,
      access: (path) => machine.access(path),
      ipLink,
    },
    ask: () => {},
    over: () => false,
    open: () => Promise.reject(new Error('not in this step')),
  });
  const found: Finding[] = [];
  for await (const finding of host(patient)) found.push(finding);
  return found;
}

const verdicts = (findings: readonly Finding[]): Record<string, Verdict> =>
  Object.fromEntries(findings.map(({ what, verdict }) => [what, verdict]));
const seen = (findings: readonly Finding[], name: string): string | undefined =>
  findings.find(({ what }) => what === name)?.seen;

describe('the host', () => {
  it('as it should be', async () => {
    const good = settings({ vlan_list: [{}], spoofchk: true, link_state: 'auto', trust: false });
    const found = await findingsOn(machineWithPf(), (name) =>
      name === 'enp3s0' ? good : undefined,
    );
    expect(new Set(Object.values(verdicts(found)))).toEqual(new Set(['as expected']));
    expect(seen(found, 'IOMMU')).toBe('dmar0; command line: intel_iommu=on');
    expect(seen(found, 'IOMMU group')).toBe('41, with nothing else');
    expect(seen(found, 'reserved ranges')).toBe('0x00000000fee00000 0x00000000feefffff msi');
    expect(seen(found, 'NUMA node')).toBe("0, its CPUs 0-7, this process's 2-3");
    expect(seen(found, 'PF driver')).toBe('0000:03:00.0: ixgbe, version of the kernel');
    expect(seen(found, 'PF interface')).toBe('enp3s0: flags 0x1003, up');
    expect(seen(found, 'PF MTU')).toBe('1500');
  });

  it.each<[string, string, string, (machine: FakeMachine) => void]>([
    [
      'reserved ranges',
      'other than expected',
      '0x0000000100000000',
      (machine) =>
        machine.file(
          'sys/kernel/iommu_groups/41/reserved_regions',
          '0x0000000100000000 0x00000001000fffff direct\n',
        ),
    ],
    [
      'memlock',
      'other than expected',
      '8192 KiB',
      (machine) => machine.file('proc/self/limits', 'Max locked memory  8388608  8388608  bytes\n'),
    ],
    [
      'NUMA node',
      'other than expected',
      '8-15',
      (machine) => machine.file('sys/devices/system/node/node0/cpulist', '8-15\n'),
    ],
    [
      'interrupt remapping',
      'other than expected',
      'none',
      (machine) => machine.file('proc/interrupts', ' 24: 0 PCI-MSI 65536-edge eth0\n'),
    ],
    [
      'PF MTU',
      'other than expected',
      '9000',
      (machine) => machine.file(`sys/bus/pci/devices/${PF}/net/enp3s0/mtu`, '9000\n'),
    ],
    [
      'PF interface',
      'other than expected',
      '0x1002',
      (machine) => machine.file(`sys/bus/pci/devices/${PF}/net/enp3s0/flags`, '0x1002\n'),
    ],
    ['ready', 'unusable', 'EACCES', (machine) => machine.denied.add(`${machine.dev}/vfio/41`)],
  ])('%s: %s', async (name, verdict, said, change) => {
    const machine = machineWithPf();
    change(machine);
    const found = await findingsOn(machine);
    expect(verdicts(found)[name]).toBe(verdict);
    expect(seen(found, name)).toContain(said);
  });

  it.each([
    ['port VLAN', { vlan_list: [{ vlan: 7 }] }, '7'],
    ['port VLAN', { vlan: 7 }, '7'],
    ['spoof check', { spoofchk: false }, 'false'],
    ['trust', { trust: true }, 'true'],
    ['VF link state', { link_state: 'disable' }, 'disable'],
  ])('says which setting of the VF is another: %s', async (name, setting, said) => {
    const found = await findingsOn(machineWithPf(), () => settings(setting));
    expect([verdicts(found)[name], seen(found, name)]).toEqual(['other than expected', said]);
  });

  it('without `ip`, or one that says something else, the settings are not seen', async () => {
    for (const answer of [
      undefined,
      'nonsense',
      '[]',
      '{}',
      settings({}).replace('"vf":1', '"vf":9'),
    ]) {
      const found = await findingsOn(machineWithPf(), () => answer);
      expect(verdicts(found)['VF settings on the host']).toBe('skipped');
    }
  });

  it('in a guest the PF is not seen', async () => {
    const machine = new FakeMachine();
    machines.push(machine);
    machine.add(VF, { device: '10ed', driver: 'vfio-pci', group: 3 });
    const found = await findingsOn(machine);
    expect(verdicts(found).PF).toBe('skipped');
    expect(seen(found, 'ready')).toBe('nothing found');
  });
});
