// The error classes of the configuration path. The datapath never throws for
// traffic: it returns counts. Caller mistakes are RangeError or TypeError.

import { errnoName } from './linux.ts';

/** A system call, ioctl or vfio-user request that failed. */
export class VfioError extends Error {
  override readonly name = 'VfioError';
  /** What was being done, a verb phrase: "map DMA". */
  readonly operation: string;
  /** Positive errno, or 0 where the failure is not the kernel's (a malformed reply). */
  readonly errno: number;
  /** The file, socket or device address concerned. */
  readonly path: string;
  /** What was expected and found, and what to do about it; may be empty. */
  readonly detail: string;

  constructor(operation: string, errno: number, path: string, detail = '') {
    const cause = errno === 0 ? '' : `: ${errnoName(errno)}`;
    super(`${operation} (${path})${cause}${detail === '' ? '' : `: ${detail}`}`);
    this.operation = operation;
    this.errno = errno;
    this.path = path;
    this.detail = detail;
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
