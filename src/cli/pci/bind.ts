// `ixy bind` and `ixy unbind`: hand VFs to vfio-pci and back, on request make
// them first. Everything is checked before the first write; --dry-run stops there.
// Changes nothing but sysfs, and with --owner who owns the VFIO nodes.

import {
  type Command,
  flagOption,
  HELP_OPTION,
  integerOption,
  type ParsedArguments,
  textOption,
  UsageError,
} from '../arguments.ts';
import { kindOf, type PciFunction, pciFunction } from './functions.ts';
import { type Host, systemHost } from './host.ts';
import { networkUse, vfioHolders } from './in-use.ts';
import { SYSFS_OPTION } from './list.ts';
import { missingFor, missingIommu, missingVfioPci } from './missing.ts';
import { give, type Owner, ownerOption } from './owner.ts';
import { checkVfCount, futureVfs, makeVfs, vfCountWrites } from './sriov.ts';
import { iommuGroupOf, pciAddress, pciPath, VFIO_PCI } from './sysfs-read.ts';
import { bindToVfio, bindWrites, shellLine, unbindFromVfio, unbindWrites } from './sysfs-write.ts';

/** An 82599 has 64 pools, its PF needs one; no PF of the family makes more than that. */
const MOST_VFS = 63;
const MOST_ADDRESSES = 256;

type Print = (line: string) => void;

/** The addresses given, in full, each once. */
function addressesOf(args: ParsedArguments, command: string): string[] {
  if (args.positionals.length === 0) {
    throw new UsageError(
      `ixy ${command}: expected a PCI address, got none; \`ixy list\` shows them`,
    );
  }
  const addresses = args.positionals.map((text) => {
    const address = pciAddress(text);
    if (address === undefined) {
      throw new UsageError(
        `ixy ${command}: expected a PCI address such as 0000:03:10.0, got '${text}'`,
      );
    }
    return address;
  });
  return [...new Set(addresses)];
}

/** @throws Error where there is no function of the family at the address */
function familyFunction(address: string, host: Host): PciFunction {
  const kind = kindOf(address, host);
  if (kind === undefined) {
    throw new Error(`${address}: no such PCI device; \`ixy list\` shows what there is`);
  }
  const fn = pciFunction(address, host);
  if (fn === undefined) {
    throw new Error(`${address}: expected a VF of the 82599 family, got device ${kind.family}`);
  }
  return fn;
}

/** @throws Error where it is not a VF this driver can use */
function virtualFunction(address: string, host: Host): PciFunction {
  const fn = familyFunction(address, host);
  if (fn.kind === 'PF') {
    const advice =
      fn.vfs.length > 0
        ? `its VFs are ${fn.vfs.join(', ')}`
        : `\`ixy bind --vfs N ${address}\` makes some`;
    throw new Error(`${address}: expected a VF, got a PF (${fn.family}); ${advice}`);
  }
  if (fn.kind === 'Hyper-V VF') throw new Error(`${address}: ${missingFor(fn, host)}`);
  return fn;
}

function refuse(address: string, missing: string | undefined): void {
  if (missing !== undefined) throw new Error(`${address}: ${missing}`);
}

/** A VF that vfio-pci can have. @throws Error with the reason why not */
function bindable(address: string, force: boolean, host: Host): PciFunction {
  const vf = virtualFunction(address, host);
  refuse(address, missingIommu(vf, host) ?? missingVfioPci(host));
  const use = networkUse(vf, host);
  if (use !== undefined && !force) {
    throw new Error(`${address} ${use}; --force takes it away all the same`);
  }
  return vf;
}

function bindOne(address: string, owner: Owner | undefined, host: Host, print: Print): void {
  const before = pciFunction(address, host)?.driver;
  bindToVfio(address, host);
  const given = owner === undefined ? '' : `, ${give(address, owner, host)}`;
  const change =
    before === VFIO_PCI
      ? `already bound to ${VFIO_PCI}`
      : `${before ?? 'no driver'} -> ${VFIO_PCI}`;
  print(`${address}: ${change}${given}`);
}

/** What is left to do, once all are bound: a group may need all of them. */
function printMissing(addresses: readonly string[], host: Host, print: Print): void {
  for (const address of addresses) {
    const fn = pciFunction(address, host);
    const missing = fn === undefined ? undefined : missingFor(fn, host);
    if (missing !== undefined) print(`${address}: not ready yet: ${missing}`);
  }
}

/** The dry run's lines for one VF that is there. */
function dryBind(address: string, owner: Owner | undefined, host: Host): string[] {
  const driver = pciFunction(address, host)?.driver;
  const lines = bindWrites(address, driver, host).map(shellLine);
  const group = iommuGroupOf(address, host.sysfs)?.number;
  return owner === undefined ? lines : [...lines, `chown ${owner.name} ${host.dev}/vfio/${group}`];
}

/** The same for a VF that is still to be made: it has no driver, and only the shell will know its group. */
function dryBindNew(address: string, owner: Owner | undefined, host: Host): string[] {
  const lines = bindWrites(address, undefined, host).map(shellLine);
  const link = `${pciPath(address, host.sysfs)}/iommu_group`;
  const node = `${host.dev}/vfio/$(basename $(readlink ${link}))`;
  return owner === undefined ? lines : [...lines, `chown ${owner.name} ${node}`];
}

function printDry(lines: readonly string[], print: Print): void {
  for (const line of lines.length > 0 ? lines : ['# nothing to do']) print(line);
}

/** `ixy bind --vfs N PF`. */
function bindNewVfs(args: ParsedArguments, host: Host, print: Print): void {
  const count = integerOption(args, 'vfs', 1, MOST_VFS);
  const owner = ownerOption(args);
  const force = flagOption(args, 'force');
  const [address, ...rest] = addressesOf(args, 'bind');
  if (rest.length > 0) {
    throw new UsageError(`ixy bind --vfs: expected one PF, got ${args.positionals.join(' ')}`);
  }
  const pf = familyFunction(address, host);
  if (pf.kind !== 'PF') {
    throw new Error(
      `${address}: --vfs expected a PF, got a VF${pf.pf === undefined ? '' : ` of ${pf.pf}`}`,
    );
  }
  // The PF's own group stands for those its VFs will be in.
  refuse(address, missingIommu(pf, host) ?? missingVfioPci(host));
  checkVfCount(pf, count, force, host);
  const asWanted = pf.vfs.length === count;
  if (asWanted) for (const vf of pf.vfs) bindable(vf, force, host);
  if (flagOption(args, 'dry-run')) {
    const lines = vfCountWrites(pf, count, host).map(shellLine);
    const binding = asWanted
      ? pf.vfs.flatMap((vf) => dryBind(vf, owner, host))
      : (futureVfs(pf, count, host)?.flatMap((vf) => dryBindNew(vf, owner, host)) ?? [
          `# then bind each new VF of ${address} to ${VFIO_PCI}`,
        ]);
    printDry([...lines, ...binding], print);
    return;
  }
  const vfs = makeVfs(pf, count, host);
  print(`${address}: ${count} VF${count === 1 ? '' : 's'}${asWanted ? ', as before' : ''}`);
  for (const vf of vfs) bindOne(vf, owner, host, print);
  printMissing(vfs, host, print);
}

/**
 * Binds VFs to vfio-pci.
 * @returns exit status 0
 * @throws UsageError for a wrong command line; VfioError, Error for what the machine does not allow
 */
export function runBind(args: ParsedArguments, host: Host, print: Print): number {
  if (textOption(args, 'vfs') !== undefined) {
    bindNewVfs(args, host, print);
    return 0;
  }
  const owner = ownerOption(args);
  const addresses = addressesOf(args, 'bind');
  for (const address of addresses) bindable(address, flagOption(args, 'force'), host);
  if (flagOption(args, 'dry-run')) {
    printDry(
      addresses.flatMap((address) => dryBind(address, owner, host)),
      print,
    );
    return 0;
  }
  for (const address of addresses) bindOne(address, owner, host, print);
  printMissing(addresses, host, print);
  return 0;
}

/**
 * Takes VFs from vfio-pci and lets the kernel pick their driver.
 * @returns exit status 0
 * @throws UsageError for a wrong command line; VfioError, Error for what the machine does not allow
 */
export function runUnbind(args: ParsedArguments, host: Host, print: Print): number {
  const addresses = addressesOf(args, 'unbind');
  for (const address of addresses) {
    virtualFunction(address, host);
    // The kernel would wait for the process for as long as it runs.
    const [holder] = vfioHolders(address, host);
    if (holder !== undefined) {
      throw new Error(`${address}: in use by process ${holder}; end it first`);
    }
  }
  if (flagOption(args, 'dry-run')) {
    const writes = addresses.flatMap((address) => unbindWrites(address, host));
    printDry(writes.map(shellLine), print);
    return 0;
  }
  for (const address of addresses) {
    const before = pciFunction(address, host)?.driver ?? 'no driver';
    const after = unbindFromVfio(address, host);
    const change = before === after ? `already bound to ${after}` : `${before} -> ${after}`;
    print(
      after === undefined
        ? `${address}: no driver took it; modprobe ixgbevf does, if you want its network interface`
        : `${address}: ${change}`,
    );
  }
  return 0;
}

const printLine: Print = (line) => {
  process.stdout.write(`${line}\n`);
};

export const bind: Command = {
  name: 'bind',
  synopsis: 'ADDR... [options] | --vfs N PF [options]',
  summary:
    'Hands VFs to vfio-pci, so that ixy can open them. Wants root. With --vfs it first makes N VFs on a PF.',
  maxPositionals: MOST_ADDRESSES,
  options: {
    vfs: {
      type: 'string',
      value: 'N',
      help: `make N VFs on the PF, 1 to ${MOST_VFS}, bind them all`,
    },
    owner: {
      type: 'string',
      value: 'USER',
      help: 'who shall own the VFIO nodes, to run ixy without root',
    },
    force: { type: 'boolean', help: 'also take an interface that is up and in use' },
    'dry-run': { type: 'boolean', help: 'print what would be written, change nothing' },
    sysfs: SYSFS_OPTION,
    help: HELP_OPTION,
  },
  run: async (args) => runBind(args, systemHost(textOption(args, 'sysfs')), printLine),
};

export const unbind: Command = {
  name: 'unbind',
  synopsis: 'ADDR... [options]',
  summary:
    'Takes VFs from vfio-pci; the kernel gives them to ixgbevf where that is loaded. Wants root.',
  maxPositionals: MOST_ADDRESSES,
  options: {
    'dry-run': { type: 'boolean', help: 'print what would be written, change nothing' },
    sysfs: SYSFS_OPTION,
    help: HELP_OPTION,
  },
  run: async (args) => runUnbind(args, systemHost(textOption(args, 'sysfs')), printLine),
};
