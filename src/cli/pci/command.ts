// The options and help of `ixy list`, `ixy bind` and `ixy unbind`.

import { type Command, HELP_OPTION, type OptionSpec, textOption } from '../arguments.ts';
import { print } from '../run/print.ts';
import { runBind, runUnbind } from './bind.ts';
import { expectNotHeld } from './held.ts';
import { systemHost } from './host.ts';
import { runList } from './list.ts';
import { bindPlan, MOST_VFS, unbindPlan } from './plan.ts';

const MOST_ADDRESSES = 256;
const SYSFS_OPTION: OptionSpec = {
  type: 'string',
  value: 'ROOT',
  help: 'where sysfs is mounted, if not at /sys',
};
const DRY_RUN_OPTION: OptionSpec = {
  type: 'boolean',
  help: 'print what would be written, change nothing',
};

export const list: Command = {
  name: 'list',
  synopsis: '[options]',
  summary:
    'Shows the PFs and VFs of the 82599 family, and what each VF lacks before it can be used.',
  maxPositionals: 0,
  options: {
    sysfs: SYSFS_OPTION,
    json: { type: 'boolean', help: 'one JSON object: pfs, vfs' },
    help: HELP_OPTION,
  },
  run: async (args) => runList(args, systemHost(textOption(args, 'sysfs')), print),
};

export const bind: Command = {
  name: 'bind',
  synopsis: 'ADDR... [options] | --vfs N PF [options]',
  summary:
    'Hands VFs to vfio-pci, so that ixy can open them. Wants root. With --vfs it first makes N VFs on a PF.',
  maxPositionals: MOST_ADDRESSES,
  options: {
    vfs: {
      type: 'string',
      value: 'N',
      help: `make N VFs on the PF, 1 to ${MOST_VFS}, bind them all`,
    },
    owner: {
      type: 'string',
      value: 'USER',
      help: 'who shall own the VFIO nodes, to run ixy without root',
    },
    force: {
      type: 'boolean',
      help: 'also take an interface that is up and in use, and VFs of any other SR-IOV PF',
    },
    'dry-run': DRY_RUN_OPTION,
    sysfs: SYSFS_OPTION,
    help: HELP_OPTION,
  },
  run: async (args) => {
    const plan = bindPlan(args);
    const host = systemHost(textOption(args, 'sysfs'));
    await expectNotHeld(plan.addresses, host);
    return runBind(plan, host, print);
  },
};

export const unbind: Command = {
  name: 'unbind',
  synopsis: 'ADDR... [options]',
  summary:
    'Takes VFs from vfio-pci; the kernel gives them to ixgbevf where that is loaded. Wants root.',
  maxPositionals: MOST_ADDRESSES,
  options: {
    'dry-run': DRY_RUN_OPTION,
    sysfs: SYSFS_OPTION,
    help: HELP_OPTION,
  },
  run: async (args) => {
    const plan = unbindPlan(args);
    const host = systemHost(textOption(args, 'sysfs'));
    await expectNotHeld(plan.addresses, host);
    return runUnbind(plan, host, print);
  },
};
