// `ixy pf`: says to a running model what an administrator does on the host. The options, and what is done; plan.ts
// reads the words, control-client.ts speaks to the model, show.ts prints.

import { systemClock } from '../../support/clock.ts';
import { pollUntil } from '../../support/poll.ts';
import { type Command, HELP_OPTION, type ParsedArguments } from '../arguments.ts';
import { MODEL_DIRECTORY } from '../model/plan.ts';
import { print } from '../run/print.ts';
import { ControlClient } from './control-client.ts';
import { FORMS, pfPlan } from './plan.ts';
import { portLines } from './show.ts';

/** More than a VF's holder has to close it. */
const UNPLUG_MS = 3000;
const LOOK_MS = 10;

/** The command. */
export const pf: Command = {
  name: 'pf',
  synopsis: '[--dir DIR] WORDS',
  summary: `Does to a running \`ixy model\` what an administrator does on the host, in the words of \`ip link\`. WORDS:\n${FORMS}\nMBIT 0 is no limit, "vlan 0" and "tc 0" take off what was set. unplug asks the program that holds the VF to close it, waits a second at most, and takes it away.`,
  maxPositionals: 9,
  options: {
    dir: {
      type: 'string',
      value: 'DIR',
      help: 'directory of the model, as its own --dir',
      default: MODEL_DIRECTORY,
    },
    json: { type: 'boolean', help: 'with show: one JSON object, ports' },
    help: HELP_OPTION,
  },
  run: async (args) => administer(args),
};

/** @throws UsageError; VfioError where there is no model, or it refuses */
function administer(args: ParsedArguments): number {
  const plan = pfPlan(args);
  const client = new ControlClient(plan.directory);
  try {
    if (plan.words[0] === 'show') {
      const ports = client.show();
      if (plan.json) print(JSON.stringify({ ports }));
      else for (const port of ports) for (const line of portLines(port)) print(line);
    } else {
      client.say(plan.words);
      if (plan.words[3] === 'unplug') awaitUnplugged(client, plan.words);
    }
  } finally {
    client.close();
  }
  return 0;
}

/** Returns once the VF is gone, so that the next command finds it so. @throws DeviceError */
function awaitUnplugged(client: ControlClient, [port, , vf]: readonly string[]): void {
  pollUntil(
    systemClock,
    {
      what: `VF ${port}.${vf}`,
      wanted: 'unplugged',
      intervalUs: LOOK_MS * 1000,
      timeoutUs: UNPLUG_MS * 1000,
    },
    () => (client.show()[Number(port)]?.vfs[Number(vf)]?.presence === 'unplugged' ? 1 : 0),
    (gone) => gone === 1,
  );
}
