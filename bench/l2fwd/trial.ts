// One measurement: a fresh model and a fresh forwarder on CPUs of their own, a warm-up, then what
// happened between two of the model's reports. Latency is measured without any: the model looks at
// the frames of a window of its own, since a report takes its CPU away for milliseconds.

import { setTimeout as sleep } from 'node:timers/promises';
import type { NicCounters } from 'ixy.ts';
import { BenchError } from '../method/life.ts';
import type { Cores } from '../method/machine.ts';
import { round } from '../method/statistics.ts';
import type { Contender, ForwarderCounts, RunningForwarder } from './contender.ts';
import { type Latency, latencyBetween } from './latency.ts';
import { type Load, ModelProcess, type ModelReport } from './model-process.ts';

/** What is asked for. */
export interface TrialSetup {
  readonly contender: Contender;
  readonly cores: Cores;
  readonly size: string;
  /** Both directions together, Mpps; null: closed loop. */
  readonly offerMpps: number | null;
  /** Whole seconds measured. */
  readonly seconds: number;
}

/** What was found. Rates are both directions together. */
export interface Trial {
  readonly seconds: number;
  readonly askedMpps: number | null;
  readonly offeredMpps: number;
  /** Frames that came back to the model's sinks. */
  readonly mpps: number;
  /** Frames that got lost anywhere on the way, as gaps in the sequence that the sinks see. */
  readonly lost: number;
  readonly lostShare: number;
  /** Share of the time in which the model had nothing to do; null: not reported. */
  readonly modelIdle: number | null;
  readonly latency: Latency | null;
  /** From start to end, warm-up included. */
  readonly totals: Totals;
}

/** Counts over a whole trial; offered = delivered + missed. */
export interface Totals {
  readonly offered: number;
  readonly delivered: number;
  readonly missed: number;
  readonly sinkReceived: number;
  readonly forwarder: ForwarderCounts | null;
}

/** Below this idle share the model, not the forwarder, is what was measured. */
const MODEL_LIMIT = 0.05;
/** A model that offers less than this share of what was asked for is the limit, too. */
const OFFER_LIMIT = 0.99;
/** Stamped frames a second and port: enough for p99.99 of a second, few enough to cost nothing. */
const STAMPS = 50_000;
const START_REPORTS = 15;
/** Seconds of traffic before latency is measured, and what a forwarder may take until its first frame is back. */
const WARM_SECONDS = 2;
const START_SECONDS = 2;

function sum(rows: readonly NicCounters[], ...keys: (keyof NicCounters)[]): number {
  return rows.reduce((total, row) => total + keys.reduce((part, key) => part + row[key], 0), 0);
}

/** Waits until frames come back, and for a report more, so that code is compiled. */
async function warmUp(model: ModelProcess, forwarder: RunningForwarder): Promise<ModelReport> {
  for (let i = 0; i < START_REPORTS; i++) {
    const { ports } = await model.report();
    if (forwarder.ended) throw new BenchError('the forwarder ended by itself');
    if (sum(ports, 'sinkReceived') > 0) return model.report();
  }
  throw new BenchError(`the forwarder forwarded nothing in ${START_REPORTS} s`);
}

function check(rows: readonly NicCounters[]): void {
  const wrong = sum(rows, 'sinkCorrupt', 'sinkDuplicates', 'iommuFaults', 'spoofed');
  if (wrong > 0) {
    throw new BenchError(
      `expected frames to come back whole and once, got ${JSON.stringify(rows)}`,
    );
  }
}

function idleOf(reports: readonly ModelReport[]): number | null {
  const shares = reports.map(({ idle }) => idle).filter((idle) => idle !== undefined);
  if (shares.length === 0) return null;
  return round(shares.reduce((a, b) => a + b, 0) / shares.length);
}

function totalsOf(rows: readonly NicCounters[], forwarder: ForwarderCounts | null): Totals {
  return {
    offered: sum(rows, 'offered'),
    delivered: sum(rows, 'delivered'),
    missed: sum(rows, 'missedNoDescriptor', 'missedDisabled', 'filtered'),
    sinkReceived: sum(rows, 'sinkReceived'),
    forwarder,
  };
}

/**
 * Measures latency at a rate. Frames lost are told from the stamped ones, one in so many.
 * @param offerMpps both directions together
 * @throws BenchError
 */
export async function runLatencyTrial(
  setup: Omit<TrialSetup, 'offerMpps'> & { readonly offerMpps: number },
): Promise<Trial> {
  const { contender, cores, offerMpps, seconds } = setup;
  const rate = (offerMpps * 1e6) / 2;
  const every = Math.max(1, Math.round(rate / STAMPS));
  const end = WARM_SECONDS + seconds;
  const window = [WARM_SECONDS, end] as const;
  const load: Load = { size: setup.size, rate, latencyEvery: every, window };
  const model = await ModelProcess.start(load, cores.model);
  const forwarder = await contender.start(model, cores.driver);
  await sleep((end + START_SECONDS) * 1000);
  if (forwarder.ended) throw new BenchError('the forwarder ended by itself');
  const counts = await forwarder.stop();
  const last = await model.finish();
  check(last.ports);
  const rows = last.latency ?? [];
  const stamped = rows.reduce((total, row) => total + row.stamped, 0);
  const samples = rows.reduce((total, row) => total + row.samples, 0);
  const mpps = (frames: number): number => round((frames * every) / seconds / 1e6);
  return {
    seconds,
    askedMpps: offerMpps,
    offeredMpps: mpps(stamped),
    mpps: mpps(samples),
    lost: (stamped - samples) * every,
    lostShare: stamped === 0 ? 0 : 1 - samples / stamped,
    modelIdle: last.idle ?? null,
    latency: latencyBetween(undefined, rows),
    totals: totalsOf(last.ports, counts),
  };
}

/** Measures how much is forwarded. @throws BenchError */
export async function runTrial(setup: TrialSetup): Promise<Trial> {
  const { contender, cores, offerMpps } = setup;
  const rate = offerMpps === null ? null : (offerMpps * 1e6) / 2;
  const load: Load = { size: setup.size, rate, latencyEvery: null, window: null };
  const model = await ModelProcess.start(load, cores.model);
  const forwarder = await contender.start(model, cores.driver);
  const from = await warmUp(model, forwarder);
  const reports: ModelReport[] = [];
  for (let i = 0; i < setup.seconds; i++) reports.push(await model.report());
  const to = reports[reports.length - 1];
  const counts = await forwarder.stop();
  const last = await model.finish();
  check(last.ports);
  const seconds = to.seconds - from.seconds;
  const grown = (...keys: (keyof NicCounters)[]): number =>
    sum(to.ports, ...keys) - sum(from.ports, ...keys);
  const received = grown('sinkReceived');
  const offered = grown('offered');
  const lost = Math.max(grown('sinkGaps'), grown('missedNoDescriptor', 'missedDisabled'));
  return {
    seconds: round(seconds),
    askedMpps: offerMpps,
    offeredMpps: round(offered / seconds / 1e6),
    mpps: round(received / seconds / 1e6),
    lost,
    lostShare: offered === 0 ? 0 : lost / offered,
    modelIdle: idleOf(reports),
    latency: null,
    totals: totalsOf(last.ports, counts),
  };
}

/** Whether what was asked for was offered; where not, a trial says nothing about the forwarder at that rate. */
export function offerReached({ askedMpps, offeredMpps }: Trial): boolean {
  return askedMpps === null || offeredMpps >= askedMpps * OFFER_LIMIT;
}

/** Whether the model, not the forwarder, set the figure. At a given rate a model that keeps up is never idle: it looks for the next frame. */
export function modelIsLimit(trial: Trial): boolean {
  const { askedMpps, modelIdle } = trial;
  if (askedMpps !== null) return !offerReached(trial);
  return modelIdle !== null && modelIdle < MODEL_LIMIT;
}

/** The model's share in a figure, in words. */
export function modelText(trial: Trial): string {
  const { modelIdle } = trial;
  const idle = modelIdle === null ? 'not reported' : `${(modelIdle * 100).toFixed(0)} %`;
  return `model idle ${idle}${modelIsLimit(trial) ? ': the model is the limit' : ''}`;
}
