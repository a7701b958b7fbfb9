// A machine with 82599 cards as a tree of files in a temporary folder: sysfs, the
// VFIO nodes, /proc. It reacts to writes as the kernel's PCI core does, at once and
// inside the write; layout and reactions from sysfs-bus-pci and pci-iov-howto.rst.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import type { Host } from '../../src/cli/pci/host.ts';
import type { FileAccess } from '../../src/vfio/kernel/sysfs.ts';

/** A function to put into the tree. */
export interface FakeFunction {
  readonly vendor?: string;
  readonly device: string;
  readonly driver?: string;
  readonly group?: number;
  readonly numaNode?: number;
  /** Network interface; IFF_UP is flag 0x1. */
  readonly net?: { name: string; mac: string; flags: string; operstate: string; upper?: string };
  /** A VF's PF; it gets the next free number there. */
  readonly pf?: string;
  /** A PF's sriov_totalvfs. */
  readonly totalVfs?: number;
}

export class FakeMachine implements Host {
  readonly folder = mkdtempSync(join(tmpdir(), 'ixy-sysfs-'));
  readonly sysfs = join(this.folder, 'sys');
  readonly dev = join(this.folder, 'dev');
  readonly proc = join(this.folder, 'proc');
  /** Time passes only by being slept. */
  readonly clock = {
    nowUs: () => this.us,
    sleepUs: (us: number) => {
      this.us += us;
    },
  };
  /** Every write in order, as a shell would do it, with /sys for the root. */
  readonly writes: string[] = [];
  /** Addresses of interfaces that are up and running. */
  readonly addresses: Record<string, string[]> = {};
  /** Nodes this user may not open. */
  readonly denied = new Set<string>();
  /** Errors by the end of the path written to. */
  readonly failing: Record<string, { code: string; errno: number }> = {};
  /** Drivers whose probe takes nothing. */
  readonly refusing = new Set<string>();
  private us = 0;

  constructor(options: { iommu?: boolean; drivers?: readonly string[] } = {}) {
    const { iommu = true, drivers = ['ixgbe', 'ixgbevf', 'vfio-pci'] } = options;
    mkdirSync(join(this.sysfs, 'bus/pci/devices'), { recursive: true });
    mkdirSync(join(this.sysfs, 'class/iommu'), { recursive: true });
    mkdirSync(join(this.sysfs, 'kernel/iommu_groups'), { recursive: true });
    if (iommu) mkdirSync(join(this.sysfs, 'class/iommu/dmar0'));
    this.file('sys/bus/pci/drivers_probe', '');
    for (const name of drivers) this.addDriver(name);
    this.file('dev/vfio/vfio', '');
    this.file('proc/cpuinfo', 'flags\t\t: fpu vme\n');
  }

  /** Writes a file below the machine's folder, with the folders to it. */
  file(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  addDriver(name: string): void {
    this.file(`sys/bus/pci/drivers/${name}/unbind`, '');
    this.file(`sys/bus/pci/drivers/${name}/bind`, '');
    mkdirSync(join(this.sysfs, 'module', name.replaceAll('-', '_')), { recursive: true });
  }

  add(address: string, fn: FakeFunction): void {
    const at = `sys/bus/pci/devices/${address}`;
    this.file(`${at}/vendor`, `${fn.vendor ?? '0x8086'}\n`);
    this.file(`${at}/device`, `0x${fn.device}\n`);
    this.file(`${at}/class`, '0x020000\n');
    this.file(`${at}/numa_node`, `${fn.numaNode ?? -1}\n`);
    this.file(`${at}/driver_override`, '(null)\n');
    if (fn.group !== undefined) this.join(address, fn.group);
    if (fn.driver !== undefined) this.bindTo(address, fn.driver);
    if (fn.net !== undefined) {
      const net = `${at}/net/${fn.net.name}`;
      this.file(`${net}/address`, `${fn.net.mac}\n`);
      this.file(`${net}/flags`, `${fn.net.flags}\n`);
      this.file(`${net}/operstate`, `${fn.net.operstate}\n`);
      if (fn.net.upper !== undefined) {
        symlinkSync(`../${fn.net.upper}`, join(this.folder, net, `upper_${fn.net.upper}`));
      }
    }
    if (fn.totalVfs !== undefined) {
      this.file(`${at}/sriov_totalvfs`, `${fn.totalVfs}\n`);
      this.file(`${at}/sriov_numvfs`, '0\n');
      this.file(`${at}/sriov_offset`, '128\n');
      this.file(`${at}/sriov_stride`, '2\n');
      this.file(`${at}/sriov_drivers_autoprobe`, '1\n');
    }
    if (fn.pf !== undefined) {
      const pf = this.path(fn.pf);
      const index = Number(readFileSync(join(pf, 'sriov_numvfs'), 'utf8'));
      symlinkSync(`../${address}`, join(pf, `virtfn${index}`));
      symlinkSync(`../${fn.pf}`, join(this.folder, at, 'physfn'));
      writeFileSync(join(pf, 'sriov_numvfs'), `${index + 1}\n`);
    }
  }

  /** A process that has a file open. */
  addProcess(pid: number, name: string, open: string): void {
    this.file(`proc/${pid}/comm`, `${name}\n`);
    mkdirSync(join(this.proc, `${pid}/fd`));
    symlinkSync(open, join(this.proc, `${pid}/fd/3`));
  }

  driverOf(address: string): string | undefined {
    const link = join(this.path(address), 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : undefined;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  access(path: string): FileAccess {
    if (this.denied.has(path)) return 'denied';
    return existsSync(path) ? 'usable' : 'absent';
  }

  interfaceAddresses(name: string): readonly string[] {
    return this.addresses[name] ?? [];
  }

  write(path: string, text: string): void {
    const shown = path.replace(this.folder, '');
    this.writes.push(text === '\n' ? `echo > ${shown}` : `echo ${text.trimEnd()} > ${shown}`);
    if (!existsSync(path)) throw fault('ENOENT', 2);
    const failure = Object.entries(this.failing).find(([end]) => path.endsWith(end))?.[1];
    if (failure !== undefined) throw fault(failure.code, failure.errno);
    this.react(path, text.trimEnd());
  }

  private path(address: string): string {
    return join(this.sysfs, 'bus/pci/devices', address);
  }

  private react(path: string, text: string): void {
    switch (basename(path)) {
      case 'driver_override':
        writeFileSync(path, `${text === '' ? '(null)' : text}\n`);
        break;
      case 'unbind':
        // The path may go through the device's driver link, or name the driver.
        if (!existsSync(join(this.path(text), 'driver/unbind'))) throw fault('ENODEV', 19);
        this.unbind(text);
        break;
      case 'drivers_probe':
        this.probe(text);
        break;
      case 'sriov_numvfs':
        this.makeVfs(basename(dirname(path)), Number(text));
        break;
      default:
        writeFileSync(path, `${text}\n`);
    }
  }

  private probe(address: string): void {
    if (this.driverOf(address) !== undefined) return;
    const override = readFileSync(join(this.path(address), 'driver_override'), 'utf8').trim();
    const name = override === '(null)' ? 'ixgbevf' : override;
    if (this.refusing.has(name) || !existsSync(join(this.sysfs, 'bus/pci/drivers', name))) return;
    this.bindTo(address, name);
  }

  private bindTo(address: string, driver: string): void {
    const target = relative(this.path(address), join(this.sysfs, 'bus/pci/drivers', driver));
    symlinkSync(target, join(this.path(address), 'driver'));
    const group = this.groupOf(address);
    if (driver === 'vfio-pci' && group !== undefined) this.file(`dev/vfio/${group}`, '');
  }

  private unbind(address: string): void {
    rmSync(join(this.path(address), 'driver'));
    rmSync(join(this.path(address), 'net'), { recursive: true, force: true });
    const group = this.groupOf(address);
    if (group !== undefined) rmSync(join(this.dev, 'vfio', group), { force: true });
  }

  private groupOf(address: string): string | undefined {
    const link = join(this.path(address), 'iommu_group');
    return existsSync(link) ? basename(readlinkSync(link)) : undefined;
  }

  private join(address: string, group: number): void {
    const folder = join(this.sysfs, 'kernel/iommu_groups', `${group}`);
    mkdirSync(join(folder, 'devices'), { recursive: true });
    symlinkSync(relative(this.path(address), folder), join(this.path(address), 'iommu_group'));
    symlinkSync(
      relative(join(folder, 'devices'), this.path(address)),
      join(folder, 'devices', address),
    );
  }

  /** For PFs at bus 3, function 0: VFs at 03:10.0, 03:10.2 ... in groups 40, 41 ... */
  private makeVfs(pf: string, count: number): void {
    const file = join(this.path(pf), 'sriov_numvfs');
    const now = Number(readFileSync(file, 'utf8'));
    if (now !== 0 && count !== 0) throw fault('EBUSY', 16);
    for (let n = 0; n < now; n++) {
      const link = join(this.path(pf), `virtfn${n}`);
      const address = basename(readlinkSync(link));
      const group = this.groupOf(address);
      if (group !== undefined) {
        rmSync(join(this.sysfs, 'kernel/iommu_groups', group, 'devices', address));
      }
      rmSync(this.path(address), { recursive: true });
      rmSync(link);
    }
    writeFileSync(file, '0\n');
    const switchFile = join(this.path(pf), 'sriov_drivers_autoprobe');
    const autoprobe = existsSync(switchFile) ? readFileSync(switchFile, 'utf8').trim() : '1';
    for (let n = 0; n < count; n++) {
      const address = `0000:03:${(0x10 + (n >> 2)).toString(16)}.${(n & 3) * 2}`;
      this.add(address, { device: '10ed', group: 40 + n, pf });
      if (autoprobe === '1') this.probe(address);
    }
  }
}

function fault(code: string, errno: number): Error {
  return Object.assign(new Error(code), { code, errno: -errno });
}
