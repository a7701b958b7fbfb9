// The error classes of the configuration path. The datapath never throws for
// traffic: it returns counts. Caller mistakes are RangeError or TypeError.

/** A system call, ioctl or vfio-user request that failed. */
export class VfioError extends Error {
  override readonly name = 'VfioError';
  /** What was being done, a verb phrase: "map DMA". */
  readonly operation: string;
  /** Positive errno, or 0 where the failure is not the kernel's (a malformed reply). */
  readonly errno: number;
  /** The file, socket or device address concerned. */
  readonly path: string;

  constructor(operation: string, errno: number, path: string, detail = '') {
    const cause = errno === 0 ? '' : `: ${errnoName(errno)}`;
    super(`${operation} (${path})${cause}${detail === '' ? '' : `: ${detail}`}`);
    this.operation = operation;
    this.errno = errno;
    this.path = path;
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

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  3: 'ESRCH',
  4: 'EINTR',
  5: 'EIO',
  6: 'ENXIO',
  7: 'E2BIG',
  9: 'EBADF',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  20: 'ENOTDIR',
  21: 'EISDIR',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  25: 'ENOTTY',
  28: 'ENOSPC',
  32: 'EPIPE',
  34: 'ERANGE',
  36: 'ENAMETOOLONG',
  38: 'ENOSYS',
  71: 'EPROTO',
  77: 'EBADFD',
  90: 'EMSGSIZE',
  95: 'EOPNOTSUPP',
  98: 'EADDRINUSE',
  103: 'ECONNABORTED',
  104: 'ECONNRESET',
  107: 'ENOTCONN',
  110: 'ETIMEDOUT',
  111: 'ECONNREFUSED',
};

/** Symbolic name of a positive errno, "errno N" where it is not one this project meets. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES[errno] ?? `errno ${errno}`;
}
