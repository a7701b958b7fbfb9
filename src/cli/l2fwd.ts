// `ixy l2fwd`: forwards between two VFs. This file parses the command line,
// opens the devices, starts the forwarding threads, prints rates and ends it all.
// The frames move in forward.ts, on threads of their own (forward-worker.ts).

import { parseStationMac } from '../ixgbevf/mac.ts';
import type { IxgbeVf } from '../ixgbevf/vf.ts';
import { processArena } from '../memory/arena.ts';
import { mempool, open, parseAddress } from '../open.ts';
import {
  type Command,
  flagOption,
  HELP_OPTION,
  integerOption,
  JSON_OPTION,
  type ParsedArguments,
  secondsOption,
  textOption,
  UsageError,
} from './arguments.ts';
import { FORWARD, macWords } from './forward.ts';
import type { DirectionData, ForwardData } from './forward-worker.ts';
import { HostedModel, type HostedModelSetup } from './hosted-model.ts';
import { HotThreads } from './hot-threads.ts';
import { RunReport, warnOfFewCpus } from './report.ts';
import { Session } from './session.ts';

const WORKER_FILE = new URL('./forward-worker.js', import.meta.url);
const BUFFERS_A_QUEUE = 4096;
const NO_PEER = -1;

interface Plan {
  readonly addresses: readonly [string, string];
  /** The command's own model; absent where no address means one. */
  readonly model?: HostedModelSetup;
  /** No address was given. */
  readonly byItself: boolean;
  readonly batch: number;
  readonly queues: number;
  readonly durationSeconds: number;
  readonly peers: readonly [Uint8Array | undefined, Uint8Array | undefined];
  readonly dropAtOnce: boolean;
  readonly json: boolean;
}

function parsePeer(args: ParsedArguments, name: string): Uint8Array | undefined {
  const text = textOption(args, name);
  if (text === undefined) return undefined;
  try {
    return parseStationMac(`--${name}`, text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/**
 * The model that addresses of kind model:P.V mean: a generator on each port in use, for the VF in use there.
 * @param specs what the user plugs in instead, by port
 * @returns undefined where there is none among them
 */
function modelFor(
  addresses: readonly string[],
  specs: readonly (string | undefined)[],
): HostedModelSetup | undefined {
  const used = addresses.map(parseAddress).filter((parsed) => parsed.kind === 'model');
  if (used.length === 0) return undefined;
  const count = Math.max(2, ...used.map(({ port }) => port + 1));
  const ports = Array.from({ length: count }, (_, port) => {
    const vf = used.find((one) => one.port === port)?.vf;
    return specs[port] ?? (vf === undefined ? 'none' : vf === 0 ? 'gen' : `gen:vf=${vf}`);
  });
  return { ports, vfs: Math.max(...used.map(({ vf }) => vf)) + 1 };
}

function plan(args: ParsedArguments): Plan {
  const { positionals } = args;
  if (positionals.length === 1) {
    throw new UsageError(`l2fwd: expected two addresses or none, got one: ${positionals[0]}`);
  }
  const [first = 'model:0.0', second = 'model:1.0'] = positionals;
  if (first === second) {
    throw new UsageError(`l2fwd: expected two different devices, got ${first} twice`);
  }
  const specs = [textOption(args, 'port0'), textOption(args, 'port1')] as const;
  const model = modelFor([first, second], specs);
  if (model === undefined && (specs[0] ?? specs[1]) !== undefined) {
    throw new UsageError(
      '--port0 and --port1: expected no addresses beside them, since they plug something into the model; leave out one or the other',
    );
  }
  return {
    addresses: [first, second],
    ...(model && { model }),
    byItself: positionals.length === 0,
    batch: integerOption(args, 'batch', 1, 256),
    queues: integerOption(args, 'queues', 1, 8),
    durationSeconds:
      textOption(args, 'duration') === undefined ? 0 : secondsOption(args, 'duration', 1e6),
    peers: [parsePeer(args, 'eth-peer0'), parsePeer(args, 'eth-peer1')],
    dropAtOnce: flagOption(args, 'tx-drop'),
    json: flagOption(args, 'json'),
  };
}

/** State words of what leaves one device through one queue. */
function makeState(peer: Uint8Array | undefined): number {
  const arena = processArena();
  const state = arena.allocateControl(FORWARD.BLOCK_BYTES) >>> 2;
  const heap = arena.views.i32;
  const [low, high] = peer === undefined ? [NO_PEER, 0xffff] : macWords(peer);
  heap[state + FORWARD.PEER_LOW] = low;
  heap[state + FORWARD.PEER_HIGH] = high;
  heap[state + FORWARD.PEER_FIXED] = peer === undefined ? 0 : 1;
  return state;
}

/** The running forwarder: threads, and per device the state blocks of its queues. */
class Forwarder {
  readonly states: readonly [number[], number[]] = [[], []];
  private readonly threads = new HotThreads();

  /** Resolves once every thread forwards, or one failed. */
  async start(
    devices: readonly [IxgbeVf, IxgbeVf],
    what: Plan,
    onError: (error: Error) => void,
  ): Promise<void> {
    const started: Promise<void>[] = [];
    for (let q = 0; q < what.queues; q++) {
      const states = [makeState(what.peers[0]), makeState(what.peers[1])] as const;
      this.states[0].push(states[0]);
      this.states[1].push(states[1]);
      const direction = (from: 0 | 1, to: 0 | 1): DirectionData => ({
        rx: devices[from].rx[q].handle,
        tx: devices[to].tx[q].handle,
        source: devices[to].macBytes,
        outState: states[to],
        inState: states[from],
      });
      const data: ForwardData = {
        mempool: devices[0].mempools[q].handle,
        directions: [direction(0, 1), direction(1, 0)],
        batch: what.batch,
        dropAtOnce: what.dropAtOnce,
        stopWord: this.threads.stopWord,
      };
      const run = (done: () => void): void =>
        this.threads.start(WORKER_FILE, data, {
          onMessage: done,
          onError: (error) => {
            onError(error);
            done();
          },
        });
      started.push(new Promise(run));
    }
    await Promise.all(started);
  }

  dropped(device: 0 | 1): number {
    const f64 = processArena().views.f64;
    return this.states[device].reduce((sum, state) => sum + f64[(state >> 1) + FORWARD.DROPPED], 0);
  }

  /** Says how the link of a device is: what cannot leave by one that is down is dropped at once. */
  link(device: 0 | 1, up: boolean): void {
    const heap = processArena().views.i32;
    for (const state of this.states[device]) heap[state + FORWARD.LINK_DOWN] = up ? 0 : 1;
  }

  /** Ends the threads; bounded. */
  stop(): Promise<void> {
    return this.threads.stop();
  }
}

async function run(args: ParsedArguments): Promise<number> {
  const what = plan(args);
  const session = new Session({ durationSeconds: what.durationSeconds });
  const forwarder = new Forwarder();
  const devices: IxgbeVf[] = [];
  let model: HostedModel | undefined;
  const closeDevices = async (): Promise<void> => {
    await forwarder.stop();
    for (const vf of devices) vf.close();
  };
  try {
    if (what.model !== undefined) {
      model = await HostedModel.start(what.model, (error) => session.fail(error));
      if (!what.json) {
        const why = what.byItself ? 'no addresses given: ' : '';
        session.print(`${why}started a software 82599, ports ${what.model.ports.join(' and ')}`);
      }
    }
    const shared = Array.from({ length: what.queues }, () => mempool({ count: BUFFERS_A_QUEUE }));
    for (const address of what.addresses) {
      const options = { mempool: shared, rxQueues: what.queues, txQueues: what.queues };
      devices.push(await open(model?.resolve(address) ?? address, options));
    }
    warnOfFewCpus(what.queues + (model === undefined ? 0 : 1));
    const [a, b] = devices as [IxgbeVf, IxgbeVf];
    const report = new RunReport(
      session,
      [
        { vf: a, name: what.addresses[0], dropped: () => forwarder.dropped(0) },
        { vf: b, name: what.addresses[1], dropped: () => forwarder.dropped(1) },
      ],
      { json: what.json, more: () => model?.load ?? {} },
    );
    if (!what.json) {
      const names = devices.map((vf, i) => `${what.addresses[i]} (${vf.mac})`);
      session.print(names.join(' <-> '));
    }
    // A thread takes its time to start, on a slow machine seconds: they are none of the duration's.
    await forwarder.start([a, b], what, (error) => session.fail(error));
    session.begin();
    await session.until(
      () => report.tick(model?.rows),
      () => {
        forwarder.link(0, a.link().up);
        forwarder.link(1, b.link().up);
      },
    );
    await forwarder.stop();
    const last = report.last();
    await closeDevices();
    await model?.close();
    report.final(last, model?.rows, model?.load.latency);
    return session.status();
  } finally {
    await closeDevices();
    await model?.close();
  }
}

export const l2fwd: Command = {
  name: 'l2fwd',
  synopsis: '[DEV0 DEV1] [options]',
  summary:
    'Forwards both ways between two VFs, rewriting MACs. Without addresses, or where one is model:P.V, it starts a software 82599.',
  maxPositionals: 2,
  options: {
    batch: { type: 'string', value: 'N', default: '32', help: 'frames a batch, 1 to 256' },
    duration: { type: 'string', value: 'SECONDS', help: 'stop after that long' },
    queues: {
      type: 'string',
      value: 'N',
      default: '1',
      help: 'queue pairs a device, one thread each',
    },
    port0: { type: 'string', value: 'SPEC', help: "what is plugged into the model's port 0" },
    port1: { type: 'string', value: 'SPEC', help: "what is plugged into the model's port 1" },
    'eth-peer0': { type: 'string', value: 'MAC', help: 'destination of what leaves device 0' },
    'eth-peer1': { type: 'string', value: 'MAC', help: 'destination of what leaves device 1' },
    'tx-drop': { type: 'boolean', help: 'drop at once what a full tx ring does not take' },
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};
