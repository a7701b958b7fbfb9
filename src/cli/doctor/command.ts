// `ixy doctor`: the first day with hardware. The options and help; plan.ts reads them, run.ts does it.

import { type Command, HELP_OPTION } from '../arguments.ts';
import { doctorPlan } from './plan.ts';
import { runDoctor } from './run.ts';

/** The command. */
export const doctor: Command = {
  name: 'doctor',
  synopsis: '[DEV [PEER]] [options]',
  summary:
    'Looks at a VF step by step: host, VFIO, registers, reset, mailbox, queues, frames, late DMA. Each line says what\nwas expected and by which source, what was seen, and a verdict. For the first day with hardware, to be attached\nto a report. PEER sends to DEV and receives from it. Without an address it starts a software 82599. The VFs are\nreset; nothing else may be using them.',
  maxPositionals: 2,
  options: {
    'no-dma': { type: 'boolean', help: 'end before the device is given any memory' },
    events: {
      type: 'boolean',
      help: 'also ask for the cable to be pulled, the PF to be set down and up, trust to be changed',
    },
    faults: {
      type: 'boolean',
      help: 'also post descriptors outside the map, which the IOMMU refuses',
    },
    load: { type: 'boolean', help: 'also send at line rate for 10 s, to PEER or to itself' },
    json: { type: 'boolean', help: 'a JSON object a step, a last one with "final": true' },
    help: HELP_OPTION,
  },
  run: (args) => runDoctor(doctorPlan(args)),
};
