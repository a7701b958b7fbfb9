// Reads and writes of trapped pages and of config space: one message each way, in buffers made
// once, nothing allocated, which costs 2 us less an access than Connection.request. The words
// written and compared here are those that region-messages.ts encodes; a reply that differs in any
// of them goes through the slow checks there, which say why.

import { ERRNO } from '../../support/linux.ts';
import type { Connection } from './connection.ts';
import { checkRegionWriteReply, decodeRegionReadReply } from './region-messages.ts';
import { COMMAND, commandName, type Refusal } from './wire.ts';

const REPLY = 1; // flags of a good reply
const HEAD = 32; // header, offset, region, count

/**
 * Reads `count` bytes (1, 2 or 4) at byte `offset` (below 2**32) of a region.
 * @param regionName for messages: "BAR0"
 * @returns them as an unsigned integer
 * @throws VfioError when the server refuses, or the connection is lost
 */
export function readRegion(
  connection: Connection,
  region: number,
  regionName: string,
  offset: number,
  count: number,
): number {
  const words = connection.sendWords;
  const reply = connection.replyWords;
  const id = connection.nextId();
  fillHead(words, id, COMMAND.REGION_READ, HEAD, offset, region, count);
  const received = connection.exchangeRaw(HEAD, null, 0);
  if (received !== HEAD + count || !headMatches(connection, HEAD + count)) {
    const operation = `read ${regionName}+0x${offset.toString(16)}`;
    connection.judge(operation, COMMAND.REGION_READ, id, received);
    const access = { region, offset, count };
    const fdCount = connection.replyFds[0];
    const why = decodeRegionReadReply(connection.replyView, fdCount, access);
    loseTo(connection, operation, COMMAND.REGION_READ, 'refused' in why ? why : null);
  }
  const value = reply[8];
  return count === 4 ? value : value & (count === 2 ? 0xffff : 0xff);
}

/**
 * Writes `count` bytes (1, 2 or 4) and waits until the server has taken them.
 * @param value its low `count` bytes are written
 * @throws VfioError when the server refuses, or the connection is lost
 */
export function writeRegion(
  connection: Connection,
  region: number,
  regionName: string,
  offset: number,
  count: number,
  value: number,
): void {
  const words = connection.sendWords;
  const id = connection.nextId();
  fillHead(words, id, COMMAND.REGION_WRITE, HEAD + count, offset, region, count);
  words[8] = value;
  const received = connection.exchangeRaw(HEAD + count, null, 0);
  if (received === HEAD && headMatches(connection, HEAD)) return;
  const operation = `write ${regionName}+0x${offset.toString(16)}`;
  connection.judge(operation, COMMAND.REGION_WRITE, id, received);
  const fdCount = connection.replyFds[0];
  const why = checkRegionWriteReply(connection.replyView, fdCount, { region, offset, count });
  loseTo(connection, operation, COMMAND.REGION_WRITE, why);
}

function fillHead(
  words: Uint32Array,
  id: number,
  command: number,
  sizeBytes: number,
  offset: number,
  region: number,
  count: number,
): void {
  words[0] = id | (command << 16);
  words[1] = sizeBytes;
  words[2] = 0;
  words[3] = 0;
  words[4] = offset;
  words[5] = 0;
  words[6] = region;
  words[7] = count;
}

/** True when the reply answers what was sent. The error word counts only under the error flag. */
function headMatches(connection: Connection, sizeBytes: number): boolean {
  const sent = connection.sendWords;
  const reply = connection.replyWords;
  return (
    reply[0] === sent[0] &&
    reply[1] === sizeBytes &&
    reply[2] === REPLY &&
    reply[4] === sent[4] &&
    reply[5] === sent[5] &&
    reply[6] === sent[6] &&
    reply[7] === sent[7] &&
    connection.replyFds[0] === 0
  );
}

function loseTo(
  connection: Connection,
  operation: string,
  command: number,
  why: Refusal | null,
): never {
  const reason = why === null ? 'expected an echo of the access' : why.refused;
  connection.lose(operation, ERRNO.EPROTO, `reply to ${commandName(command)}: ${reason}`);
}
