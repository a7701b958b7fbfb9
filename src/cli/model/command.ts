// `ixy model`: serves a software 82599 over vfio-user, one UNIX socket a VF. The model runs in a
// Worker (worker.ts); this thread owns signals and printing. Output: design's contracts.

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { NicCounters } from '../../model/nic.ts';
import { latencyRow } from '../../model/ports/latency.ts';
import {
  type Command,
  flagOption,
  HELP_OPTION,
  JSON_OPTION,
  type ParsedArguments,
  secondsOption,
  textOption,
  UsageError,
} from '../arguments.ts';
import { countersLine } from '../run/counters-line.ts';
import { latencyLine } from '../run/latency-line.ts';
import { Session } from '../run/session.ts';
import { formatMac, MODEL_OPTIONS, type ModelSetup, modelSetup } from './plan.ts';
import { type ModelLoad, modelReport } from './report.ts';
import type { ModelMessage, ModelWorkerData } from './worker.ts';

/** Workers run the built program, whatever this one was started from. */
const WORKER_FILE = fileURLToPath(new URL('../../../dist/cli/model/worker.js', import.meta.url));
/** How long the Worker may take to come to its end; it looks at the stop word every millisecond. */
const STOP_MS = 800;
const MAX_SECONDS = 10 ** 7;

interface Output {
  readonly json: boolean;
  /** Rates while it runs. */
  readonly verbose: boolean;
}

/** The Worker with the model, and how it ended. */
class ModelThread {
  /** Resolves when the thread is gone. */
  readonly gone: Promise<void>;
  private readonly stopWord = new Int32Array(new SharedArrayBuffer(4));
  private readonly worker: Worker;

  constructor(
    setup: ModelSetup,
    verbose: boolean,
    onMessage: (message: ModelMessage) => void,
    onError: (error: Error) => void,
  ) {
    const workerData: ModelWorkerData = { setup, stop: this.stopWord, verbose };
    this.worker = new Worker(WORKER_FILE, { workerData });
    this.worker.on('message', onMessage);
    this.worker.on('error', onError);
    this.gone = new Promise((resolve) => this.worker.once('exit', () => resolve()));
  }

  /** Ends the model; bounded. @returns false where it did not come to its end by itself */
  async stop(): Promise<boolean> {
    Atomics.store(this.stopWord, 0, 1);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), STOP_MS);
    });
    const ended = await Promise.race([this.gone.then(() => true), late]);
    clearTimeout(timer);
    if (!ended) void this.worker.terminate();
    return ended;
  }
}

async function run(args: ParsedArguments): Promise<number> {
  const output = { json: flagOption(args, 'json'), verbose: flagOption(args, 'verbose') };
  const given = modelSetup(args);
  // Where nobody is told, the loop need not be held up.
  const setup = output.json || output.verbose ? given : { ...given, intervalSeconds: 0 };
  const limited = textOption(args, 'duration') !== undefined;
  const durationSeconds = limited ? secondsOption(args, 'duration', MAX_SECONDS) : 0;
  const session = new Session({ durationSeconds });
  if (flagOption(args, 'exit-with-stdin')) followStdin(session);
  let sockets: readonly string[] = [];
  let failed: Error | undefined;
  let onReady = (): void => {};
  const ready = new Promise<void>((resolve) => {
    onReady = resolve;
  });
  const printer = new Printer(session, output);
  const onMessage = (message: ModelMessage): void => {
    switch (message.kind) {
      case 'ready':
        sockets = message.sockets;
        session.begin();
        printer.ready(setup, sockets);
        onReady();
        return;
      case 'log':
        process.stderr.write(`ixy model: ${message.text}\n`);
        return;
      case 'counters':
        printer.counters(message.rows, message.load, message.final);
        return;
      case 'failed':
        failed = message.usage ? new UsageError(message.message) : new Error(message.message);
        session.end();
    }
  };
  const thread = new ModelThread(setup, output.verbose, onMessage, (error) => session.fail(error));
  void thread.gone.then(() => session.end());
  await Promise.race([ready, thread.gone]);
  await session.until();
  const ended = await thread.stop();
  if (failed !== undefined) throw failed;
  // A thread that ended in order has removed them itself.
  if (!ended) for (const path of sockets) rmSync(path, { force: true });
  return session.status();
}

/**
 * Ends the session when stdin does. Signals are left to whoever holds the other end: terminals and service managers
 * send them to both, and the model would be gone before the VFs were closed.
 */
function followStdin(session: Session): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.removeAllListeners(signal);
    process.on(signal, () => {});
  }
  process.stdin.on('end', () => session.end());
  process.stdin.on('close', () => session.end());
  process.stdin.on('error', () => session.end());
  process.stdin.resume();
  // A pipe that stays open must not keep a model alive that ended for another reason.
  (process.stdin as Partial<{ unref(): void }>).unref?.();
}

/** Lines for a person, or JSON. */
class Printer {
  private readonly session: Session;
  private readonly output: Output;
  private last: readonly NicCounters[] = [];
  private lastSeconds = 0;

  constructor(session: Session, output: Output) {
    this.session = session;
    this.output = output;
  }

  ready(setup: ModelSetup, sockets: readonly string[]): void {
    const vfs = setup.ports.flatMap(({ macs }, port) => macs.map((mac, vf) => ({ port, vf, mac })));
    for (const [i, { port, vf, mac }] of vfs.entries()) {
      const socket = sockets[i];
      const text = mac === null ? null : formatMac(mac);
      if (this.output.json) this.line({ socket, mac: text, port, vf });
      else this.session.print(`${socket} ${formatMac(mac)}`);
    }
    if (this.output.json) this.line({ ready: true });
    else this.session.print('ready');
  }

  counters(rows: readonly NicCounters[], load: ModelLoad, final: boolean): void {
    const { seconds, roundedSeconds } = this.session;
    if (this.output.json) {
      const report = modelReport(roundedSeconds, rows, load);
      this.line(final ? { ...report, final: true } : report);
    } else if (final) {
      for (const row of rows) this.session.print(countersLine(row));
      for (const counts of load.latency) this.session.print(latencyLine(latencyRow(counts)));
    } else if (this.output.verbose) {
      for (const [i, row] of rows.entries()) this.session.print(this.rates(row, i, seconds));
    }
    this.last = rows;
    this.lastSeconds = seconds;
  }

  private rates(row: NicCounters, i: number, seconds: number): string {
    const elapsed = Math.max(seconds - this.lastSeconds, 1e-3);
    const mpps = (now: number, before = 0): string => ((now - before) / elapsed / 1e6).toFixed(2);
    const last = this.last[i];
    return `[p${row.port}v${row.vf}] to VF: ${mpps(row.delivered, last?.delivered)} Mpps, came back: ${mpps(row.sinkReceived, last?.sinkReceived)} Mpps`;
  }

  private line(value: object): void {
    this.session.print(JSON.stringify(value));
  }
}

/** The command. */
export const model: Command = {
  name: 'model',
  synopsis: '[options]',
  summary:
    'Serves a software 82599 over vfio-user: one UNIX socket a VF, for our driver, QEMU, or any vfio-user client. Prints a line a VF (socket, MAC), then "ready".',
  maxPositionals: 0,
  options: {
    ...MODEL_OPTIONS,
    duration: { type: 'string', value: 'SECONDS', help: 'stop after that long' },
    'exit-with-stdin': {
      type: 'boolean',
      help: 'stop when standard input ends, and leave signals to the parent: for programs that start a model',
    },
    verbose: { type: 'boolean', help: 'rates while it runs, and what clients do' },
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};
