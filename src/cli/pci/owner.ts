// The owner of VFIO nodes, for `ixy bind --owner`: with it `ixy` runs without root
// until the next boot; what lasts is the udev rule in README.

import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { VfioError } from '../../support/errors.ts';
import { readPciFacts } from '../../vfio/kernel/sysfs.ts';
import { type ParsedArguments, textOption, UsageError } from '../arguments.ts';
import type { Host } from './host.ts';
import { vfioNodes } from './in-use.ts';
import { settles } from './sysfs-write.ts';

/** Who shall own the VFIO nodes. */
export interface Owner {
  readonly name: string;
  readonly uid: number;
}

/** The --owner of a command line. @throws UsageError for an unknown user */
export function ownerOption(args: ParsedArguments): Owner | undefined {
  const name = textOption(args, 'owner');
  if (name === undefined) return undefined;
  if (/^\d{1,9}$/.test(name)) return { name, uid: Number(name) };
  try {
    // `id` and not /etc/passwd: users may come from a directory service.
    const out = execFileSync('id', ['-u', '--', name], { encoding: 'utf8', stdio: 'pipe' });
    return { name, uid: Number(out) };
  } catch {
    throw new UsageError(`--owner: expected a user name or number, got '${name}'`);
  }
}

/**
 * Gives the VFIO nodes of a bound function to a user.
 * @returns what was given, for the report
 * @throws VfioError where chown is refused, Error where the kernel made no node
 */
export function give(address: string, owner: Owner, host: Host): string {
  const nodes = (): readonly string[] => {
    const facts = readPciFacts(host.sysfs, address);
    return facts === undefined ? [] : vfioNodes(facts, host.dev);
  };
  const made = (): readonly string[] => nodes().filter((path) => host.access(path) !== 'absent');
  if (!settles(`VFIO node of ${address}`, () => made().length > 0, host)) {
    throw new Error(`${address}: bound, but there is no ${nodes()[0]}`);
  }
  for (const path of made()) {
    try {
      chownSync(path, owner.uid, -1);
    } catch (error) {
      const { errno = 0 } = error as NodeJS.ErrnoException;
      throw new VfioError(`chown ${owner.name}`, Math.abs(errno), path, 'run this as root');
    }
  }
  return `${made().join(' and ')} of ${owner.name}`;
}
