// Command lines: node:util's parseArgs with errors that say what, expected, got.
// Every command describes its options once; help and checks follow from that.

import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Exit status 2: the command line was wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** One option of a command. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  /** Placeholder in the help: "N". */
  readonly value?: string;
  readonly help: string;
  /** One letter that means the same: "h" for -h. */
  readonly short?: string;
  readonly default?: string;
  /** May be given several times. */
  readonly multiple?: boolean;
}

/** A command as `ixy --help` lists it. */
export interface Command {
  readonly name: string;
  readonly synopsis: string;
  readonly summary: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Most positional arguments it takes. */
  readonly maxPositionals: number;
  /** @returns the exit status */
  run(args: ParsedArguments): Promise<number>;
}

/** Options as given or defaulted, and the rest. */
export interface ParsedArguments {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
}

export const HELP_OPTION: OptionSpec = { type: 'boolean', short: 'h', help: 'this text' };
export const JSON_OPTION: OptionSpec = {
  type: 'boolean',
  help: 'a JSON object each --interval, a last one with "final": true',
};

/**
 * @throws UsageError for an unknown option, a missing value, too many arguments
 */
export function parseCommandLine(command: Command, argv: readonly string[]): ParsedArguments {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, { type, short, multiple = false }] of Object.entries(command.options)) {
    options[name] = { type, multiple, ...(short !== undefined && { short }) };
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(`${oneLine(error as Error)}; see 'ixy ${command.name} --help'`);
  }
  const { positionals } = parsed;
  if (positionals.length > command.maxPositionals) {
    throw new UsageError(
      `${command.name}: expected ${atMost(command.maxPositionals)}, got ${positionals.length}: ${positionals.join(' ')}; see 'ixy ${command.name} --help'`,
    );
  }
  const values: Record<string, string | boolean | readonly string[] | undefined> = {};
  for (const [name, spec] of Object.entries(command.options)) {
    values[name] = (parsed.values[name] as string | boolean | string[] | undefined) ?? spec.default;
  }
  return { positionals, values };
}

function atMost(positionals: number): string {
  if (positionals === 0) return 'options only';
  return `at most ${positionals} argument${positionals === 1 ? '' : 's'} beside options`;
}

/** What parseArgs says, less its line ends and its advice on arguments that start with a dash. */
function oneLine({ message }: Error): string {
  const [said = ''] = message.split(/\. To specify a positional argument/);
  return said.replace(/\s*\n\s*/g, ' ').replace(/\.$/, '');
}

/** An option's text, undefined when it was not given and has no default. */
export function textOption(args: ParsedArguments, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === 'string' ? value : undefined;
}

/**
 * An integer option within bounds.
 * @throws UsageError
 */
export function integerOption(
  args: ParsedArguments,
  name: string,
  low: number,
  high: number,
): number {
  const text = textOption(args, name) ?? '';
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high)) {
    throw new UsageError(`--${name}: expected an integer from ${low} to ${high}, got '${text}'`);
  }
  return value;
}

/** An option as given, and as a number; NaN where it is no decimal one. */
function decimal(args: ParsedArguments, name: string): { text: string; value: number } {
  const text = textOption(args, name) ?? '';
  return { text, value: /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN };
}

/**
 * A number of seconds, fractions allowed.
 * @throws UsageError
 */
export function secondsOption(args: ParsedArguments, name: string, high: number): number {
  const { text, value } = decimal(args, name);
  if (value > 0 && value <= high) return value;
  throw new UsageError(`--${name}: expected seconds above 0 and up to ${high}, got '${text}'`);
}

/** The option of a command that runs for a while. */
export const DURATION_OPTION: OptionSpec = {
  type: 'string',
  value: 'SECONDS',
  help: 'stop after that long',
};

/** Reads DURATION_OPTION; 0 where it was not given. @throws UsageError */
export function durationSeconds(args: ParsedArguments): number {
  return textOption(args, 'duration') === undefined ? 0 : secondsOption(args, 'duration', 1e6);
}

/** The option of a command that reports while it runs. */
export const INTERVAL_OPTION: OptionSpec = {
  type: 'string',
  value: 'SECONDS',
  default: '1',
  help: 'between two reports, 0: only the last one',
};

/** Reads INTERVAL_OPTION. @throws UsageError unless it is 0 to 3600 seconds */
export function intervalSeconds(args: ParsedArguments): number {
  const { text, value } = decimal(args, 'interval');
  if (value >= 0 && value <= 3600) return value;
  throw new UsageError(`--interval: expected seconds from 0 to 3600, got '${text}'`);
}

/** The option of a command whose devices may be taken from it while it runs. */
export const WAIT_OPTION: OptionSpec = {
  type: 'boolean',
  help: 'wait for a device that is removed, and go on when it is back, instead of ending',
};

/** True where the flag was given. */
export function flagOption(args: ParsedArguments, name: string): boolean {
  return args.values[name] === true;
}

/** The help text of one command. */
export function helpOf(command: Command): string {
  const left = Object.entries(command.options).map(([name, { type, short, value = 'VALUE' }]) => {
    const long = short === undefined ? `--${name}` : `-${short}, --${name}`;
    return type === 'boolean' ? long : `${long} ${value}`;
  });
  const width = Math.max(...left.map((text) => text.length));
  const lines = Object.values(command.options).map((spec, i) => {
    const fallback = spec.default === undefined ? '' : ` (default ${spec.default})`;
    return `  ${(left[i] ?? '').padEnd(width)}  ${spec.help}${fallback}`;
  });
  return `usage: ixy ${command.name} ${command.synopsis}\n\n${command.summary}\n\n${lines.join('\n')}`;
}
