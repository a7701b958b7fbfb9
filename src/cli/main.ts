#!/usr/bin/env node
// The `ixy` command. Finds the subcommand, parses, runs, and turns what went
// wrong into one line and an exit status: 0 done, 1 failed at run time, 2 bad usage.

import { createRequire } from 'node:module';
import { cureFor } from '../support/errors.ts';
import { type Command, helpOf, parseCommandLine, UsageError } from './arguments.ts';
import { finishOutput, watchOutput } from './run/output.ts';
import { print, printable } from './run/print.ts';

const USAGE_STATUS = 2;

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
  doctor: {
    summary: 'look at a VF step by step, and report what is seen',
    load: async () => (await import('./doctor/command.ts')).doctor,
  },
  pf: {
    summary: 'do to a running model what an administrator does on the host',
    load: async () => (await import('./pf/command.ts')).pf,
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

/** How `ixy` is called, and what it can do. */
function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`,
  );
  return `usage: ixy COMMAND [options]\n\n${rows.join('\n')}\n\n'ixy COMMAND --help' tells more, 'ixy --version' the version. Device addresses: 0000:03:10.0, vfio-user:/path/to.sock, model:PORT.VF`;
}

function version(): string {
  const { name, version: number } = createRequire(import.meta.url)('../../package.json') as {
    name: string;
    version: string;
  };
  return `${name} ${number}`;
}

/** @throws UsageError where there is none of this name */
function commandOf(name: string): Promise<Command> {
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry !== undefined) return entry.load();
  throw new UsageError(`expected a command (${Object.keys(COMMANDS).join(', ')}), got '${name}'`);
}

async function main([name, ...rest]: readonly string[]): Promise<number> {
  switch (name) {
    case undefined:
      process.stderr.write(`${usage()}\n`);
      return USAGE_STATUS;
    case '--version':
    case '-V':
      print(version());
      return 0;
    case '--help':
    case '-h':
    case 'help':
      print(rest[0] === undefined ? usage() : helpOf(await commandOf(rest[0])));
      return 0;
  }
  const command = await commandOf(name);
  const args = parseCommandLine(command, rest);
  if (args.values.help !== true) return command.run(args);
  print(helpOf(command));
  return 0;
}

/** Says what went wrong in one line. @returns the exit status */
function failed(error: NodeJS.ErrnoException): number {
  const { message, errno = 0 } = error;
  // Negative in the errors of Node.js only; those of this project bear their cure already.
  const cure = cureFor(-errno);
  process.stderr.write(`ixy: ${printable(message)}${cure === '' ? '' : `: ${cure}`}\n`);
  // A RangeError or TypeError is what the library says of a wrong value, so of the command line here.
  return error instanceof UsageError || error instanceof RangeError || error instanceof TypeError
    ? USAGE_STATUS
    : 1;
}

watchOutput();
let status: number;
try {
  status = await main(process.argv.slice(2));
} catch (error) {
  status = failed(error as Error);
}
process.exitCode = await finishOutput(status);
