// MAC addresses on the command line.

import { type MacBytes, parseStationMac } from '../../support/mac.ts';
import { UsageError } from '../arguments.ts';

/**
 * Reads the MAC address of a station that was given for an option.
 * @param option its name, "--eth-peer0"
 * @throws UsageError
 */
export function stationMac(option: string, text: string): MacBytes {
  try {
    return parseStationMac(option, text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
