// The error classes of the configuration path. The datapath never throws for
// traffic: it returns counts. Caller mistakes are RangeError or TypeError.

import { ERRNO, errnoName } from './linux.ts';

/** What is wrong and what to do, where that is the same whatever the system was asked for. */
const CURES: Readonly<Record<number, string>> = {
  [ERRNO.ENOENT]: 'there is no such file or folder',
  [ERRNO.ENOTDIR]: 'a part of this path is a file, not a folder',
  [ERRNO.EISDIR]: 'this is a folder; give the name of a file',
  [ERRNO.EACCES]: 'this user has no right to it; use another place, or run as a user who has',
  [ERRNO.EMFILE]:
    'this process has as many files open as it may; raise the limit (`ulimit -n`, LimitNOFILE= of a systemd unit), or use fewer VFs',
  [ERRNO.ENFILE]:
    'the system has as many files open as it may; raise the sysctl fs.file-max, or end other programs',
  [ERRNO.EROFS]:
    'the file system is read-only; use a folder on another one (TMPDIR says where temporary files go)',
  [ERRNO.ENOSPC]: 'the disk is full; free space, or use a folder on another one',
  [ERRNO.EDQUOT]: 'the disk quota is used up; free space, or use a folder on another disk',
  [ERRNO.ENOMEM]:
    'no memory or address space is left; raise the limit (`ulimit -v`, the cgroup of the container), or use fewer VFs and smaller mempools',
};

/** What to do about an errno, as far as that does not depend on what was done; '' for any other. */
export function cureFor(errno: number): string {
  return CURES[errno] ?? '';
}

/** A system call, ioctl or vfio-user request that failed. */
export class VfioError extends Error {
  override readonly name = 'VfioError';
  /** What was being done, a verb phrase: "map DMA". */
  readonly operation: string;
  /** Positive errno, or 0 where the failure is not the kernel's (a malformed reply). */
  readonly errno: number;
  /** The file, socket or device address concerned. */
  readonly path: string;
  /** What was expected and found, and what to do about it; empty where nobody knows. */
  readonly detail: string;

  constructor(operation: string, errno: number, path: string, detail = '') {
    const cause = errno === 0 ? '' : `: ${errnoName(errno)}`;
    const said = detail === '' ? cureFor(errno) : detail;
    super(`${operation} (${path})${cause}${said === '' ? '' : `: ${said}`}`);
    this.operation = operation;
    this.errno = errno;
    this.path = path;
    this.detail = said;
  }
}

/** The device did not do in time what it was told, or cannot do it. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  /** Register or thing that was awaited. */
  readonly register: string;
  readonly wanted: string;
  readonly last: string;
  readonly waitedMs: number;

  constructor(register: string, wanted: string, last: string, waitedMs: number, advice = '') {
    super(
      `${register}: wanted ${wanted}, last saw ${last} after ${waitedMs} ms${advice === '' ? '' : `; ${advice}`}`,
    );
    this.register = register;
    this.wanted = wanted;
    this.last = last;
    this.waitedMs = waitedMs;
  }
}

/** Why a mailbox request did not succeed. `reset`: the PF lost or withdrew this VF's registration. */
export type MailboxFailure = 'nack' | 'timeout' | 'reset';

/** A mailbox request that the PF refused, left unanswered, or answered with "start again". */
export class MailboxError extends Error {
  override readonly name = 'MailboxError';
  /** Name of the request, as in the PF's headers: "SET_LPE". */
  readonly request: string;
  readonly failure: MailboxFailure;

  constructor(request: string, failure: MailboxFailure, detail: string) {
    super(`mailbox request ${request}: ${failure}: ${detail}`);
    this.request = request;
    this.failure = failure;
  }
}

/**
 * Refuses options that do not exist, as a misspelled one would be.
 * @param unknown what is left of the options once those that there are were taken out
 * @throws TypeError
 */
export function refuseUnknown(what: string, unknown: object, known: string): void {
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`${what}: expected ${known}, got '${name}'`);
}
