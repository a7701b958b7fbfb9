// The model that a command runs when it is given no address: `ixy model` as a child process over
// vfio-user, in a folder of its own. The child ends with our end of its standard input, so that a
// killed command leaves no model behind.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NicCounters } from '../../model/nic.ts';
import { portSpecForChild } from '../../model/ports/spec.ts';
import type { PfPersonality } from '../../model/types.ts';
import { cureFor } from '../../support/errors.ts';
import { parseAddress } from '../../vfio/address.ts';
import { UsageError } from '../arguments.ts';
import { MAX_PORTS } from '../model/plan.ts';
import type { ModelReport } from '../model/report.ts';
import type { Session } from './session.ts';

const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
/** A model that is not ready by then is not going to be. */
const READY_MS = 10_000;
/** The model reports within a second of being told to end. */
const FINISH_MS = 3000;
const USAGE_STATUS = 2;
/** What a warning of `ixy model` starts with. */
const WARNING = 'ixy model: ';
const NEWEST_PF: PfPersonality = 'linux-7.3';

/** What to plug into each port, and how many VFs each has. */
export interface HostedModelSetup {
  readonly ports: readonly string[];
  readonly vfs: number;
  /** MTU of the PF, which has to be above 1,500 for jumbo frames. */
  readonly pfMtu?: number;
}

/** What of a command's plan says which model it starts. */
export interface HostedModelPlan {
  /** Absent where no address means a model. */
  readonly model?: HostedModelSetup;
  /** No address was given. */
  readonly byItself: boolean;
  readonly intervalSeconds: number;
  readonly json: boolean;
}

/** A command's own model. */
export class HostedModel {
  /** Rows of the last report of the model. */
  rows: readonly NicCounters[] = [];
  /** What else that report said; empty before the first. */
  load: Partial<Pick<ModelReport, 'idle' | 'latency'>> = {};
  private readonly folder: string;
  private readonly child: ChildProcess;
  private readonly exited: Promise<number>;
  private ready: (() => void) | undefined;
  private errors = '';
  private finishing = false;
  private readonly session: Session;

  private constructor(setup: HostedModelSetup, intervalSeconds: number, session: Session) {
    this.session = session;
    // Made and removed by the model, so that it goes too where this process is killed.
    this.folder = join(tmpdir(), `ixy-model-${process.pid}-${Math.random().toString(36).slice(2)}`);
    const args = [MAIN, 'model', '--json', '--exit-with-stdin', '--dir', this.folder];
    args.push('--ports', String(setup.ports.length), '--vfs', String(setup.vfs));
    // The PF that answers the first question: each protocol version that is refused costs 24 messages.
    args.push('--pf', NEWEST_PF);
    args.push('--interval', `${intervalSeconds}`);
    if (setup.pfMtu !== undefined) args.push('--pf-mtu', String(setup.pfMtu));
    for (const [i, spec] of setup.ports.entries()) {
      args.push(`--port${i}`, portSpecForChild(spec, process.pid));
    }
    // Certificates that a model has no use for cost Node.js 30 ms of its start.
    const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
    this.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.child.stdin?.on('error', () => {});
    // Node.js makes no pipes at all where it is out of files; the error follows.
    if (this.child.stderr) {
      createInterface({ input: this.child.stderr }).on('line', (line) => this.relay(line));
    }
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (line) => this.take(line));
    }
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error: NodeJS.ErrnoException) => {
        this.errors = `${error.message}: ${cureFor(-(error.errno ?? 0))}`;
        resolve(1);
      });
      // Not 'exit': its last report may come after that.
      this.child.once('close', (code, signal) => {
        const how = signal === null ? `status ${code}` : signal;
        if (this.finishing) this.errors ||= `the model ended with ${how}`;
        else if (this.ready === undefined) {
          session.fail(new Error(`the model ended by itself (${how}) ${this.errors}`.trim()));
        }
        resolve(code ?? 1);
      });
    });
  }

  /**
   * Starts the model that a plan asks for, if any, waits until it serves, and says so. A model that is lost later
   * ends the session.
   * @param print takes what is said to a person
   * @throws UsageError for a wrong SPEC, Error where it does not come up
   */
  static async startFor(
    { model: setup, byItself, intervalSeconds, json }: HostedModelPlan,
    session: Session,
    print = (line: string): void => session.print(line),
  ): Promise<HostedModel | undefined> {
    if (setup === undefined) return undefined;
    const model = await HostedModel.start(setup, intervalSeconds, session);
    const why = byItself ? 'no address given: ' : '';
    if (!json) print(`${why}started a software 82599, ports ${setup.ports.join(' and ')}`);
    return model;
  }

  /**
   * Starts a model and waits until it serves.
   * @param intervalSeconds between two of its reports; 0: only the last one
   * @throws UsageError for a wrong SPEC, Error where it does not come up
   */
  private static async start(
    setup: HostedModelSetup,
    intervalSeconds: number,
    session: Session,
  ): Promise<HostedModel> {
    if (setup.ports.length > MAX_PORTS) {
      throw new UsageError(
        `model:P.V: expected ports 0 to ${MAX_PORTS - 1}, got addresses that need ${setup.ports.length} ports`,
      );
    }
    const model = new HostedModel(setup, intervalSeconds, session);
    let timer: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      new Promise<'ready'>((resolve) => {
        model.ready = () => resolve('ready');
      }),
      model.exited,
      new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), READY_MS);
      }),
    ]);
    clearTimeout(timer);
    model.ready = undefined;
    if (outcome === 'ready') return model;
    await model.close();
    if (outcome === USAGE_STATUS) throw new UsageError(model.errors);
    throw new Error(
      outcome === 'late'
        ? `the model was not ready after ${READY_MS} ms`
        : `the model did not start: ${model.errors}`,
    );
  }

  /** Where `model:P.V` is served: a vfio-user address. Other addresses come back as they are. */
  resolve(address: string): string {
    const parsed = parseAddress(address);
    if (parsed.kind !== 'model') return address;
    return `vfio-user:${join(this.folder, `p${parsed.port}v${parsed.vf}.sock`)}`;
  }

  /**
   * Ends the model, whose VFs have been closed, and takes its last report into `rows`. Bounded. A model that could not
   * read or write all it was to, and says so by its exit status, makes the session a failed one.
   */
  async close(): Promise<void> {
    this.finishing = true;
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), FINISH_MS);
    const status = await this.exited;
    clearTimeout(timer);
    if (status !== 0) this.session.fail(new Error(this.errors));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Hands on what the model warns of; what else it says is the reason for its end. */
  private relay(line: string): void {
    if (line.startsWith(WARNING)) process.stderr.write(`${line}\n`);
    else this.errors = `${this.errors}\n${line.replace(/^ixy: /, '')}`.trim().slice(-4096);
  }

  private take(line: string): void {
    const message = JSON.parse(line) as { socket: string } | { ready: true } | ModelReport;
    if ('ready' in message) this.ready?.();
    if (!('ports' in message)) return;
    this.rows = message.ports;
    this.load = { idle: message.idle, latency: message.latency };
  }
}
