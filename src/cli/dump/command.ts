// `ixy dump`: captures what a VF receives, to a pcap file or as lines. The options and help; plan.ts
// reads them, capture.ts does it.

import {
  type Command,
  DURATION_OPTION,
  HELP_OPTION,
  INTERVAL_OPTION,
  JSON_OPTION,
  WAIT_OPTION,
} from '../arguments.ts';
import { runDump } from './capture.ts';
import { dumpPlan, MODEL_PORT } from './plan.ts';

/** The command. */
export const dump: Command = {
  name: 'dump',
  synopsis: '[DEV] [FILE] [options]',
  summary:
    'Captures what a VF receives: to FILE as pcap, to standard output as pcap with -, or as lines to read.\nWithout an address, or where it is model:PORT.VF, it starts a software 82599 that generates frames.',
  maxPositionals: 2,
  options: {
    count: { type: 'string', value: 'N', help: 'stop after that many frames' },
    duration: DURATION_OPTION,
    port0: {
      type: 'string',
      value: 'SPEC',
      help: `what is plugged into the model's port 0 (default ${MODEL_PORT})`,
    },
    'wait-for-device': WAIT_OPTION,
    interval: INTERVAL_OPTION,
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run: (args) => runDump(dumpPlan(args)),
};
