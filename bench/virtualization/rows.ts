// A figure of virtualization, and what its rows add up to. No I/O.

import type { Latency } from '../l2fwd/latency.ts';
import type { Ratio } from '../method/statistics.ts';

/** How frames get from the NIC to a receiver. */
export type Way = 'switch' | 'assigned';

export const WAYS: Readonly<Record<Way, string>> = {
  switch: 'software switch copies',
  assigned: 'VF assigned to each receiver',
};

/** CPU time of a process, or of several, for each frame that arrived. */
export interface CpuCost {
  /** User and system time, ns a frame, looking for frames in vain included. */
  readonly nsPerFrame: number;
  /** The same less what the process takes with no traffic at all. */
  readonly aboveIdleNs: number;
}

/** One way, one number of receivers, one size. */
export interface VirtualizationRow {
  readonly way: Way;
  readonly receivers: number;
  readonly size: string;
  readonly seconds: number;
  /** Frames that the wire offered, and that receivers got, in the time measured. */
  readonly offered: number;
  readonly received: number;
  readonly perReceiver: readonly number[];
  /** Missing from the sequences that the receivers saw. */
  readonly lost: number;
  readonly mpps: number;
  /** Null where receivers drive their own VFs. */
  readonly switchCpu: CpuCost | null;
  readonly receiverCpu: CpuCost;
  /** Switch and receivers: what the host's CPUs pay. */
  readonly totalCpu: CpuCost;
  /** The model's own CPU time, which stands for the NIC's work and is nobody's on a real machine. */
  readonly modelNsPerFrame: number;
  /** From the wire to the receiver. */
  readonly latency: Latency | null;
  /** On a row of the switch: its CPU time over that of assigned VFs, for the same receivers and size. */
  readonly vsAssigned: Ratio | null;
}

/** Below this share of the rate asked for, a row does not have the load that the others have. */
const OFFER_LIMIT = 0.98;

/** What the wire offered where that was less than was asked for, Mpps; null where it was all. */
export function shortOf({ offered, seconds }: VirtualizationRow, mpps: number): number | null {
  const rate = offered / seconds / 1e6;
  return rate < mpps * OFFER_LIMIT ? rate : null;
}
