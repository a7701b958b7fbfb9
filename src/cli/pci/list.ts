// `ixy list`: the PFs and VFs of the 82599 family on this machine, and for each
// VF what is missing before it can be used. Reads sysfs; opens no device.

import { lockedMemoryLimit } from '../../vfio/kernel/advice.ts';
import { textOf } from '../../vfio/kernel/sysfs.ts';
import { flagOption, type ParsedArguments } from '../arguments.ts';
import { findFunctions, missingFor, type PciFunction } from './functions.ts';
import type { Host } from './host.ts';

/** Locked memory that a forwarder between two VFs pins, and some to spare. */
const MEMLOCK_WANTED_BYTES = 64 * 1024 * 1024;
/** Bit of CapEff: the memlock limit does not hold (linux/capability.h). */
const CAP_IPC_LOCK = 14n;

const HEADINGS: readonly string[] = [
  'ADDRESS',
  'FUNCTION',
  'DRIVER',
  'GROUP',
  'NUMA',
  'INTERFACE',
  'LINK',
  'MAC',
  'STATUS',
];

/** A VF made visible by its row: "82599 VF 0". */
function functionName(fn: PciFunction): string {
  if (fn.kind === 'Hyper-V VF') return fn.kind;
  return `${fn.family} ${fn.kind}${fn.vfIndex === undefined ? '' : ` ${fn.vfIndex}`}`;
}

function pfStatus(fn: PciFunction): string {
  if (fn.vfs.length > 0) return `${fn.vfs.length} of ${fn.vfLimit} VFs`;
  return fn.vfLimit > 0
    ? `no VFs: \`ixy bind --vfs N ${fn.pci}\` makes up to ${fn.vfLimit}`
    : 'no VFs, and SR-IOV is off: see the firmware settings';
}

function status(fn: PciFunction, host: Host): string {
  return fn.kind === 'PF' ? pfStatus(fn) : (missingFor(fn, host) ?? 'ready');
}

function row(fn: PciFunction, host: Host): string[] {
  const [first] = fn.nets;
  return [
    fn.pf === undefined ? fn.pci : `  ${fn.pci}`,
    functionName(fn),
    fn.driver || '-',
    fn.group < 0 ? '-' : `${fn.group}`,
    `${fn.numaNode ?? '-'}`,
    fn.interfaces.join(',') || '-',
    first === undefined ? '-' : first.link ? 'up' : 'down',
    first?.mac || '-',
    status(fn, host),
  ];
}

/** Rows as lines of aligned columns. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((cells) => cells[i].length)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
}

/** One line for each IOMMU group that holds more than one device. */
function sharedGroups(functions: readonly PciFunction[]): string[] {
  const lines = new Map<number, string>();
  for (const fn of functions) {
    const { group, others } = fn;
    if (others.length === 0 || lines.has(group)) continue;
    const members = [fn, ...others]
      .sort((a, b) => (a.pci < b.pci ? -1 : 1))
      .map(({ pci, driver }) => `${pci} (${driver || 'no driver'})`);
    lines.set(group, `group ${group} is shared by ${members.join(', ')}`);
  }
  return [...lines.values()];
}

/** A line where this user may lock too little memory for DMA; undefined where it is enough or unlimited. */
function missingMemlock({ proc }: Host): string | undefined {
  const limit = lockedMemoryLimit(proc);
  if (limit >= MEMLOCK_WANTED_BYTES) return undefined;
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(textOf(`${proc}/self/status`))?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> CAP_IPC_LOCK) & 1n) === 1n) return undefined;
  return `this user may lock ${Math.floor(limit / 1024)} KiB of memory, packet buffers want ${MEMLOCK_WANTED_BYTES / 1024}: see README, memlock limit`;
}

/** What follows the table. */
function notes(functions: readonly PciFunction[], host: Host): string[] {
  const lines = sharedGroups(functions);
  const memlock = missingMemlock(host);
  if (memlock !== undefined && functions.some((fn) => fn.kind === 'VF')) lines.push(memlock);
  return lines;
}

function nothingFound(host: Host): string[] {
  return [
    `no PF or VF of the 82599, X540 or X550 under ${host.sysfs}/bus/pci/devices`,
    'A VF is made on the machine that has the card, by its PF: `ixy bind --vfs 2 PF_ADDRESS`;',
    'a virtual machine gets one passed through. Without hardware: `ixy l2fwd` brings its own.',
  ];
}

/** A function as the JSON output has it: null is what cannot be known from here. */
function json(fn: PciFunction, host: Host): Record<string, unknown> {
  const [first] = fn.nets;
  const common = {
    address: fn.pci,
    family: fn.family,
    deviceId: `0x${fn.deviceId.toString(16)}`,
    driver: fn.driver || null,
    iommuGroup: fn.group < 0 ? null : fn.group,
    groupOthers: fn.others.map(({ pci, driver }) => ({ address: pci, driver: driver || null })),
    numaNode: fn.numaNode ?? null,
    interface: first?.name ?? null,
    link: first?.link ?? null,
    mac: first?.mac || null,
  };
  if (fn.kind === 'PF') return { ...common, vfs: fn.vfs, vfLimit: fn.vfLimit };
  const missing = missingFor(fn, host) ?? null;
  return {
    ...common,
    pf: fn.pf ?? null,
    vf: fn.vfIndex ?? null,
    ready: missing === null,
    missing,
  };
}

/**
 * Prints what there is.
 * @returns exit status: always 0, also where nothing is found
 */
export function runList(args: ParsedArguments, host: Host, print: (line: string) => void): number {
  const functions = findFunctions(host.sysfs);
  if (flagOption(args, 'json')) {
    const of = (pf: boolean): Record<string, unknown>[] =>
      functions.filter((fn) => (fn.kind === 'PF') === pf).map((fn) => json(fn, host));
    const memlock = missingMemlock(host);
    print(JSON.stringify({ pfs: of(true), vfs: of(false), memlock: memlock ?? null, final: true }));
    return 0;
  }
  const lines =
    functions.length === 0
      ? nothingFound(host)
      : [...table([HEADINGS, ...functions.map((fn) => row(fn, host))]), ...notes(functions, host)];
  for (const line of lines) print(line);
  return 0;
}
