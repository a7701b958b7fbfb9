// The state of the machine, looked at before and after what is measured: what a cache line costs
// between the two CPUs (ping-pong.c), and how long a CPU is taken away (gap-probe.c).

import { compileC, runC, startC } from './c-programs.ts';
import type { Cores } from './machine.ts';

/** The state of the host as the cache line shows it. */
export type HostState = 'fast' | 'slow' | 'changed';

/** Round trips below this are of the fast state, in which 55 ns is usual where the slow one has 330. */
export const SLOW_ABOVE_NS = 140;
const PING_PONG_MS = 100;

/** What gap-probe prints. */
export interface Gaps {
  readonly seconds: number;
  readonly reads: number;
  readonly largestNs: number;
  /** 99.9th percentile of the gaps. */
  readonly p999Ns: number;
  /** Of all moments, 0.1 % lie in a longer gap than this. */
  readonly timeP999Ns: number;
  /** Share of the time in gaps above 1 us. */
  readonly lostShare: number;
}

/** Both programs, compiled. */
export class Probes {
  private readonly pingPong = compileC('ping-pong');
  private readonly gapProbe = compileC('gap-probe');
  private readonly cores: Cores;

  constructor(cores: Cores) {
    this.cores = cores;
  }

  /** Round trip of a cache line between the two CPUs, ns. */
  roundTrip(): number {
    const { model, driver } = this.cores;
    return Number(runC(this.pingPong, [model ?? -1, driver ?? -1, PING_PONG_MS]));
  }

  /**
   * Gaps of both CPUs at once, the larger figure of each kind: with one of them free, whatever else the machine has to
   * do moves there, as it cannot while a model and a forwarder run.
   */
  async gaps(seconds: number): Promise<Gaps> {
    const { model, driver } = this.cores;
    const runs = [model, driver].map((cpu) => startC(this.gapProbe, [cpu ?? -1, seconds * 1000]));
    const [one, other] = (await Promise.all(runs)).map((text) => JSON.parse(text) as Gaps);
    const larger = (key: keyof Gaps): number => Math.max(one[key], other[key]);
    return {
      seconds: larger('seconds'),
      reads: larger('reads'),
      largestNs: larger('largestNs'),
      p999Ns: larger('p999Ns'),
      timeP999Ns: larger('timeP999Ns'),
      lostShare: larger('lostShare'),
    };
  }
}

/** State of the host over a run, from the round trips before and after it. */
export function hostState(beforeNs: number, afterNs: number): HostState {
  const slow = [beforeNs, afterNs].filter((ns) => ns > SLOW_ABOVE_NS).length;
  return slow === 0 ? 'fast' : slow === 2 ? 'slow' : 'changed';
}
