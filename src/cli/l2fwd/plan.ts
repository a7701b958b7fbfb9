// What `ixy l2fwd` is told, checked: devices, rings, queues, MACs, and the model to start where an
// address means one. Makes nothing.

import { MAX_RING, MIN_RING } from '../../hw/descriptors.ts';
import type { MacBytes } from '../../support/mac.ts';
import { parseAddress } from '../../vfio/address.ts';
import {
  durationSeconds,
  flagOption,
  integerOption,
  intervalSeconds,
  type ParsedArguments,
  textOption,
  UsageError,
} from '../arguments.ts';
import type { HostedModelSetup } from '../run/hosted-model.ts';
import { stationMac } from '../run/mac-option.ts';

/** What the command line asks for. */
export interface ForwardPlan {
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
  readonly peers: readonly [MacBytes | undefined, MacBytes | undefined];
  readonly dropAtOnce: boolean;
  readonly json: boolean;
  /** Wait for a device that is removed. */
  readonly waitForDevice: boolean;
}

function parsePeer(args: ParsedArguments, name: string): MacBytes | undefined {
  const text = textOption(args, name);
  return text === undefined ? undefined : stationMac(`--${name}`, text);
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

/** Reads the command line of `ixy l2fwd`. @throws UsageError */
export function forwardPlan(args: ParsedArguments): ForwardPlan {
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
    durationSeconds: durationSeconds(args),
    peers: [parsePeer(args, 'eth-peer0'), parsePeer(args, 'eth-peer1')],
    dropAtOnce: flagOption(args, 'tx-drop'),
    json: flagOption(args, 'json'),
    waitForDevice: flagOption(args, 'wait-for-device'),
  };
}
