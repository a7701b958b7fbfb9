// `ixy dump` at work: opens device and output, starts the capturing thread (worker.ts), and ends it
// all. Standard output carries frames or JSON and nothing else; what is said to a person goes to stderr.

import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import { processArena } from '../../memory/arena.ts';
import { open } from '../../open.ts';
import { closeFile, createFile } from '../../support/pcap/output.ts';
import { followDevice, recovering } from '../run/follow-device.ts';
import { HostedModel } from '../run/hosted-model.ts';
import { HotThreads } from '../run/hot-threads.ts';
import { RunReport, warnOfFewCpus } from '../run/report.ts';
import { Session } from '../run/session.ts';
import type { DumpPlan } from './plan.ts';
import type { DumpData } from './worker.ts';

const WORKER_FILE = new URL('./worker.js', import.meta.url);
const STDOUT_FD = 1;
/** The largest ring there is: writing must not lose frames at the first hiccup. */
const RX_RING = 4096;

function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The capturing thread, its output, and its count. */
class Capture {
  private readonly threads = new HotThreads();
  private readonly block = processArena().allocateControl(64) >>> 2;
  private readonly plan: DumpPlan;
  private readonly session: Session;
  private fd = -1;

  constructor(plan: DumpPlan, session: Session) {
    this.plan = plan;
    this.session = session;
  }

  /** Frames captured so far. */
  get frames(): number {
    return processArena().views.f64[this.block >> 1];
  }

  /** Makes the file. @throws VfioError */
  create(): void {
    if (this.plan.file !== null) this.fd = createFile(this.plan.file);
    else if (this.plan.format !== 'none') this.fd = STDOUT_FD;
  }

  /** Starts the thread; the session's time counts from then on. */
  async start(vf: IxgbeVf): Promise<void> {
    const { plan, session } = this;
    const data: DumpData = {
      queue: vf.rx[0].handle,
      mempool: vf.mempool.handle,
      format: plan.format,
      fd: this.fd,
      path: plan.file ?? 'standard output',
      count: plan.count,
      block: this.block,
      stopWord: this.threads.stopWord,
    };
    await this.threads.run(WORKER_FILE, data, session);
  }

  /** Ends the thread and closes the file; bounded, idempotent. */
  async stop(): Promise<void> {
    await this.threads.stop();
    const { file } = this.plan;
    if (file === null || this.fd < 0) return;
    const { fd } = this;
    this.fd = -1;
    try {
      closeFile(fd, file);
    } catch (error) {
      this.session.fail(error as Error);
    }
  }
}

/** Captures until the session ends. @returns the exit status */
export async function runDump(plan: DumpPlan): Promise<number> {
  const session = new Session(plan);
  const capture = new Capture(plan, session);
  let vf: IxgbeVf | undefined;
  let model: HostedModel | undefined;
  const closeAll = async (): Promise<void> => {
    await capture.stop();
    vf?.close();
    await model?.close();
  };
  try {
    model = await HostedModel.startFor(plan, session, note);
    warnOfFewCpus(model === undefined ? 1 : 2);
    vf = await open(model?.resolve(plan.address) ?? plan.address, {
      rxRingSize: RX_RING,
      ...recovering(plan.waitForDevice),
    });
    followDevice(vf, plan.address, session, plan.waitForDevice);
    session.catchSignals();
    // Only now: what cannot be opened must not cost an older capture.
    capture.create();
    const report = new RunReport(session, [{ vf, name: plan.address, dropped: () => 0 }], {
      json: plan.json,
      print: plan.json ? (line) => session.print(line) : note,
      more: () => ({ captured: capture.frames }),
      quiet: plan.format === 'lines',
    });
    if (!plan.json) note(`listening on ${plan.address} (${vf.mac}); a VF sees its own frames only`);
    await capture.start(vf);
    await session.until(() => report.tick(model?.rows));
    await capture.stop();
    const last = report.last();
    await closeAll();
    report.final(last, model?.rows);
    if (!plan.json) note(`captured ${capture.frames} frames${plan.file ? ` to ${plan.file}` : ''}`);
    return session.status();
  } finally {
    await closeAll();
  }
}
