// What the --json files of the benches hold, and how a file is told from another.

import { readFileSync } from 'node:fs';
import { BenchError } from './life.ts';
import type { RateSearch } from './loss-free.ts';
import type { Cores, Machine } from './machine.ts';
import type { LatencyRun, LatencyVerdict, RateRun, StateGroup } from './peer-results.ts';
import type { Trial } from './trial.ts';
import type { VirtualizationRow } from './virtualization-rows.ts';

/** A row of `npm run bench`. */
export interface HotPathRow {
  readonly nsPerPacket: number;
  readonly vsIxyC: number;
  readonly vsSideC: number;
  readonly vsFusedC: number;
}

/** `npm run bench`. Keys of the two tables: batch1, batch8, ... */
export interface HotPathResult {
  readonly node: string;
  readonly cpu: string;
  readonly forward: Readonly<Record<string, HotPathRow>>;
  readonly fused: Readonly<Record<string, HotPathRow>>;
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

/** All that a report is made from. */
export interface Results {
  readonly hotPath: readonly HotPathResult[];
  readonly l2fwd: readonly L2fwdResult[];
  readonly peers: readonly PeersResult[];
  readonly virtualization: readonly VirtualizationResult[];
}

type AnyResult = { bench?: string; forward?: object; fused?: object };

function read(file: string): AnyResult {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as AnyResult;
  } catch (error) {
    throw new BenchError(
      `${file}: expected what a bench wrote to --json: ${(error as Error).message}`,
    );
  }
}

/** Reads the files. @throws BenchError naming the file that no bench wrote */
export function readResults(files: readonly string[]): Results {
  const results = {
    hotPath: [] as HotPathResult[],
    l2fwd: [] as L2fwdResult[],
    peers: [] as PeersResult[],
    virtualization: [] as VirtualizationResult[],
  };
  for (const file of files) {
    const result = read(file) as unknown;
    const { bench, forward, fused } = result as AnyResult;
    if (bench === 'l2fwd') results.l2fwd.push(result as L2fwdResult);
    else if (bench === 'peers') results.peers.push(result as PeersResult);
    else if (bench === 'virtualization')
      results.virtualization.push(result as VirtualizationResult);
    else if (forward !== undefined && fused !== undefined)
      results.hotPath.push(result as HotPathResult);
    else throw new BenchError(`${file}: expected what a bench wrote to --json, got something else`);
  }
  return results;
}
