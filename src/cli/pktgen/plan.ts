// What `ixy pktgen` is told, checked: options to devices, frames and limits. Makes nothing.

import { CRC_SIZE } from '../../hw/descriptors.ts';
import { parseStationMac } from '../../support/mac.ts';
import { MAX_SIZE, MIN_SIZE, parseRate, parseSize, RATES } from '../../traffic/rates-and-sizes.ts';
import { MAX_FLOWS } from '../../traffic/test-frame.ts';
import { parseAddress } from '../../vfio/address.ts';
import {
  flagOption,
  integerOption,
  intervalSeconds,
  type ParsedArguments,
  secondsOption,
  textOption,
  UsageError,
} from '../arguments.ts';
import type { HostedModelSetup } from '../run/hosted-model.ts';

const USUAL_SIZE = 1518;
/** Ethernet header and CRC. */
const FRAME_OVERHEAD = 18;
const MAX_COUNT = 2 ** 47;

/** A checked command line. */
export interface PktgenPlan {
  readonly address: string;
  /** Where is measured; null: on the sending device. */
  readonly rxAddress: string | null;
  /** The command's own model; absent where no address means one. */
  readonly model?: HostedModelSetup;
  /** No address was given. */
  readonly byItself: boolean;
  /** Bytes without CRC, in the order of the frames; the longest one to be played of a capture. */
  readonly lengths: readonly number[];
  /** Longest frame with CRC. */
  readonly maxFrame: number;
  readonly flows: number;
  readonly rate: number | null;
  /** A rate that was not reached is a failure. */
  readonly strict: boolean;
  readonly count: number | null;
  readonly durationSeconds: number;
  readonly intervalSeconds: number;
  readonly destination: Uint8Array | null;
  readonly replay: string | null;
  /** Frames of a capture that a snaplen cut are filled up with zeros. */
  readonly pad: boolean;
  readonly batch: number;
  readonly json: boolean;
  /** Wait for a device that is removed. */
  readonly waitForDevice: boolean;
}

function rateOption(args: ParsedArguments): number | null {
  const text = textOption(args, 'rate');
  if (text === undefined) return null;
  const rate = parseRate(text);
  if (rate === null) throw new UsageError(`--rate: expected ${RATES}, got '${text}'`);
  return rate;
}

function strictOption(args: ParsedArguments): boolean {
  const strict = flagOption(args, 'strict');
  if (strict && textOption(args, 'rate') === undefined) {
    throw new UsageError('--strict: expected --rate beside it, got none');
  }
  return strict;
}

function sizeOption(args: ParsedArguments, usual: number): readonly number[] {
  const text = textOption(args, 'size') ?? `${usual}`;
  const lengths = parseSize(text);
  if (lengths !== null) return lengths;
  throw new UsageError(
    `--size: expected bytes with CRC from ${MIN_SIZE} to ${MAX_SIZE}, or imix, got '${text}'`,
  );
}

/** The same device in two spellings gives the same text. @throws RangeError for no address */
function canonical(address: string): string {
  return JSON.stringify(parseAddress(address));
}

/** What is plugged into a port of the model: cables join the ports in pairs, unless the user has something else for port 0. */
function plugOf(port: number, port0: string | undefined): string {
  const cable = `cable:${port >> 1}`;
  if (port0 === undefined || port0 === cable || port > 1) return cable;
  return port === 0 ? port0 : 'none';
}

/**
 * The model that addresses of kind model:P.V mean.
 * @returns undefined where there is none among them
 */
function modelFor(
  addresses: readonly string[],
  port0: string | undefined,
  maxFrame: number,
): HostedModelSetup | undefined {
  const vfs = addresses.map(parseAddress).filter((parsed) => parsed.kind === 'model');
  if (vfs.length === 0) return undefined;
  const pairs = Math.max(...vfs.map(({ port }) => (port >> 1) + 1));
  const ports = Array.from({ length: pairs * 2 }, (_, port) => plugOf(port, port0));
  return {
    ports,
    vfs: Math.max(...vfs.map(({ vf }) => vf)) + 1,
    ...(maxFrame > USUAL_SIZE && { pfMtu: maxFrame - FRAME_OVERHEAD }),
  };
}

/** The VF at the other end of the cable; null where there is no cable. */
function otherEnd(address: string, port0: string | undefined): string | null {
  const parsed = parseAddress(address);
  if (parsed.kind !== 'model') return null;
  const plug = plugOf(parsed.port, port0);
  const joined = plug.startsWith('cable:') && plug === plugOf(parsed.port ^ 1, port0);
  return joined ? `model:${parsed.port ^ 1}.${parsed.vf}` : null;
}

function parseDevices(
  args: ParsedArguments,
  maxFrame: number,
): Pick<PktgenPlan, 'address' | 'rxAddress' | 'model' | 'byItself'> {
  const [given] = args.positionals;
  const rx = textOption(args, 'rx');
  if (given === undefined && rx !== undefined) {
    throw new UsageError(`--rx: expected the address of the sending device before it, got none`);
  }
  const address = given ?? 'model:0.0';
  const port0 = textOption(args, 'port0');
  const rxAddress = rx ?? otherEnd(address, port0);
  const addresses = rxAddress === null ? [address] : [address, rxAddress];
  if (new Set(addresses.map(canonical)).size < addresses.length) {
    throw new UsageError(
      `--rx: expected another device than ${address}, which is measured without --rx, got ${rx}`,
    );
  }
  const model = modelFor(addresses, port0, maxFrame);
  if (model === undefined && port0 !== undefined) {
    throw new UsageError(
      `--port0: expected model:PORT.VF or no address beside it, since it plugs something into the model, got ${addresses.join(' ')}`,
    );
  }
  return { address, rxAddress, byItself: given === undefined, ...(model && { model }) };
}

function refuseBesideReplay(args: ParsedArguments): void {
  if (textOption(args, 'flows') !== undefined) {
    throw new UsageError('--flows: expected no --replay beside it, since a capture has its flows');
  }
  if (textOption(args, 'size') === 'imix') {
    throw new UsageError(
      '--size: expected the longest frame to play, bytes with CRC, beside --replay, got imix',
    );
  }
}

function parseDestination(args: ParsedArguments): Uint8Array | null {
  const text = textOption(args, 'dst');
  if (text === undefined) return null;
  try {
    return parseStationMac('--dst', text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/**
 * Reads the options of pktgen.
 * @throws UsageError, RangeError: what, expected, got
 */
export function pktgenPlan(args: ParsedArguments): PktgenPlan {
  const replay = textOption(args, 'replay') ?? null;
  if (replay !== null) refuseBesideReplay(args);
  else if (flagOption(args, 'pad')) throw new UsageError('--pad: expected --replay beside it');
  const lengths = sizeOption(args, replay === null ? MIN_SIZE : USUAL_SIZE);
  const maxFrame = Math.max(USUAL_SIZE, Math.max(...lengths) + CRC_SIZE);
  const given = (name: string): boolean => textOption(args, name) !== undefined;
  return {
    ...parseDevices(args, maxFrame),
    lengths,
    maxFrame,
    flows: given('flows') ? integerOption(args, 'flows', 1, MAX_FLOWS) : 1,
    rate: rateOption(args),
    strict: strictOption(args),
    count: given('count') ? integerOption(args, 'count', 1, MAX_COUNT) : null,
    intervalSeconds: intervalSeconds(args),
    durationSeconds: given('duration') ? secondsOption(args, 'duration', 1e6) : 0,
    destination: parseDestination(args),
    replay,
    pad: flagOption(args, 'pad'),
    batch: integerOption(args, 'batch', 1, 256),
    json: flagOption(args, 'json'),
    waitForDevice: flagOption(args, 'wait-for-device'),
  };
}
