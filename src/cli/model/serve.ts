// `ixy model` at work, whether a person runs it or a command starts it for itself: makes NIC, sockets
// and ports, and moves frames until the session ends. One thread does it all, since a second one
// would double the time until the model is ready; the model's loop lets signals and clocks have
// their turn.

import { processArena } from '../../memory/arena.ts';
import { openTap } from '../../model/ports/tap.ts';
import { runModel, serveModel } from '../../model/server/index.ts';
import { systemClock } from '../../support/clock.ts';
import { Session } from '../run/session.ts';
import type { ModelPlan } from './plan.ts';
import { Printer } from './report.ts';

/**
 * Serves until the session ends.
 * @returns the exit status
 * @throws RangeError for a wrong set-up; VfioError where sockets or memory cannot be had
 */
export async function serve(plan: ModelPlan): Promise<number> {
  const session = new Session(plan);
  session.catchSignals();
  const say = (text: string): void => void process.stderr.write(`ixy model: ${text}\n`);
  const saySome = plan.verbose ? say : (): void => {};
  const log = { debug: saySome, info: saySome, warn: say };
  const arena = processArena();
  const model = serveModel({ ...plan, arena, clock: systemClock, log, openTap });
  const { nic, server } = model;
  const printer = new Printer(session, plan);
  const report = (idle: number, final = false): void =>
    printer.counters(nic.counters(), { idle, latency: nic.latencies() }, final);
  const stop = new Int32Array(1);
  try {
    for (const act of plan.acts) act(model.host);
    session.begin();
    printer.ready(server.paths, nic);
    void session.until().then(() => {
      stop[0] = 1;
    });
    // Where nobody is told, the loop need not be held up.
    const intervalSeconds = plan.json || plan.verbose ? plan.intervalSeconds : 0;
    const idle = await runModel({ nic, server, stop, intervalSeconds, report });
    // Before the last report, since a full disk may show only when a file is closed.
    nic.close();
    report(idle, true);
    const { failures } = nic.recorder;
    if (failures.length > 0) session.fail(new Error(failures.join('; ')));
  } finally {
    model.close();
  }
  return session.status();
}
