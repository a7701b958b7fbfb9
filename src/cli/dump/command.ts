// `ixy dump`: captures what a VF receives, to a pcap file or as lines. This file parses the command
// line, opens device and output, and ends it all; the capturing thread is worker.ts. Standard
// output carries frames or JSON and nothing else; what is said to a person goes to stderr.

import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import { processArena } from '../../memory/arena.ts';
import { open } from '../../open.ts';
import { parseAddress } from '../../vfio/address.ts';
import {
  type Command,
  flagOption,
  HELP_OPTION,
  INTERVAL_OPTION,
  integerOption,
  intervalSeconds,
  JSON_OPTION,
  type ParsedArguments,
  secondsOption,
  textOption,
  UsageError,
} from '../arguments.ts';
import { HostedModel, type HostedModelSetup } from '../run/hosted-model.ts';
import { HotThreads } from '../run/hot-threads.ts';
import { RunReport, warnOfFewCpus } from '../run/report.ts';
import { Session } from '../run/session.ts';
import { closeFile, createFile } from './output.ts';
import type { DumpData, DumpFormat, DumpMessage } from './worker.ts';

const WORKER_FILE = new URL('./worker.js', import.meta.url);
const STDOUT_FD = 1;
const MAX_COUNT = 2 ** 47;
/** The largest ring there is: writing must not lose frames at the first hiccup. */
const RX_RING = 4096;
/** What is plugged into a model's ports unless told otherwise: slow enough to be read by. */
const MODEL_PORT = 'gen:size=imix,rate=1k';

interface Plan {
  readonly address: string;
  readonly model?: HostedModelSetup;
  readonly byItself: boolean;
  readonly format: DumpFormat;
  /** File to make; null: standard output, or none. */
  readonly file: string | null;
  readonly count: number | null;
  readonly durationSeconds: number;
  readonly intervalSeconds: number;
  readonly json: boolean;
}

/**
 * Whether a lone argument names a file. What is no address has to look like a file, so that no mistyped address
 * becomes one.
 * @throws UsageError for what looks like neither
 */
function isFile(text: string): boolean {
  try {
    parseAddress(text);
    return false;
  } catch (error) {
    if (text === '-' || text.includes('/') || /\.p?cap$/i.test(text)) return true;
    throw new UsageError(
      `${(error as Error).message}; a lone FILE has to end in .pcap or to have a / in it`,
    );
  }
}

function modelFor(address: string, spec: string): HostedModelSetup | undefined {
  const parsed = parseAddress(address);
  if (parsed.kind !== 'model') return undefined;
  return { ports: new Array<string>(parsed.port + 1).fill(spec), vfs: parsed.vf + 1 };
}

function plan(args: ParsedArguments): Plan {
  const given = [...args.positionals];
  const lone = given.length === 1 && isFile(given[0]);
  const address = lone ? undefined : given.shift();
  const [file] = given;
  const json = flagOption(args, 'json');
  const spec = textOption(args, 'port0');
  if (address !== undefined && spec !== undefined) {
    throw new UsageError(
      `--port0: expected no address beside it, since it plugs something into the model, got ${address}`,
    );
  }
  if (file === '-' && json) {
    throw new UsageError('--json: expected a FILE other than -, since both go to standard output');
  }
  let format: DumpFormat = 'pcap';
  if (file === undefined) format = json ? 'none' : 'lines';
  const model = modelFor(address ?? 'model:0.0', spec ?? MODEL_PORT);
  return {
    address: address ?? 'model:0.0',
    ...(model && { model }),
    byItself: address === undefined,
    format,
    file: file === undefined || file === '-' ? null : file,
    count:
      textOption(args, 'count') === undefined ? null : integerOption(args, 'count', 1, MAX_COUNT),
    intervalSeconds: intervalSeconds(args),
    durationSeconds:
      textOption(args, 'duration') === undefined ? 0 : secondsOption(args, 'duration', 1e6),
    json,
  };
}

function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The capturing thread, its output, and its count. */
class Capture {
  private readonly threads = new HotThreads();
  private readonly block = processArena().allocateControl(64) >>> 2;
  private readonly what: Plan;
  private readonly session: Session;
  private fd = -1;

  constructor(what: Plan, session: Session) {
    this.what = what;
    this.session = session;
  }

  /** Frames captured so far. */
  get frames(): number {
    return processArena().views.f64[this.block >> 1];
  }

  /** Makes the file. @throws VfioError */
  create(): void {
    if (this.what.file !== null) this.fd = createFile(this.what.file);
    else if (this.what.format !== 'none') this.fd = STDOUT_FD;
  }

  /** Starts the thread; the session's time counts from then on. */
  async start(vf: IxgbeVf): Promise<void> {
    const { what, session } = this;
    const data: DumpData = {
      queue: vf.rx[0].handle,
      mempool: vf.mempool.handle,
      format: what.format,
      fd: this.fd,
      path: what.file ?? 'standard output',
      count: what.count,
      block: this.block,
      stopWord: this.threads.stopWord,
    };
    await new Promise<void>((started) => {
      const onError = (error: Error): void => {
        session.fail(error);
        started();
      };
      const onMessage = (message: DumpMessage): void => {
        if (message.kind === 'failed') onError(new Error(message.message));
        else if (message.kind === 'started') {
          session.begin();
          started();
        } else session.end();
      };
      this.threads.start(WORKER_FILE, data, { onError, onMessage });
    });
  }

  /** Ends the thread and closes the file; bounded, idempotent. */
  async stop(): Promise<void> {
    await this.threads.stop();
    const { file } = this.what;
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

async function startModel(what: Plan, session: Session): Promise<HostedModel | undefined> {
  if (what.model === undefined) return undefined;
  const model = await HostedModel.start(what.model, what.intervalSeconds, (error) =>
    session.fail(error),
  );
  if (!what.json) {
    const why = what.byItself ? 'no address given: ' : '';
    note(`${why}started a software 82599, ports ${what.model.ports.join(' and ')}`);
  }
  return model;
}

async function run(args: ParsedArguments): Promise<number> {
  const what = plan(args);
  const session = new Session(what);
  const capture = new Capture(what, session);
  let vf: IxgbeVf | undefined;
  let model: HostedModel | undefined;
  const closeAll = async (): Promise<void> => {
    await capture.stop();
    vf?.close();
    await model?.close();
  };
  try {
    model = await startModel(what, session);
    warnOfFewCpus(model === undefined ? 1 : 2);
    vf = await open(model?.resolve(what.address) ?? what.address, { rxRingSize: RX_RING });
    const device = vf;
    // Only now: what cannot be opened must not cost an older capture.
    capture.create();
    const report = new RunReport(session, [{ vf, name: what.address, dropped: () => 0 }], {
      json: what.json,
      print: what.json ? (line) => session.print(line) : note,
      more: () => ({ captured: capture.frames }),
      quiet: what.format === 'lines',
    });
    if (!what.json) note(`listening on ${what.address} (${vf.mac}); a VF sees its own frames only`);
    await capture.start(vf);
    await session.until(
      () => report.tick(model?.rows),
      () => void device.link(),
    );
    await capture.stop();
    const last = report.last();
    await closeAll();
    report.final(last, model?.rows);
    if (!what.json) note(`captured ${capture.frames} frames${what.file ? ` to ${what.file}` : ''}`);
    return session.status();
  } finally {
    await closeAll();
  }
}

export const dump: Command = {
  name: 'dump',
  synopsis: '[DEV] [FILE] [options]',
  summary:
    'Captures what a VF receives: to FILE as pcap, to standard output as pcap with -, or as lines to read.\nWithout an address it starts a software 82599 that generates frames.',
  maxPositionals: 2,
  options: {
    count: { type: 'string', value: 'N', help: 'stop after that many frames' },
    duration: { type: 'string', value: 'SECONDS', help: 'stop after that long' },
    port0: {
      type: 'string',
      value: 'SPEC',
      help: `what is plugged into the model's port 0 (default ${MODEL_PORT})`,
    },
    interval: INTERVAL_OPTION,
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};
