// `ixy l2fwd`: forwards between two VFs. This file parses the command line and starts the
// model, where there is to be one; forwarder.ts does the rest, and is loaded meanwhile.

import { MAX_RING, MIN_RING } from '../../hw/descriptors.ts';
import { parseStationMac } from '../../support/mac.ts';
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
import { Session } from '../run/session.ts';

/** What the command line asks for. */
export interface Plan {
  readonly addresses: readonly [string, string];
  /** The command's own model; absent where no address means one. */
  readonly model?: HostedModelSetup;
  /** No address was given. */
  readonly byItself: boolean;
  readonly batch: number;
  readonly queues: number;
  /** Descriptors of each ring. */
  readonly rxRing: number;
  readonly txRing: number;
  readonly durationSeconds: number;
  readonly intervalSeconds: number;
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

/** Descriptors of a ring: what the driver takes. @throws UsageError */
function ringOption(args: ParsedArguments, name: string): number {
  const size = integerOption(args, name, MIN_RING, MAX_RING);
  if ((size & (size - 1)) === 0) return size;
  throw new UsageError(
    `--${name}: expected a power of two from ${MIN_RING} to ${MAX_RING}, got '${size}'`,
  );
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
    rxRing: ringOption(args, 'rx-ring'),
    txRing: ringOption(args, 'tx-ring'),
    intervalSeconds: intervalSeconds(args),
    durationSeconds:
      textOption(args, 'duration') === undefined ? 0 : secondsOption(args, 'duration', 1e6),
    peers: [parsePeer(args, 'eth-peer0'), parsePeer(args, 'eth-peer1')],
    dropAtOnce: flagOption(args, 'tx-drop'),
    json: flagOption(args, 'json'),
  };
}

async function run(args: ParsedArguments): Promise<number> {
  const what = plan(args);
  const session = new Session(what);
  // First of all, so that the model's process starts while this one loads the driver.
  const onLost = (error: Error): void => session.fail(error);
  const starting = what.model && HostedModel.start(what.model, what.intervalSeconds, onLost);
  starting?.catch(() => {}); // it is awaited below, and may fail before
  const { runForwarder } = await import('./forwarder.ts');
  await runForwarder(what, session, starting);
  return session.status();
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
    'rx-ring': {
      type: 'string',
      value: 'N',
      default: '512',
      help: 'descriptors of an rx ring: how long a stall costs no frame',
    },
    'tx-ring': { type: 'string', value: 'N', default: '512', help: 'descriptors of a tx ring' },
    port0: { type: 'string', value: 'SPEC', help: "what is plugged into the model's port 0" },
    port1: { type: 'string', value: 'SPEC', help: "what is plugged into the model's port 1" },
    'eth-peer0': { type: 'string', value: 'MAC', help: 'destination of what leaves device 0' },
    'eth-peer1': { type: 'string', value: 'MAC', help: 'destination of what leaves device 1' },
    'tx-drop': { type: 'boolean', help: 'drop at once what a full tx ring does not take' },
    interval: INTERVAL_OPTION,
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};
