#!/usr/bin/env node
// The `ixy` command. Finds the subcommand, parses, runs, and turns what went
// wrong into one line and an exit status: 0 done, 1 failed at run time, 2 bad usage.

import { cureFor } from '../support/errors.ts';
import { type Command, helpOf, parseCommandLine, UsageError } from './arguments.ts';
import { printable } from './run/printable.ts';

interface Entry {
  readonly summary: string;
  load(): Promise<Command>;
}

// Loaded on demand: the first packet should not wait for the other commands.
const COMMANDS: Readonly<Record<string, Entry>> = {
  l2fwd: {
    summary: 'forward between two VFs, rewriting MACs',
    load: async () => (await import('./l2fwd/command.ts')).l2fwd,
  },
  pktgen: {
    summary: 'generate frames, and check what comes back',
    load: async () => (await import('./pktgen/command.ts')).pktgen,
  },
  dump: {
    summary: 'capture to a pcap file or the terminal',
    load: async () => (await import('./dump/command.ts')).dump,
  },
  model: {
    summary: 'serve a software 82599 over vfio-user',
    load: async () => (await import('./model/command.ts')).model,
  },
  list: {
    summary: 'VFs on this machine, and what each one lacks',
    load: async () => (await import('./pci/command.ts')).list,
  },
  bind: {
    summary: 'hand VFs to vfio-pci, on request make them first',
    load: async () => (await import('./pci/command.ts')).bind,
  },
  unbind: {
    summary: 'give VFs back to the kernel',
    load: async () => (await import('./pci/command.ts')).unbind,
  },
  preload: {
    summary: 'run an unmodified VFIO program on a model',
    load: async () => (await import('./preload/command.ts')).preload,
  },
};

function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`,
  );
  return `usage: ixy COMMAND [options]\n\n${rows.join('\n')}\n\n'ixy COMMAND --help' tells more. Device addresses: 0000:03:10.0, vfio-user:/path/to.sock, model:PORT.VF\n`;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return 0;
  }
  const entry = name === undefined ? undefined : COMMANDS[name];
  if (entry === undefined) {
    const got = name === undefined ? 'no command' : `'${name}'`;
    throw new UsageError(`expected a command (${Object.keys(COMMANDS).join(', ')}), got ${got}`);
  }
  const command = await entry.load();
  const args = parseCommandLine(command, rest);
  if (args.values.help === true) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  return command.run(args);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { message, errno = 0 } = error as NodeJS.ErrnoException;
  // Negative in the errors of Node.js only; those of this project bear their cure already.
  const cure = cureFor(-errno);
  process.stderr.write(`ixy: ${printable(message)}${cure === '' ? '' : `: ${cure}`}\n`);
  // A RangeError or TypeError is what the library says of a wrong value, so of the command line here.
  process.exitCode =
    error instanceof UsageError || error instanceof RangeError || error instanceof TypeError
      ? 2
      : 1;
}
