// `ixy preload`: runs an unmodified VFIO program on the sockets of a model. The options and help;
// plan.ts reads them, program.ts runs the program, and the library that answers its VFIO calls is
// native/preload.

import { type Command, HELP_OPTION } from '../arguments.ts';
import { MODEL_DIRECTORY } from '../model/plan.ts';
import { preloadPlan } from './plan.ts';
import { runProgram } from './program.ts';

/** The command. */
export const preload: Command = {
  name: 'preload',
  synopsis: '[options] -- PROGRAM [ARGS]',
  summary:
    "Run an unmodified VFIO program on the model's sockets, without kernel VFIO.\nVF V of port P gets the PCI address 0000:cP:00.V unless --device says otherwise.",
  options: {
    device: {
      type: 'string',
      value: 'ADDRESS=SOCKET',
      help: 'a device the program sees; may be repeated (default: all sockets of --dir)',
      multiple: true,
    },
    dir: {
      type: 'string',
      value: 'DIR',
      help: "where the model's sockets are",
      default: MODEL_DIRECTORY,
    },
    'exact-dma': {
      type: 'boolean',
      help: 'devices may reach exactly what was mapped, also where that is 65,536 pieces',
    },
    errno: {
      type: 'string',
      value: 'LIST',
      help: 'calls that fail: MAP_DMA=ENOMEM,DEVICE_RESET=EINVAL@2 (the second one only)',
    },
    verbose: { type: 'boolean', help: 'say on stderr what fails' },
    help: HELP_OPTION,
  },
  maxPositionals: Number.MAX_SAFE_INTEGER,
  async run(args) {
    const plan = preloadPlan(args);
    for (const { address, socket } of plan.devices) {
      process.stderr.write(`ixy preload: ${address} is ${socket}\n`);
    }
    return runProgram(plan);
  },
};
