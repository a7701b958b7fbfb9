// Step 1: the machine, as far as it can be seen from where the doctor runs. In a guest the PF is another
// machine's, and without root some files are closed: what cannot be seen is skipped with that reason.

import { availableParallelism, release } from 'node:os';
import { iovaOf } from '../../../memory/iova.ts';
import { ARENA_LIMIT } from '../../../memory/layout.ts';
import { pciAddress } from '../../../vfio/address.ts';
import { lockedMemoryLimit } from '../../../vfio/kernel/advice.ts';
import { diagnose } from '../../../vfio/kernel/diagnose.ts';
import {
  groupOthers,
  namesIn,
  type PciFacts,
  pciFolder,
  readPciFacts,
  textOf,
} from '../../../vfio/kernel/sysfs.ts';
import { docs, type Finding, judged, skipped, unusable } from '../finding.ts';
import type { Patient, Surroundings } from '../patient.ts';
import { pfOf } from './pf.ts';

const SYSFS = 'Linux ABI/testing/sysfs-bus-pci';
const MEMLOCK_WANTED_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
/** VFIO came with 3.6; what it does on opening a VF is described from 6.1 on. */
const OLDEST_KERNEL = 3.6;

/** What the host says. */
export async function* host(patient: Patient): AsyncGenerator<Finding> {
  const { address, surroundings: machine } = patient.subject;
  yield* ofMachine(machine);
  const pci = pciAddress(address);
  if (pci === undefined) {
    yield skipped('IOMMU, group, PF', 'a PCI function', SYSFS, `${address} is none`);
    return;
  }
  const facts = readPciFacts(machine.sysfs, pci);
  if (facts === undefined) {
    yield judged(false, 'PCI function', pci, SYSFS, 'no such function');
    return;
  }
  yield* ofFunction(facts, machine);
  yield* pfOf(pci, machine);
  const fault = diagnose(facts, machine);
  const expected = 'nothing in the way of opening it';
  yield fault === undefined
    ? judged(true, 'ready', expected, 'Linux driver-api/vfio.rst', 'nothing found')
    : unusable('ready', expected, 'Linux driver-api/vfio.rst', fault.message);
}

function* ofMachine(machine: Surroundings): Generator<Finding> {
  const { sysfs, proc } = machine;
  const kernel = release();
  const version = Number(/^\d+\.\d+/.exec(kernel)?.[0]);
  yield judged(
    version >= OLDEST_KERNEL || version >= 4,
    'kernel',
    'one with VFIO; 6.1 to 7.3 were read for this driver',
    docs('9'),
    `Linux ${kernel}, Node.js ${process.version}`,
  );
  const limit = lockedMemoryLimit(proc);
  yield judged(
    limit >= MEMLOCK_WANTED_BYTES,
    'memlock',
    `${MEMLOCK_WANTED_BYTES / MIB} MiB or more`,
    'getrlimit(2), RLIMIT_MEMLOCK',
    limit === Number.POSITIVE_INFINITY ? 'unlimited' : `${Math.floor(limit / 1024)} KiB`,
  );
  const memory = textOf(`${proc}/meminfo`);
  const free = Number(/^HugePages_Free:\s+(\d+)/m.exec(memory)?.[1] ?? 0);
  const shared = textOf(`${sysfs}/kernel/mm/transparent_hugepage/shmem_enabled`);
  yield judged(
    free > 0 || /\[(always|advise|within_size|force)\]/.test(shared),
    'huge pages',
    'some that are free, or transparent ones for shared memory; without them it is only slower',
    'Linux admin-guide/mm/hugetlbpage.rst, transhuge.rst',
    `${free} free, shmem_enabled ${shared || 'not seen'}`,
  );
}

function* ofFunction(facts: PciFacts, machine: Surroundings): Generator<Finding> {
  const { sysfs, proc } = machine;
  const iommus = namesIn(`${sysfs}/class/iommu`);
  yield judged(
    iommus.length > 0,
    'IOMMU',
    'one',
    'Linux ABI/testing/sysfs-class-iommu',
    `${iommus.join(', ') || 'none'}; command line: ${textOf(`${proc}/cmdline`)}`,
  );
  yield interruptRemapping(machine);
  const others = groupOthers(facts, sysfs).map(({ pci, driver }) => `${pci} (${driver || '-'})`);
  yield judged(
    facts.group >= 0 && others.length === 0,
    'IOMMU group',
    'one of its own',
    'Linux driver-api/vfio.rst',
    `${facts.group}, with ${others.join(', ') || 'nothing else'}`,
  );
  const reserved = textOf(`${sysfs}/kernel/iommu_groups/${facts.group}/reserved_regions`);
  yield judged(
    !reserved.split('\n').some(isInArena),
    'reserved ranges',
    `none from 0x${iovaOf(0).toString(16)} to 0x${(iovaOf(0) + ARENA_LIMIT - 1).toString(16)}`,
    'Linux ABI/testing/sysfs-kernel-iommu_groups',
    reserved.replaceAll('\n', ', ') || 'none',
  );
  yield numaNode(facts, machine);
}

/** A line "0x00000000fee00000 0x00000000feefffff msi" that meets the IOVAs of this process's memory. */
function isInArena(line: string): boolean {
  const [first, last] = line.split(' ').map(Number);
  return first < iovaOf(0) + ARENA_LIMIT && last >= iovaOf(0);
}

/** Nothing says it outright: where interrupts are remapped, their chips are called IR-something. */
function interruptRemapping({ sysfs, proc }: Surroundings): Finding {
  const chips = [...new Set(textOf(`${proc}/interrupts`).match(/\bIR-[\w-]+/g))].slice(0, 4);
  const unsafe = textOf(`${sysfs}/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts`);
  return judged(
    chips.length > 0,
    'interrupt remapping',
    'chips named IR-...; without it VFIO wants allow_unsafe_interrupts',
    'Linux vfio_iommu_type1.c, /proc/interrupts',
    `${chips.join(', ') || 'none'}; allow_unsafe_interrupts ${unsafe || 'not seen'}`,
  );
}

function numaNode({ pci }: PciFacts, { sysfs, proc }: Surroundings): Finding {
  const node = textOf(`${pciFolder(sysfs, pci)}/numa_node`);
  const cpus = textOf(`${sysfs}/devices/system/node/node${node}/cpulist`);
  const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(textOf(`${proc}/self/status`))?.[1] ?? '';
  const mine = new Set(numbers(allowed));
  return judged(
    cpus === '' || numbers(cpus).some((cpu) => mine.has(cpu)),
    'NUMA node',
    'one with a CPU that this process may use',
    SYSFS,
    `${node || 'not seen'}, its CPUs ${cpus || 'not seen'}, this process's ${allowed || availableParallelism()}`,
  );
}

/** The numbers of a list such as "0-3,8". */
function numbers(list: string): number[] {
  return list.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) || 0 }, (_, i) => first + i);
  });
}
