// What a strict model records of its drivers, and then answers as silicon would: accesses that a correct
// driver would not have made (README.md, "Stricter than silicon"), and DMA that no mapping allowed.

import type { Log } from '../support/log.ts';

/** Kinds of things a strict device records. */
export type ViolationKind =
  | 'unknown-register'
  | 'access-mode'
  | 'reserved-bits'
  | 'tail-range'
  | 'ring-setup'
  | 'descriptor'
  | 'mailbox-protocol';

/** Something a correct driver would not have done. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly port: number;
  readonly vf: number;
  /** BAR0 offset, or -1. */
  readonly offset: number;
  readonly detail: string;
}

/** A DMA access that no mapping allowed. */
export interface IommuFault {
  readonly port: number;
  readonly vf: number;
  readonly iova: number;
  readonly sizeBytes: number;
  readonly write: boolean;
}

/** Violations, and faults, that are kept. */
const KEPT = 1000;

/** Collects violations and faults; bounded, so that a wild guest cannot fill memory. */
export class Recorder {
  readonly violations: Violation[] = [];
  readonly faults: IommuFault[] = [];
  /** What went wrong with what is plugged into a port: a file that is damaged, a disk that is full. */
  readonly failures: string[] = [];
  /** How many there were, kept or not. */
  violationCount = 0;
  faultCount = 0;
  private readonly log: Log;

  constructor(log: Log) {
    this.log = log;
  }

  failure(message: string): void {
    if (this.failures.length < KEPT) this.failures.push(message);
    this.log.warn(message);
  }

  violation(violation: Violation): void {
    this.violationCount++;
    if (this.violations.length >= KEPT) return;
    this.violations.push(violation);
    const { port, vf, kind, detail } = violation;
    this.log.debug(`port ${port} vf ${vf}: ${kind}: ${detail}`);
  }

  fault(fault: IommuFault): void {
    this.faultCount++;
    if (this.faults.length >= KEPT) return;
    this.faults.push(fault);
    const { port, vf, iova, sizeBytes, write } = fault;
    const access = `${write ? 'write' : 'read'} of ${sizeBytes} bytes at IOVA 0x${iova.toString(16)}`;
    this.log.debug(`port ${port} vf ${vf}: ${access} refused`);
  }
}
