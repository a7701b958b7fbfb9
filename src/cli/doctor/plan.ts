// What `ixy doctor` is told, checked: devices, which steps, and the model to start where an address means one.
// Makes nothing.

import { parseAddress } from '../../vfio/address.ts';
import { flagOption, type ParsedArguments, UsageError } from '../arguments.ts';
import type { HostedModelPlan, HostedModelSetup } from '../run/hosted-model.ts';
import type { Extra } from './steps/index.ts';

/** What the command line asks for. */
export interface DoctorPlan extends HostedModelPlan {
  readonly address: string;
  /** Where frames go to and come from; undefined: none was named. */
  readonly peer: string | undefined;
  /** Ends before a device is given memory. */
  readonly noDma: boolean;
  /** Steps that were asked for by an option. */
  readonly extras: readonly Extra[];
}

/** Two VFs of one port: what they send to each other needs no cable. */
const MODEL_DEVICE = 'model:0.0';
const MODEL_PEER = 'model:0.1';

const EXTRAS: readonly Extra[] = ['events', 'faults', 'load'];

/** The model that some of the addresses mean; two of its ports are joined by a cable. */
function modelFor(addresses: readonly string[]): HostedModelSetup | undefined {
  const vfs = addresses.map(parseAddress).flatMap((one) => (one.kind === 'model' ? [one] : []));
  if (vfs.length === 0) return undefined;
  const used = new Set(vfs.map(({ port }) => port));
  const ports = Array.from({ length: Math.max(...used) + 1 }, (_, port) =>
    used.size > 1 && used.has(port) ? 'cable:0' : 'none',
  );
  return { ports, vfs: Math.max(...vfs.map(({ vf }) => vf)) + 1 };
}

/** Reads the command line of `ixy doctor`. @throws UsageError, RangeError */
export function doctorPlan(args: ParsedArguments): DoctorPlan {
  const { positionals } = args;
  const byItself = positionals.length === 0;
  const [address, peer] = byItself ? [MODEL_DEVICE, MODEL_PEER] : positionals;
  if (address === peer) {
    throw new UsageError(
      `PEER: expected another VF than ${address}; without it DEV sends to itself`,
    );
  }
  const noDma = flagOption(args, 'no-dma');
  const extras = EXTRAS.filter((name) => flagOption(args, name));
  if (noDma && extras.length > 0) {
    throw new UsageError(
      `--no-dma: expected no --${extras[0]} beside it, which gives memory to the device`,
    );
  }
  const model = modelFor(peer === undefined ? [address] : [address, peer]);
  return {
    address,
    peer,
    ...(model && { model }),
    byItself,
    noDma,
    extras,
    // The model has nothing to say meanwhile.
    intervalSeconds: 0,
    json: flagOption(args, 'json'),
  };
}
