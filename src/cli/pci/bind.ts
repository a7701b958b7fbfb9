// `ixy bind` and `ixy unbind`: hand VFs to vfio-pci and back, on request make
// them first. Everything is checked before the first write; --dry-run stops there.
// Changes nothing but sysfs, and with --owner who owns the VFIO nodes.

import { noIsolation, noSuchDevice, notOfFamily } from '../../vfio/kernel/diagnose.ts';
import { hasModule, type PciFacts, pciFolder, readPciFacts } from '../../vfio/kernel/sysfs.ts';
import { missingFor, type PciFunction, pciFunction } from './functions.ts';
import type { Host } from './host.ts';
import { networkUse, vfioHolders, vfioNodes } from './in-use.ts';
import { give, type Owner } from './owner.ts';
import type { BindPlan, UnbindPlan } from './plan.ts';
import { checkVfCount, futureVfs, makeVfs, vfCountWrites } from './sriov.ts';
import {
  bindToVfio,
  bindWrites,
  shellLine,
  unbindFromVfio,
  unbindWrites,
  VFIO_PCI,
} from './sysfs-write.ts';

type Print = (line: string) => void;

/** @throws Error where there is no function of the family at the address, or with `anyFamily` none with SR-IOV */
function knownFunction(address: string, anyFamily: boolean, { sysfs }: Host): PciFunction {
  const fn = pciFunction(address, sysfs, anyFamily);
  if (fn !== undefined) return fn;
  const facts = readPciFacts(sysfs, address);
  const fault = facts === undefined ? noSuchDevice(address) : notOfFamily(facts);
  throw new Error(`${address}: ${fault.detail}`);
}

/** @throws Error where it is not a VF this driver can use; with `anyFamily` not a VF */
function virtualFunction(address: string, anyFamily: boolean, host: Host): PciFunction {
  const fn = knownFunction(address, anyFamily, host);
  if (fn.kind === 'PF') {
    const advice =
      fn.vfs.length > 0
        ? `its VFs are ${fn.vfs.join(', ')}`
        : `\`ixy bind --vfs N ${address}\` makes some`;
    throw new Error(`${address}: expected a VF, got a PF (${fn.family}); ${advice}`);
  }
  if (fn.kind === 'Hyper-V VF') throw new Error(`${address}: ${notOfFamily(fn).detail}`);
  return fn;
}

/** @throws Error where vfio-pci could not serve the function, or is not there. */
function checkVfio(fn: PciFunction, { sysfs }: Host): void {
  const fault = noIsolation(fn, sysfs);
  if (fault !== undefined) throw new Error(`${fn.pci}: ${fault.detail}`);
  if (!hasModule(sysfs, VFIO_PCI)) {
    throw new Error(`${fn.pci}: vfio-pci is not loaded; run \`sudo modprobe vfio-pci\``);
  }
}

/** @throws Error with the reason where vfio-pci cannot have the VF */
function checkBindable(address: string, force: boolean, host: Host): void {
  const vf = virtualFunction(address, force, host);
  checkVfio(vf, host);
  const use = networkUse(vf, host);
  if (use !== undefined && !force) {
    throw new Error(`${address} ${use}; --force takes it away all the same`);
  }
}

function driverOf(address: string, { sysfs }: Host): string {
  return readPciFacts(sysfs, address)?.driver ?? '';
}

/** Binds all, then says what is left to do: a group may need all of them. */
function bindAll(
  addresses: readonly string[],
  { owner }: BindPlan,
  host: Host,
  print: Print,
): void {
  for (const address of addresses) {
    const before = driverOf(address, host);
    bindToVfio(address, host);
    const given = owner === undefined ? '' : `, ${give(address, owner, host)}`;
    const change =
      before === VFIO_PCI
        ? `already bound to ${VFIO_PCI}`
        : `${before || 'no driver'} -> ${VFIO_PCI}`;
    print(`${address}: ${change}${given}`);
  }
  for (const address of addresses) {
    const facts = readPciFacts(host.sysfs, address);
    const missing = facts && missingFor(facts, host);
    if (missing !== undefined) print(`${address}: not ready yet: ${missing}`);
  }
}

/**
 * The dry run's lines for one VF.
 * @param facts undefined: it is still to be made, so it has no driver, and only the shell will know its group
 */
function dryBind(
  address: string,
  facts: PciFacts | undefined,
  owner: Owner | undefined,
  host: Host,
): string[] {
  const lines = bindWrites(address, facts?.driver ?? '', host).map(shellLine);
  if (owner === undefined) return lines;
  const link = `${pciFolder(host.sysfs, address)}/iommu_group`;
  const node =
    facts === undefined
      ? `${host.dev}/vfio/$(basename $(readlink ${link}))`
      : vfioNodes(facts, host.dev)[0];
  return [...lines, `chown ${owner.name} ${node}`];
}

function printDry(lines: readonly string[], print: Print): void {
  for (const line of lines.length > 0 ? lines : ['# nothing to do']) print(line);
}

/** `ixy bind --vfs N PF`. */
function bindNewVfs(plan: BindPlan, count: number, host: Host, print: Print): void {
  const { owner, force } = plan;
  const [address] = plan.addresses;
  const pf = knownFunction(address, force, host);
  if (pf.kind !== 'PF') {
    throw new Error(
      `${address}: --vfs expected a PF, got a VF${pf.pf === undefined ? '' : ` of ${pf.pf}`}`,
    );
  }
  // The PF's own group stands for those its VFs will be in.
  checkVfio(pf, host);
  checkVfCount(pf, count, force, host);
  const asWanted = pf.vfs.length === count;
  if (asWanted) for (const vf of pf.vfs) checkBindable(vf, force, host);
  if (plan.dryRun) {
    const vfs = asWanted ? pf.vfs : futureVfs(pf, count, host);
    const factsOf = (vf: string) => (asWanted ? readPciFacts(host.sysfs, vf) : undefined);
    const lines = vfCountWrites(pf, count, host).map(shellLine);
    const binding = vfs?.flatMap((vf) => dryBind(vf, factsOf(vf), owner, host)) ?? [
      `# then bind each new VF of ${address} to ${VFIO_PCI}`,
    ];
    printDry([...lines, ...binding], print);
    return;
  }
  const vfs = makeVfs(pf, count, host);
  print(`${address}: ${count} VF${count === 1 ? '' : 's'}${asWanted ? ', as before' : ''}`);
  bindAll(vfs, plan, host, print);
}

/**
 * Binds VFs to vfio-pci.
 * @returns exit status 0
 * @throws VfioError, Error for what the machine does not allow
 */
export function runBind(plan: BindPlan, host: Host, print: Print): number {
  const { addresses, newVfs, owner, force, dryRun } = plan;
  if (newVfs !== undefined) {
    bindNewVfs(plan, newVfs, host, print);
    return 0;
  }
  for (const address of addresses) checkBindable(address, force, host);
  if (dryRun) {
    printDry(
      addresses.flatMap((vf) => dryBind(vf, readPciFacts(host.sysfs, vf), owner, host)),
      print,
    );
  } else bindAll(addresses, plan, host, print);
  return 0;
}

/**
 * Takes VFs from vfio-pci and lets the kernel pick their driver.
 * @returns exit status 0
 * @throws VfioError, Error for what the machine does not allow
 */
export function runUnbind({ addresses, dryRun }: UnbindPlan, host: Host, print: Print): number {
  for (const address of addresses) {
    // The kernel would wait for the process for as long as it runs. What --force took is given back as well.
    const [holder] = vfioHolders(virtualFunction(address, true, host), host);
    if (holder !== undefined) {
      throw new Error(`${address}: in use by process ${holder}; end it first`);
    }
  }
  if (dryRun) {
    const writes = addresses.flatMap((address) => unbindWrites(address, host));
    printDry(writes.map(shellLine), print);
    return 0;
  }
  for (const address of addresses) {
    const before = driverOf(address, host) || 'no driver';
    const after = unbindFromVfio(address, host);
    const change = before === after ? `already bound to ${after}` : `${before} -> ${after}`;
    print(
      after === ''
        ? `${address}: no driver took it; modprobe ixgbevf does, if you want its network interface`
        : `${address}: ${change}`,
    );
  }
  return 0;
}
