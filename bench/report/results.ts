// What the --json files of the benches hold.

import type { RateSearch } from '../l2fwd/loss-free.ts';
import type { Trial } from '../l2fwd/trial.ts';
import type { Cores, Machine } from '../method/machine.ts';
import type { Ratio } from '../method/statistics.ts';
import type { VirtualizationRow } from '../virtualization/rows.ts';

/** What the forward bench compares ixy.ts with, by the name of the ratio: C, or another build of ixy.ts. */
export type ForwardPeer = 'vsIxyC' | 'vsSideC' | 'vsFusedC' | 'vsOther';

/** One batch size of `npm run bench -- forward`. */
export interface ForwardRow extends Readonly<Partial<Record<ForwardPeer, Ratio>>> {
  readonly nsPerPacket: number;
}

/** `npm run bench -- forward`. The keys of its table are batch1, batch8 and so on. */
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

/** One frame size of `npm run bench -- l2fwd`. */
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

/** `npm run bench -- l2fwd`. */
export interface L2fwdResult extends Measured {
  readonly bench: 'l2fwd';
  readonly batch: number;
  readonly someLoss: number;
  readonly sizes: readonly SizeResult[];
}

/** One trial of one contender. */
export interface PeerTrial {
  /** Number of the pair, from 0. */
  readonly run: number;
  readonly contender: string;
  readonly trial: Trial;
}

/** `npm run bench -- peers`. Ratios are ours / theirs. */
export interface PeersResult extends Measured {
  readonly bench: 'peers';
  readonly names: readonly [string, string];
  readonly size: string;
  readonly rates: readonly PeerTrial[];
  readonly ratio: Ratio;
  readonly latencyMpps: number;
  readonly latency: readonly PeerTrial[];
  readonly latencyRatios: Readonly<Record<'p50' | 'p99_9' | 'max', Ratio>>;
}

/** `npm run bench -- virtualization`. */
export interface VirtualizationResult extends Measured {
  readonly bench: 'virtualization';
  readonly mpps: number;
  readonly pollUs: number;
  readonly rows: readonly VirtualizationRow[];
}
