// `ixy list`: the PFs and VFs of the 82599 family on this machine, and for each
// VF what is missing before it can be used. Reads sysfs; opens no device.

import {
  type Command,
  flagOption,
  HELP_OPTION,
  type OptionSpec,
  type ParsedArguments,
  textOption,
} from '../arguments.ts';
import { findFunctions, type PciFunction } from './functions.ts';
import { type Host, systemHost } from './host.ts';
import { missingFor, missingMemlock } from './missing.ts';

/** Shared by list, bind and unbind. */
export const SYSFS_OPTION: OptionSpec = {
  type: 'string',
  value: 'ROOT',
  help: 'where sysfs is mounted, if not at /sys',
};

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
    ? `no VFs: \`ixy bind --vfs N ${fn.address}\` makes up to ${fn.vfLimit}`
    : 'no VFs, and SR-IOV is off: see the firmware settings';
}

function status(fn: PciFunction, host: Host): string {
  return fn.kind === 'PF' ? pfStatus(fn) : (missingFor(fn, host) ?? 'ready');
}

function row(fn: PciFunction, host: Host): string[] {
  const [first] = fn.interfaces;
  return [
    fn.pf === undefined ? fn.address : `  ${fn.address}`,
    functionName(fn),
    fn.driver ?? '-',
    fn.group === undefined ? '-' : `${fn.group.number}`,
    `${fn.numaNode ?? '-'}`,
    fn.interfaces.map((one) => one.name).join(',') || '-',
    first === undefined ? '-' : first.link ? 'up' : 'down',
    first?.mac ?? '-',
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
  for (const { address, driver, group } of functions) {
    if (group === undefined || group.others.length === 0 || lines.has(group.number)) continue;
    const members = [{ address, driver }, ...group.others]
      .sort((a, b) => (a.address < b.address ? -1 : 1))
      .map((one) => `${one.address} (${one.driver ?? 'no driver'})`);
    lines.set(group.number, `group ${group.number} is shared by ${members.join(', ')}`);
  }
  return [...lines.values()];
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
  const [first] = fn.interfaces;
  const common = {
    address: fn.address,
    family: fn.family,
    deviceId: `0x${fn.device.toString(16)}`,
    driver: fn.driver ?? null,
    iommuGroup: fn.group?.number ?? null,
    groupOthers: (fn.group?.others ?? []).map((one) => ({
      address: one.address,
      driver: one.driver ?? null,
    })),
    numaNode: fn.numaNode ?? null,
    interface: first?.name ?? null,
    link: first?.link ?? null,
    mac: first?.mac ?? null,
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
  const functions = findFunctions(host);
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

export const list: Command = {
  name: 'list',
  synopsis: '[options]',
  summary:
    'Shows the PFs and VFs of the 82599 family, and what each VF lacks before it can be used.',
  maxPositionals: 0,
  options: {
    sysfs: SYSFS_OPTION,
    json: { type: 'boolean', help: 'one JSON object: pfs, vfs' },
    help: HELP_OPTION,
  },
  run: async (args) =>
    runList(args, systemHost(textOption(args, 'sysfs')), (line) => {
      process.stdout.write(`${line}\n`);
    }),
};
