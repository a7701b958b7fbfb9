// REGION_READ, REGION_WRITE and REGION_WRITE_MULTI: access to BARs and config space by message
// (vfio-user spec, "Read and Write Operations"): what a server decodes and answers, and how a client checks the
// answer. A client's commands are made in register-access.ts, without allocating.

import { ERRNO } from '../../support/linux.ts';
import {
  COMMAND,
  checkFds,
  checkPayload,
  encodeReply,
  HEADER_BYTES,
  payloadBytes,
  putU64,
  type Refusal,
  refuse,
  u64At,
} from './wire.ts';

/** Bytes of offset, region and count, which stand before the data. */
const ACCESS_BYTES = 16;
/** Where the data of an access starts in its message. */
const ACCESS_DATA_AT = HEADER_BYTES + ACCESS_BYTES;

const MULTI_ENTRY_BYTES = 24;
const MULTI_DATA_BYTES = 8;
const MULTI_AT = HEADER_BYTES + 8;

/** One access: `count` bytes at byte `offset` of a region. */
export interface RegionAccess {
  readonly region: number;
  readonly offset: number;
  readonly count: number;
}

/** A write with its data: a view of the message, good until the message's buffer is used again. */
export interface RegionWrite extends RegionAccess {
  readonly data: Uint8Array;
}

/** Reads a REGION_READ of at most `maxTransferBytes`. Region and offset are the server's to judge. */
export function decodeRegionReadCommand(
  message: DataView,
  fdCount: number,
  maxTransferBytes: number,
): RegionAccess | Refusal {
  const bad = checkPayload(message, ACCESS_BYTES) ?? checkFds(fdCount, 0);
  if (bad !== null) return bad;
  const access = accessAt(message, HEADER_BYTES);
  return checkAccess(access, maxTransferBytes) ?? access;
}

/** Writes the reply to a REGION_READ with `data` (access.count bytes). @returns message bytes, 32 + count */
export function encodeRegionReadReply(
  out: DataView,
  id: number,
  access: RegionAccess,
  data: Uint8Array,
): number {
  putAccess(out, HEADER_BYTES, access);
  dataAt(out, ACCESS_DATA_AT, access.count).set(data.subarray(0, access.count));
  return encodeReply(out, id, COMMAND.REGION_READ, ACCESS_DATA_AT + access.count);
}

/** Reads the reply to a REGION_READ, checked against the access it answers. */
export function decodeRegionReadReply(
  message: DataView,
  fdCount: number,
  access: RegionAccess,
): RegionWrite | Refusal {
  const bad =
    checkPayload(message, ACCESS_BYTES + access.count) ??
    checkFds(fdCount, 0) ??
    checkEcho(message, access);
  return bad ?? { ...access, data: dataAt(message, ACCESS_DATA_AT, access.count) };
}

/** Reads a REGION_WRITE of at most `maxTransferBytes`. Region and offset are the server's to judge. */
export function decodeRegionWriteCommand(
  message: DataView,
  fdCount: number,
  maxTransferBytes: number,
): RegionWrite | Refusal {
  const bytes = payloadBytes(message);
  if (bytes < ACCESS_BYTES) {
    return refuse(`payload: expected at least ${ACCESS_BYTES} bytes, got ${bytes}`);
  }
  const access = accessAt(message, HEADER_BYTES);
  const bad =
    checkAccess(access, maxTransferBytes) ??
    checkPayload(message, ACCESS_BYTES + access.count) ??
    checkFds(fdCount, 0);
  return bad ?? { ...access, data: dataAt(message, ACCESS_DATA_AT, access.count) };
}

/** Writes the reply to a REGION_WRITE. @returns message bytes, 32 */
export function encodeRegionWriteReply(out: DataView, id: number, access: RegionAccess): number {
  putAccess(out, HEADER_BYTES, access);
  return encodeReply(out, id, COMMAND.REGION_WRITE, ACCESS_DATA_AT);
}

/** Checks the payload of the reply to a REGION_WRITE. @returns null when good */
export function checkRegionWriteReply(
  message: DataView,
  fdCount: number,
  access: RegionAccess,
): Refusal | null {
  return checkPayload(message, ACCESS_BYTES) ?? checkFds(fdCount, 0) ?? checkEcho(message, access);
}

/** Reads a REGION_WRITE_MULTI: one or more writes, in order. Regions and offsets are the server's to judge. */
export function decodeRegionWriteMultiCommand(
  message: DataView,
  fdCount: number,
): readonly RegionWrite[] | Refusal {
  const bytes = payloadBytes(message);
  if (bytes < 8) return refuse(`payload: expected at least 8 bytes, got ${bytes}`);
  const n = u64At(message, HEADER_BYTES);
  if (n < 1 || bytes !== 8 + n * MULTI_ENTRY_BYTES) {
    return refuse(`writes: expected ${(bytes - 8) / MULTI_ENTRY_BYTES}, at least 1, got ${n}`);
  }
  const fds = checkFds(fdCount, 0);
  if (fds !== null) return fds;
  const writes: RegionWrite[] = [];
  for (let at = MULTI_AT; writes.length < n; at += MULTI_ENTRY_BYTES) {
    const access = accessAt(message, at);
    const bad = checkAccess(access, MULTI_DATA_BYTES);
    if (bad !== null) return refuse(`write ${writes.length}: ${bad.refused}`, bad.errno);
    writes.push({ ...access, data: dataAt(message, at + ACCESS_BYTES, access.count) });
  }
  return writes;
}

/** Writes the reply to a REGION_WRITE_MULTI: how many writes were done. @returns message bytes, 24 */
export function encodeRegionWriteMultiReply(out: DataView, id: number, done: number): number {
  putU64(out, HEADER_BYTES, done);
  return encodeReply(out, id, COMMAND.REGION_WRITE_MULTI, MULTI_AT);
}

function putAccess(out: DataView, at: number, access: RegionAccess): void {
  putU64(out, at, access.offset);
  out.setUint32(at + 8, access.region, true);
  out.setUint32(at + 12, access.count, true);
}

function accessAt(message: DataView, at: number): RegionAccess {
  return {
    offset: u64At(message, at),
    region: message.getUint32(at + 8, true),
    count: message.getUint32(at + 12, true),
  };
}

function checkAccess(access: RegionAccess, maxBytes: number): Refusal | null {
  if (access.offset < 0 || access.offset >= 2 ** 53) return refuse('offset: expected below 2**53');
  if (access.count < 1) return refuse('count: expected at least 1, got 0');
  if (access.count <= maxBytes) return null;
  return refuse(`count: expected at most ${maxBytes} bytes, got ${access.count}`, ERRNO.E2BIG);
}

function checkEcho(message: DataView, access: RegionAccess): Refusal | null {
  const got = accessAt(message, HEADER_BYTES);
  if (got.offset === access.offset && got.region === access.region && got.count === access.count) {
    return null;
  }
  return refuse(`access: expected ${describe(access)}, got ${describe(got)}`);
}

function describe(access: RegionAccess): string {
  return `${access.count} bytes at 0x${access.offset.toString(16)} of region ${access.region}`;
}

function dataAt(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}
