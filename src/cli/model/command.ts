// `ixy model`: serves a software 82599 over vfio-user, one UNIX socket a VF. The options and help;
// plan.ts reads them, serve.ts does it.

import { PLAY_RULE } from '../../traffic/captured-frame.ts';
import { type Command, DURATION_OPTION, HELP_OPTION, JSON_OPTION } from '../arguments.ts';
import { MODEL_OPTIONS, modelPlan } from './plan.ts';
import { serve } from './serve.ts';

/** The command. */
export const model: Command = {
  name: 'model',
  synopsis: '[options]',
  summary: `Serves a software 82599 over vfio-user: one UNIX socket a VF, for our driver, QEMU, or any vfio-user client. Prints a line a VF (socket, MAC), then "ready".\n${PLAY_RULE}\npcap: takes dst=vf|keep, vf=V, rate=PPS, loop=N, pad=yes; IN may be - or a FIFO, which is played once; a comma in a path is written twice.`,
  maxPositionals: 0,
  options: {
    ...MODEL_OPTIONS,
    duration: DURATION_OPTION,
    'exit-with-stdin': {
      type: 'boolean',
      help: 'stop when standard input ends, and leave signals to the parent: for programs that start a model',
    },
    verbose: { type: 'boolean', help: 'rates while it runs, and what clients do' },
    json: JSON_OPTION,
    help: HELP_OPTION,
  },
  run: (args) => serve(modelPlan(args)),
};
