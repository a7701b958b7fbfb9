// `ixy l2fwd`: forwards between two VFs. The options and help, and the start of the command's own
// model, where there is to be one; plan.ts reads the options, forwarder.ts does the rest.

import {
  type Command,
  DURATION_OPTION,
  HELP_OPTION,
  INTERVAL_OPTION,
  JSON_OPTION,
  type ParsedArguments,
  WAIT_OPTION,
} from '../arguments.ts';
import { HostedModel } from '../run/hosted-model.ts';
import { Session } from '../run/session.ts';
import { forwardPlan } from './plan.ts';

async function run(args: ParsedArguments): Promise<number> {
  const plan = forwardPlan(args);
  const session = new Session(plan);
  // First of all, so that the model's process starts while this one loads the driver.
  const starting = HostedModel.startFor(plan, session);
  starting.catch(() => {}); // it is awaited below, and may fail before
  const { runForwarder } = await import('./forwarder.ts');
  await runForwarder(plan, session, starting);
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
    duration: DURATION_OPTION,
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
    'wait-for-device': WAIT_OPTION,
    interval: INTERVAL_OPTION,
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run,
};
