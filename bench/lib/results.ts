// What the --json files of the benches hold.

import type { RateSearch } from './loss-free.ts';
import type { Cores, Machine } from './machine.ts';
import type { LatencyRun, LatencyVerdict, RateRun, StateGroup } from './peer-results.ts';
import type { Trial } from './trial.ts';
import type { VirtualizationRow } from './virtualization-rows.ts';

/** Time of ixy.ts over that of a contender: the median, and its 95 % interval. */
export interface Ratio {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

/** What the forward bench compares ixy.ts with, by the name of the ratio: C, or another build of ixy.ts. */
export type ForwardPeer = 'vsIxyC' | 'vsSideC' | 'vsFusedC' | 'vsOther';

/** One batch size of `npm run bench`. */
export interface ForwardRow extends Readonly<Partial<Record<ForwardPeer, Ratio>>> {
  readonly nsPerPacket: number;
}

/** `npm run bench`. The keys of its table are batch1, batch8 and so on. */
export interface ForwardResult {
  readonly node: string;
  readonly cpu: string;
  readonly forward: Readonly<Record<string, ForwardRow>>;
}

interface Measured {
  readonly machine: Machine;
  readonly silicon: string;
  readonly cores: Cores;
  readonly seconds: number;
}

/** What the loads of a latency measurement are shares of. */
export type LatencyBase = 'lossFree' | 'nearlyLossFree' | 'throughput';

/** One frame size of `npm run bench:l2fwd`. */
export interface SizeResult {
  readonly size: string;
  readonly throughput: Trial;
  readonly modelIsLimit: boolean;
  /** Nothing lost: RFC 2544's throughput. */
  readonly lossFree: RateSearch;
  /** At most `someLoss` lost. */
  readonly nearlyLossFree: RateSearch;
  readonly trials: readonly Trial[];
  /** The best of these that was found. */
  readonly latencyBase: LatencyBase;
  readonly latency: readonly { readonly load: number; readonly trial: Trial }[];
}

/** `npm run bench:l2fwd`. */
export interface L2fwdResult extends Measured {
  readonly bench: 'l2fwd';
  readonly batch: number;
  readonly someLoss: number;
  readonly sizes: readonly SizeResult[];
}

/** `npm run bench:peers`. */
export interface PeersResult extends Measured {
  readonly bench: 'peers';
  readonly names: readonly [string, string];
  readonly size: string;
  readonly slowAboveNs: number;
  readonly rates: readonly RateRun[];
  readonly groups: readonly StateGroup[];
  readonly latencyMpps: number;
  readonly latency: readonly LatencyRun[];
  readonly verdict: LatencyVerdict;
}

/** `npm run bench:virtualization`. */
export interface VirtualizationResult extends Measured {
  readonly bench: 'virtualization';
  readonly mpps: number;
  readonly pollUs: number;
  readonly rows: readonly VirtualizationRow[];
}
