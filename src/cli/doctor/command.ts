// `ixy doctor`: the first day with hardware. The options and help; plan.ts reads them, run.ts does it.

import { type Command, HELP_OPTION } from '../arguments.ts';
import { doctorPlan } from './plan.ts';
import { runDoctor } from './run.ts';

/** The command. */
export const doctor: Command = {
  name: 'doctor',
  synopsis: '[DEV [PEER]] [options]',
  summary:
    'Looks at a VF step by step: host, VFIO, registers, reset, mailbox, queues. Each line says what was expected and by\nwhich source, what was seen, and a verdict. For the first day with hardware, to be attached to a report.\nWithout an address it starts a software 82599. The VF is reset; nothing else may be using it.',
  maxPositionals: 2,
  options: {
    'no-dma': { type: 'boolean', help: 'end before the device is given any memory' },
    json: { type: 'boolean', help: 'a JSON object a step, a last one with "final": true' },
    help: HELP_OPTION,
  },
  run: (args) => runDoctor(doctorPlan(args)),
};
