// Latency of stamped frames: when the NIC handed one to a VF, and when it came back out of the
// chip, on whichever port. A generator stamps one frame in so many (latency=N in its SPEC);
// the frame carries another magic number, so that sinks spend time on these only.

import type { Clock } from '../../support/clock.ts';
import { BUCKETS, bucketOf, type HistogramRows, histogramRows } from '../../support/histogram.ts';

/** Stamps under way that a stream remembers: more than the rings of a VF hold. Older ones count as lost. */
const STAMPS = 16_384;

/** What a generator's stamped frames took. */
export interface LatencyRow {
  /** Port of the generator. */
  readonly port: number;
  /** Stamped frames that were sent; those that are not among the samples are lost, or still under way. */
  readonly stamped: number;
  readonly samples: number;
  readonly maxNs: number;
  /** [highest value in ns, samples], ascending, none of them empty; a value is right to 1 in 64. */
  readonly buckets: HistogramRows;
}

/** The same as counted; a copy costs microseconds, so that reporting holds up no frame. */
export interface LatencyCounts {
  readonly port: number;
  readonly stamped: number;
  readonly samples: number;
  readonly maxNs: number;
  /** Samples by bucket. */
  readonly counts: Float64Array;
}

/** Turns counts into the row that is reported. */
export function latencyRow({ counts, ...row }: LatencyCounts): LatencyRow {
  return { ...row, buckets: histogramRows(counts) };
}

/** Which frames count: those sent from `from` to before `to` seconds after the first one of any generator came back. */
export interface LatencyWindow {
  readonly from: number;
  readonly to: number;
}

/** When the first frame came back, us; below 0 before. Shared by the tracks of a NIC. */
export interface FirstReturn {
  us: number;
}

/** The stamps of one stream. Its frames are numbered as offered: sequence * flows + flow. */
export class LatencyTrack {
  private readonly clock: Clock;
  private readonly every: number;
  private readonly flows: number;
  /** By number of the stamp modulo STAMPS: that number, -1 where none is under way; when it was sent. */
  private readonly stamps = new Float64Array(STAMPS).fill(-1);
  private readonly times = new Float64Array(STAMPS);
  private readonly counts = new Float64Array(BUCKETS);
  private readonly window: LatencyWindow | null;
  private readonly first: FirstReturn;
  private stamped = 0;
  private samples = 0;
  private maxNs = 0;

  /**
   * @param every one frame in so many is stamped: the last of them; @param flows of the generator
   * @param window null: all count
   */
  constructor(
    clock: Clock,
    every: number,
    flows: number,
    window: LatencyWindow | null = null,
    first: FirstReturn = { us: -1 },
  ) {
    this.clock = clock;
    this.every = every;
    this.flows = flows;
    this.window = window;
    this.first = first;
  }

  /** A frame is about to be handed over. @returns the time to give to `sent` */
  now(): number {
    return this.clock.nowUs();
  }

  /** Frame `sequence` of `flow` was handed over at `us`. */
  sent(flow: number, sequence: number, us: number): void {
    const stamp = this.stampOf(flow, sequence);
    this.stamps[stamp % STAMPS] = stamp;
    this.times[stamp % STAMPS] = us;
    if (this.counted(us)) this.stamped++;
  }

  /** It came back. */
  arrived(flow: number, sequence: number): void {
    const stamp = this.stampOf(flow, sequence);
    const at = stamp % STAMPS;
    if (this.stamps[at] !== stamp) return;
    this.stamps[at] = -1;
    const sent = this.times[at];
    const now = this.clock.nowUs();
    if (this.first.us < 0) this.first.us = now;
    if (!this.counted(sent)) return;
    const ns = Math.max(0, Math.round((now - sent) * 1000));
    this.counts[bucketOf(ns)]++;
    this.samples++;
    this.maxNs = Math.max(this.maxNs, ns);
  }

  /** Whether a frame sent at `us` lies in the window. */
  private counted(us: number): boolean {
    if (this.window === null) return true;
    const seconds = (us - this.first.us) / 1e6;
    return this.first.us >= 0 && seconds >= this.window.from && seconds < this.window.to;
  }

  private stampOf(flow: number, sequence: number): number {
    return Math.floor((sequence * this.flows + flow) / this.every);
  }

  copy(port: number): LatencyCounts {
    const { stamped, samples, maxNs, counts } = this;
    return { port, stamped, samples, maxNs, counts: counts.slice() };
  }
}

/** The tracks of a NIC, by the port of their generator. */
export class LatencyTracks {
  private readonly tracks = new Map<number, LatencyTrack>();
  private readonly first: FirstReturn = { us: -1 };

  /** Starts afresh for a generator. */
  open(
    port: number,
    clock: Clock,
    every: number,
    flows: number,
    window: LatencyWindow | null,
  ): LatencyTrack {
    const track = new LatencyTrack(clock, every, flows, window, this.first);
    this.tracks.set(port, track);
    return track;
  }

  find(port: number): LatencyTrack | undefined {
    return this.tracks.get(port);
  }

  copies(): LatencyCounts[] {
    return [...this.tracks].sort(([a], [b]) => a - b).map(([port, track]) => track.copy(port));
  }
}
