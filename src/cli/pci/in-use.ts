// Who is using a function right now: a network interface that carries addresses
// or other interfaces, or a process that holds its VFIO node. Taking the driver
// away cuts the first off, and in the second case the kernel waits for the process.

import { readlinkSync } from 'node:fs';
import { waysTo } from '../../vfio/kernel/files.ts';
import { namesIn, type PciFacts, textOf } from '../../vfio/kernel/sysfs.ts';
import type { PciFunction } from './functions.ts';
import type { Host } from './host.ts';

/** Every interface that is up has such an address without anybody's doing. */
const LINK_LOCAL = /^fe[89ab][0-9a-f]:/i;

/**
 * Why a function's network interface looks used; undefined where it does not. An address is seen
 * only while the interface has a carrier: without one it carries nothing that could be cut off.
 */
export function networkUse(fn: PciFunction, host: Host): string | undefined {
  if (fn.driver === 'ixgbevf' && fn.nets.length === 0) {
    return 'is bound to ixgbevf, but its interface is not here: it is in another network namespace';
  }
  for (const { name, up, uppers } of fn.nets) {
    if (!up) continue;
    const addresses = host.interfaceAddresses(name).filter((one) => !LINK_LOCAL.test(one));
    if (addresses.length > 0) return `is ${name}, which is up with ${addresses.join(', ')}`;
    if (uppers.length > 0) return `is ${name}, which is up and part of ${uppers.join(', ')}`;
  }
  return undefined;
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

/** The nodes that stand for a function alone: its group's, and its own where there is one. */
export function vfioNodes(facts: PciFacts, dev: string): readonly string[] {
  return waysTo(facts, dev).map(([file]) => file.path);
}

/**
 * Processes that hold a function's VFIO nodes open, as "4711 (node)". Found are those this user
 * may look into: for root all of them in this PID namespace.
 */
export function vfioHolders(facts: PciFacts, { dev, proc }: Host): string[] {
  const nodes = vfioNodes(facts, dev);
  return namesIn(proc)
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) =>
      namesIn(`${proc}/${pid}/fd`).some((fd) =>
        nodes.includes(targetOf(`${proc}/${pid}/fd/${fd}`)),
      ),
    )
    .map((pid) => `${pid} (${textOf(`${proc}/${pid}/comm`) || '?'})`);
}
