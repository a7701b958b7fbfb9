// The shapes by which the parts of the model meet: what a port is to the
// switch, what a VF's function is to a backend, and what gets recorded.

import type { Log } from '../support/log.ts';

/** Drops and deliveries of one VF on one port, as design's `ports` JSON reports them. */
export interface PortCounters {
  /** Frames the port's source offered to the switch for this VF. */
  offered: number;
  /** Frames written to this VF's rx rings. */
  delivered: number;
  missedNoDescriptor: number;
  /** The VF or the queue was not enabled. */
  missedDisabled: number;
  /** Frames of this VF dropped by anti-spoofing. */
  spoofed: number;
  /** Frames no filter of the switch accepted. */
  filtered: number;
  iommuFaults: number;
  sinkReceived: number;
  sinkGaps: number;
  sinkDuplicates: number;
  sinkCorrupt: number;
}

/** What happened to a frame that a port offered. */
export const OFFER = {
  /** Delivered to at least one VF, or dropped and counted. Done with. */
  TAKEN: 0,
  /** Closed loop only: no descriptor, or not enabled yet; nothing was counted; offer it again later. */
  AGAIN: 1,
} as const;

/** The chip as a wire port sees it. */
export interface Ingress {
  /**
   * Offers one frame from the wire to the port's switch. The bytes are copied before it returns.
   * @param offset byte offset of the frame in the heap (the arena)
   * @param length bytes without CRC
   * @param closedLoop true: where a target queue has no room nothing is dropped and AGAIN is returned
   * @returns OFFER.TAKEN or OFFER.AGAIN
   */
  offer(offset: number, length: number, closedLoop: boolean): number;
  /**
   * Asks where the next frames of one unicast destination, untagged, may be written without a copy. Frames that are not
   * committed then were never there.
   * @param destination0 bytes 0 to 3 of the frames; @param destination1 bytes 4 and 5
   * @param longest bytes of the longest of them
   * @param n 1 up to LOOP_BATCH
   * @returns how many heap words are in the NIC's `targets`; 0: `offer` the next frame instead, which says why
   */
  claim(destination0: number, destination1: number, longest: number, n: number): number;
  /** Hands over the frames written to the first n places of the last claim, of `sizes` bytes. */
  commit(n: number): void;
}

/** What is plugged into a port: a generator, a TAP, a pcap file, a cable, nothing. */
export interface WirePort {
  /** The SPEC it was made from. */
  readonly spec: string;
  /** Link state that the VFs see in VFLINKS. */
  readonly linkUp: boolean;
  /**
   * Offers up to `budget` frames to the switch.
   * @returns frames moved
   */
  step(budget: number): number;
  /**
   * Takes n frames that leave the chip: those of the NIC's batch. They are the port's only until it returns.
   * @param offsets byte offsets in the heap
   * @param lengths bytes without CRC, already padded to 60
   * @param vf VF that sent them
   */
  transmit(offsets: Int32Array, lengths: Int32Array, n: number, vf: number): void;
  /** Adds what the port itself counts (sink figures, offered) for a VF. */
  addCounters(vf: number, counters: PortCounters): void;
  close(): void;
}

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

/** Collects violations and faults; bounded, so that a wild guest cannot fill memory. */
export class Recorder {
  readonly violations: Violation[] = [];
  readonly faults: IommuFault[] = [];
  /** How many there were, kept or not. */
  violationCount = 0;
  faultCount = 0;
  private readonly log: Log;

  constructor(log: Log) {
    this.log = log;
  }

  violation(violation: Violation): void {
    this.violationCount++;
    if (this.violations.length >= 1000) return;
    this.violations.push(violation);
    this.log.debug(
      `port ${violation.port} vf ${violation.vf}: ${violation.kind}: ${violation.detail}`,
    );
  }

  fault(fault: IommuFault): void {
    this.faultCount++;
    if (this.faults.length >= 1000) return;
    this.faults.push(fault);
    const access = fault.write ? 'write' : 'read';
    this.log.debug(
      `port ${fault.port} vf ${fault.vf}: ${access} of ${fault.sizeBytes} bytes at IOVA 0x${fault.iova.toString(16)} refused`,
    );
  }
}

/** PF behaviours the model knows. */
export type PfPersonality = 'linux-6.1' | 'linux-7.3' | 'dpdk';

/**
 * One VF as a backend (in-process or vfio-user server) drives it. Offsets into BAR0 are bytes, multiples of 4.
 * A trapped access to page 0, an unmap, a vector change and a reset are barriers: before they return the
 * engine has taken in every earlier store and touches no ring or mapping that is being removed.
 */
export interface VfFunction {
  readonly port: number;
  readonly vf: number;
  /** Heap byte offset of the 16 KiB that hold BAR0; pages 1 and 2 may be shared with a driver. */
  readonly barOffset: number;
  mmioRead(offset: number): number;
  mmioWrite(offset: number, value: number): void;
  /** Config space as vfio shows it, 256 bytes; 1, 2 or 4 bytes at a time. */
  configRead(offset: number, sizeBytes: number): number;
  configWrite(offset: number, sizeBytes: number, value: number): void;
  /**
   * Makes [iova, iova + sizeBytes) reach the heap at `heapOffset`; -1 for a mapping without memory behind it.
   * @returns 0, or -errno: -17 EEXIST on overlap, -22 EINVAL on misalignment
   */
  dmaMap(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number;
  /**
   * type1 semantics: drops every mapping wholly inside the range; succeeds when there is none.
   * @returns bytes unmapped, or -22 where the range would cut a mapping
   */
  dmaUnmap(iova: number, sizeBytes: number): number;
  /** Where to signal vector n; null disconnects. */
  connectVector(vector: number, signal: (() => void) | null): void;
  /** FLR. */
  functionReset(): void;
  /** The driver's process is gone: reset, forget maps and vectors. */
  disconnect(): void;
}
