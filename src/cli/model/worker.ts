// The thread in which `ixy model` runs: makes NIC, sockets and ports, tells the main thread, and
// loops until the stop word is set. The arena of the process is made here, since the main thread
// of the command needs none. Prints nothing; everything goes to the main thread as messages.

import { parentPort, workerData } from 'node:worker_threads';
import { processArena } from '../../memory/arena.ts';
import type { NicCounters } from '../../model/nic.ts';
import { openTap } from '../../model/ports/tap.ts';
import { runModel, type ServedModel, serveModel } from '../../model/server/index.ts';
import { systemClock } from '../../support/clock.ts';
import type { Log } from '../../support/log.ts';
import type { ModelSetup } from './plan.ts';
import type { ModelLoad } from './report.ts';

/** What the Worker is started with. */
export interface ModelWorkerData {
  readonly setup: ModelSetup;
  /** Word 0, in shared memory: not 0 ends the model. */
  readonly stop: Int32Array;
  /** Send what is logged at level debug and info, too. */
  readonly verbose: boolean;
}

/** What the Worker says. */
export type ModelMessage =
  | { readonly kind: 'ready'; readonly sockets: readonly string[] }
  | { readonly kind: 'log'; readonly text: string }
  | {
      readonly kind: 'counters';
      readonly final: boolean;
      readonly rows: readonly NicCounters[];
      readonly load: ModelLoad;
    }
  /** The model could not be made; `usage`: because of what it was told. */
  | { readonly kind: 'failed'; readonly message: string; readonly usage: boolean };

function say(message: ModelMessage): void {
  parentPort?.postMessage(message);
}

function makeLog(verbose: boolean): Log {
  const text = (line: string): void => say({ kind: 'log', text: line });
  const quiet = verbose ? text : (): void => {};
  return { debug: quiet, info: quiet, warn: text };
}

function run({ setup, stop, verbose }: ModelWorkerData): void {
  let model: ServedModel;
  try {
    model = serveModel({
      ...setup,
      arena: processArena(),
      clock: systemClock,
      log: makeLog(verbose),
      openTap,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say({ kind: 'failed', message, usage: error instanceof RangeError });
    return;
  }
  const { nic, server } = model;
  const report = (final: boolean, share: number): void => {
    const load = { idle: share, latency: nic.latencies() };
    say({ kind: 'counters', final, rows: nic.counters(), load });
  };
  try {
    say({ kind: 'ready', sockets: server.paths });
    const { intervalSeconds } = setup;
    const regular = (idle: number): void => report(false, idle);
    report(true, runModel({ nic, server, stop, intervalSeconds, report: regular }));
  } finally {
    model.close();
  }
}

run(workerData as ModelWorkerData);
