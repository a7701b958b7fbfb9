// What `ixy dump` is told, checked: device, file, format, and the model to start where the address
// means one. Makes nothing.

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
import type { DumpFormat } from './worker.ts';

const MAX_COUNT = 2 ** 47;
/** What is plugged into a model's ports unless told otherwise: slow enough to be read by. */
export const MODEL_PORT = 'gen:size=imix,rate=1k';

/** What the command line asks for. */
export interface DumpPlan {
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
  /** Wait for a device that is removed. */
  readonly waitForDevice: boolean;
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

/**
 * The model that an address model:P.V means.
 * @param port0 what the user plugs into its port 0
 * @returns undefined for any other address
 * @throws UsageError where the user plugs something into a model that there is not
 */
function modelFor(address: string, port0: string | undefined): HostedModelSetup | undefined {
  const parsed = parseAddress(address);
  if (parsed.kind === 'model') {
    const ports = new Array<string>(parsed.port + 1).fill('none');
    ports[parsed.port] = parsed.vf === 0 ? MODEL_PORT : `${MODEL_PORT},vf=${parsed.vf}`;
    ports[0] = port0 ?? ports[0];
    return { ports, vfs: parsed.vf + 1 };
  }
  if (port0 === undefined) return undefined;
  throw new UsageError(
    `--port0: expected model:PORT.VF or no address beside it, since it plugs something into the model, got ${address}`,
  );
}

/** Reads the command line of `ixy dump`. @throws UsageError */
export function dumpPlan(args: ParsedArguments): DumpPlan {
  const given = [...args.positionals];
  const lone = given.length === 1 && isFile(given[0]);
  const named = lone ? undefined : given.shift();
  const address = named ?? 'model:0.0';
  const [file] = given;
  const json = flagOption(args, 'json');
  if (file === '-' && json) {
    throw new UsageError('--json: expected a FILE other than -, since both go to standard output');
  }
  let format: DumpFormat = 'pcap';
  if (file === undefined) format = json ? 'none' : 'lines';
  const model = modelFor(address, textOption(args, 'port0'));
  return {
    address,
    ...(model && { model }),
    byItself: named === undefined,
    format,
    file: file === undefined || file === '-' ? null : file,
    count:
      textOption(args, 'count') === undefined ? null : integerOption(args, 'count', 1, MAX_COUNT),
    intervalSeconds: intervalSeconds(args),
    durationSeconds: durationSeconds(args),
    json,
    waitForDevice: flagOption(args, 'wait-for-device'),
  };
}
