// What the command lines of `ixy bind` and `ixy unbind` ask for, checked as far as that goes without
// a look at the machine.

import { pciAddress } from '../../vfio/address.ts';
import {
  flagOption,
  integerOption,
  type ParsedArguments,
  textOption,
  UsageError,
} from '../arguments.ts';
import { type Owner, ownerOption } from './owner.ts';

/** An 82599 has 64 pools, its PF needs one; no PF of the family makes more than that. */
export const MOST_VFS = 63;

/** What `ixy unbind` is to do. */
export interface UnbindPlan {
  /** In full, each once. */
  readonly addresses: readonly string[];
  /** Print what would be written, change nothing. */
  readonly dryRun: boolean;
}

/** What `ixy bind` is to do. */
export interface BindPlan extends UnbindPlan {
  /** VFs to make first, on the one PF that `addresses` is then; undefined: addresses are those of VFs. */
  readonly newVfs: number | undefined;
  /** Who shall own the VFIO nodes. */
  readonly owner: Owner | undefined;
  /** Take interfaces that are in use, and functions of any family. */
  readonly force: boolean;
}

/** @throws UsageError */
export function unbindPlan(args: ParsedArguments, command = 'unbind'): UnbindPlan {
  if (args.positionals.length === 0) {
    throw new UsageError(`${command}: expected a PCI address, got none; \`ixy list\` shows them`);
  }
  const addresses = args.positionals.map((text) => {
    const address = pciAddress(text);
    if (address !== undefined) return address;
    throw new UsageError(`${command}: expected a PCI address such as 0000:03:10.0, got '${text}'`);
  });
  return { addresses: [...new Set(addresses)], dryRun: flagOption(args, 'dry-run') };
}

/** @throws UsageError */
export function bindPlan(args: ParsedArguments): BindPlan {
  const makesVfs = textOption(args, 'vfs') !== undefined;
  const newVfs = makesVfs ? integerOption(args, 'vfs', 1, MOST_VFS) : undefined;
  const owner = ownerOption(args);
  const plan = { ...unbindPlan(args, 'bind'), newVfs, owner, force: flagOption(args, 'force') };
  if (newVfs !== undefined && plan.addresses.length > 1) {
    throw new UsageError(`bind --vfs: expected one PF, got ${args.positionals.join(' ')}`);
  }
  return plan;
}
