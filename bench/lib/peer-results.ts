// What the runs of bench:peers add up to: medians by the state of the host, and the latency criteria.
// No I/O.

import { duration } from './latency.ts';
import type { Gaps, HostState } from './probes.ts';
import { median, medianOf } from './statistics.ts';
import type { Trial } from './trial.ts';

/** One run of one contender, closed loop. */
export interface RateRun {
  readonly run: number;
  readonly contender: string;
  readonly beforeNs: number;
  readonly afterNs: number;
  readonly state: HostState;
  readonly trial: Trial;
}

/** One run of one contender at a given load, between two probes of its CPU. */
export interface LatencyRun {
  readonly run: number;
  readonly contender: string;
  readonly before: Gaps;
  readonly after: Gaps;
  readonly trial: Trial;
}

/** Medians of the runs in one state of the host. */
export interface StateGroup {
  readonly state: HostState;
  readonly runs: number;
  readonly ours: number | null;
  readonly theirs: number | null;
  /** ours / theirs; null where one of them has no run in this state, or the state changed in the run. */
  readonly ratio: number | null;
}

const STATES: readonly HostState[] = ['fast', 'slow', 'changed'];

/** Groups that have a run. */
export function groupByState(
  rows: readonly RateRun[],
  [mine, theirs]: readonly [string, string],
): StateGroup[] {
  return STATES.flatMap((state) => {
    const own = rows.filter((row) => row.state === state);
    if (own.length === 0) return [];
    const of = (name: string): number | null =>
      medianOf(own.filter((row) => row.contender === name).map(({ trial }) => trial.mpps));
    const [a, b] = [of(mine), of(theirs)];
    const ratio = a === null || b === null || state === 'changed' ? null : a / b;
    return [{ state, runs: own.length, ours: a, theirs: b, ratio }];
  });
}

/** The criteria; null: not to be told, since one of the two has no latency. */
export interface LatencyVerdict {
  readonly largestMet: boolean | null;
  readonly p999Met: boolean | null;
  readonly lines: readonly string[];
}

/** Largest sample that is good whatever the machine does. */
const LARGEST_NS = 1e6;
/** What the largest may be above the largest gap of the probes. */
const ABOVE_GAP_NS = 200e3;
const P999_RATIO = 1.5;

/** Evaluates: largest sample at most 1 ms or the probes' largest gap + 200 us; p99.9 at most 1.5 times theirs. */
export function judgeLatency(
  rows: readonly LatencyRun[],
  [mine, theirs]: readonly [string, string],
): LatencyVerdict {
  const of = (name: string): readonly LatencyRun[] => rows.filter((row) => row.contender === name);
  const own = of(mine);
  const largest = medianOf(own.map(({ trial }) => trial.latency?.max));
  const p999 = medianOf(own.map(({ trial }) => trial.latency?.p99_9));
  const theirP999 = medianOf(of(theirs).map(({ trial }) => trial.latency?.p99_9));
  if (largest === null || p999 === null || theirP999 === null) {
    const line = 'latency criteria: not evaluated, there is no latency of both';
    return { largestMet: null, p999Met: null, lines: [line] };
  }
  const before = median(own.map((row) => row.before.largestNs));
  const after = median(own.map((row) => row.after.largestNs));
  const bound = Math.max(LARGEST_NS, Math.max(before, after) + ABOVE_GAP_NS);
  const largestMet = largest <= bound;
  const p999Met = p999 <= theirP999 * P999_RATIO;
  const verdict = (met: boolean): string => (met ? 'met' : 'NOT met');
  return {
    largestMet,
    p999Met,
    lines: [
      `largest sample, median of ${own.length} runs: ${duration(largest)}; allowed ${duration(bound)} (1 ms, or the probe's largest gap, ${duration(before)} before and ${duration(after)} after, and 200 us): ${verdict(largestMet)}`,
      `p99.9, medians: ${mine} ${duration(p999)}, ${theirs} ${duration(theirP999)}, ratio ${(p999 / theirP999).toFixed(2)}, allowed ${P999_RATIO}: ${verdict(p999Met)}`,
    ],
  };
}
