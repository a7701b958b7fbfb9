// How a command says that it failed: one line, and its exit status.

import { UsageError } from '../arguments.ts';

/**
 * Prints the line.
 * @returns 2 for a wrong command line, 1 for anything else
 */
export function failed(error: unknown): number {
  // A RangeError or TypeError is what the library says of a wrong value, so of the command line here.
  const usageFault =
    error instanceof UsageError || error instanceof RangeError || error instanceof TypeError;
  process.stderr.write(`ixy: ${(error as Error).message}\n`);
  return usageFault ? 2 : 1;
}
