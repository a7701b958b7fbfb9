// The model that a command starts for itself, as a process: the same options, JSON lines and end with standard input as
// `ixy model --json --exit-with-stdin`, but in one thread, which halves the time until it is ready. Signals
// and clocks are the parent's, so nothing is lost by a main thread that spins: it looks at standard input,
// which ends with the parent, in its loop.

import { writeSync } from 'node:fs';
import { processArena } from '../../memory/arena.ts';
import type { Nic } from '../../model/nic.ts';
import { openTap } from '../../model/ports/tap.ts';
import { runModel, type ServedModel, serveModel } from '../../model/server/index.ts';
import { systemClock } from '../../support/clock.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import { type Command, parseCommandLine } from '../arguments.ts';
import { failed } from '../run/failed.ts';
import { MODEL_OPTIONS, modelSetup } from './plan.ts';
import { modelReport } from './report.ts';

const STDIN = 0;
const STDOUT = 1;
const POLLIN = 1;
/** Calls of the server between two looks at standard input: a few milliseconds while frames move. */
const TURNS = 512;

const silent = (): void => {};
const log: Log = {
  debug: silent,
  info: silent,
  warn: (text) => process.stderr.write(`ixy model: ${text}\n`),
};
const command: Command = {
  name: 'model',
  synopsis: '',
  summary: '',
  maxPositionals: 0,
  options: MODEL_OPTIONS,
  run: async () => 0,
};

function say(value: object): void {
  try {
    writeSync(STDOUT, `${JSON.stringify(value)}\n`);
  } catch {
    // The parent is gone, and standard input ends with it.
  }
}

function counters(nic: Nic, start: number, idle: number): object {
  const seconds = Math.round((systemClock.nowUs() - start) / 1000) / 1000;
  return modelReport(seconds, nic.counters(), { idle, latency: nic.latencies() });
}

/** The server, which now and then looks whether standard input has ended: then the stop word is set. */
function followingStdin(server: ServedModel['server'], stop: Int32Array) {
  const polled = Int32Array.of(STDIN, POLLIN, 0);
  let turns = 0;
  return {
    serve(timeoutMs: number): number {
      turns++;
      if (timeoutMs > 0 || turns % TURNS === 0) {
        // Nothing is ever sent: what can be read is the end.
        if (native().poll(polled, 1, 0) !== 0) stop[0] = 1;
      }
      return server.serve(timeoutMs);
    },
  };
}

function main(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, silent);
  const setup = modelSetup(parseCommandLine(command, process.argv.slice(2)));
  const model = serveModel({ ...setup, arena: processArena(), clock: systemClock, log, openTap });
  const { nic, server } = model;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const start = systemClock.nowUs();
  try {
    say({ ready: true });
    const idle = runModel({
      nic,
      server: followingStdin(server, stop),
      stop,
      intervalSeconds: setup.intervalSeconds,
      report: (share) => say(counters(nic, start, share)),
    });
    say({ ...counters(nic, start, idle), final: true });
  } finally {
    model.close();
  }
}

try {
  main();
} catch (error) {
  process.exitCode = failed(error);
}
process.exit();
