// The command line of a bench: what it does not know ends it with one line and status 2.

import { type ParseArgsConfig, parseArgs } from 'node:util';

/**
 * Reads process.argv, as node:util's parseArgs does.
 * @param bench for the message
 */
export function readOptions<T extends ParseArgsConfig>(
  bench: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [what] = (error as Error).message.split('. ');
    const known = Object.keys(config.options ?? {}).map((name) => `--${name}`);
    process.stderr.write(`${bench}: ${what}; its options are ${known.join(', ')}\n`);
    process.exit(2);
  }
}
