// What a device consists of: DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_GET_IRQ_INFO, and
// DEVICE_RESET, which has no payload (vfio-user spec; structures of linux/vfio.h). Both ways.
// DEVICE_GET_REGION_IO_FDS is left out: it serves KVM, and a server of ours refuses it.

import type { MmapArea } from '../bar-pages.ts';
import { REGION_CAP, REGION_FLAG } from '../linux-vfio.ts';
import {
  COMMAND,
  checkFds,
  checkPayload,
  checkStruct,
  encodeCommand,
  encodeReply,
  HEADER_BYTES,
  payloadBytes,
  putU64,
  type Refusal,
  refuse,
  u64At,
} from './wire.ts';

const DEVICE_INFO_BYTES = 16;
const REGION_INFO_BYTES = 32;
const IRQ_INFO_BYTES = 16;
const SPARSE_HEAD_BYTES = 16;
const AREA_BYTES = 16;
const PAGE = 4096;

/** A device as DEVICE_GET_INFO describes it; flags are DEVICE_FLAG bits. */
export interface DeviceInfo {
  readonly flags: number;
  readonly regions: number;
  readonly irqs: number;
}

/** A region as DEVICE_GET_REGION_INFO describes it. */
export interface RegionInfo {
  readonly index: number;
  /** REGION_FLAG bits; encoders set CAPS themselves. */
  readonly flags: number;
  readonly sizeBytes: number;
  /** Where the region starts in the file whose fd comes along when MMAP is set. */
  readonly fileOffset: number;
  /** Parts that can be mapped, page-aligned; null where MMAP means all of it. Empty without MMAP. */
  readonly areas: readonly MmapArea[] | null;
}

/** An interrupt type as DEVICE_GET_IRQ_INFO describes it; flags are IRQ_FLAG bits. */
export interface IrqInfo {
  readonly index: number;
  readonly flags: number;
  readonly count: number;
}

/** A command that asks about one index. */
export interface IndexQuery {
  readonly index: number;
  /** Payload bytes the asker takes in the reply. */
  readonly argsz: number;
}

/** Writes a DEVICE_GET_INFO. @returns message bytes, 32 */
export function encodeDeviceInfoCommand(out: DataView, id: number): number {
  putWords(out, DEVICE_INFO_BYTES, 0, 0, 0);
  return encodeCommand(out, id, COMMAND.DEVICE_GET_INFO, HEADER_BYTES + DEVICE_INFO_BYTES);
}

/** Checks a DEVICE_GET_INFO. @returns null when good */
export function checkDeviceInfoCommand(message: DataView, fdCount: number): Refusal | null {
  return checkStruct(message, DEVICE_INFO_BYTES) ?? checkFds(fdCount, 0);
}

/** Writes the reply to a DEVICE_GET_INFO. @returns message bytes, 32 */
export function encodeDeviceInfoReply(out: DataView, id: number, info: DeviceInfo): number {
  putWords(out, DEVICE_INFO_BYTES, info.flags, info.regions, info.irqs);
  return encodeReply(out, id, COMMAND.DEVICE_GET_INFO, HEADER_BYTES + DEVICE_INFO_BYTES);
}

/** Reads the reply to a DEVICE_GET_INFO. */
export function decodeDeviceInfoReply(message: DataView, fdCount: number): DeviceInfo | Refusal {
  const bad = checkPayload(message, DEVICE_INFO_BYTES) ?? checkFds(fdCount, 0);
  if (bad !== null) return bad;
  return {
    flags: message.getUint32(20, true),
    regions: message.getUint32(24, true),
    irqs: message.getUint32(28, true),
  };
}

/** Writes a DEVICE_GET_REGION_INFO with room for `argsz` payload bytes in the reply. @returns message bytes, 48 */
export function encodeRegionInfoCommand(out: DataView, id: number, query: IndexQuery): number {
  putWords(out, query.argsz, 0, query.index, 0);
  putU64(out, 32, 0);
  putU64(out, 40, 0);
  return encodeCommand(out, id, COMMAND.DEVICE_GET_REGION_INFO, HEADER_BYTES + REGION_INFO_BYTES);
}

/** Reads a DEVICE_GET_REGION_INFO. The index is the server's to judge. */
export function decodeRegionInfoCommand(message: DataView, fdCount: number): IndexQuery | Refusal {
  const bad = checkStruct(message, REGION_INFO_BYTES) ?? checkFds(fdCount, 0);
  return bad ?? { argsz: message.getUint32(16, true), index: message.getUint32(24, true) };
}

/**
 * Writes the reply to a DEVICE_GET_REGION_INFO. Where the capabilities do not fit the asker's argsz they are left
 * out and the reply's argsz says what would be needed. With MMAP set the server sends one fd beside it, either way.
 * @returns message bytes
 */
export function encodeRegionInfoReply(
  out: DataView,
  id: number,
  info: RegionInfo,
  askerArgsz: number,
): number {
  const areas = (info.flags & REGION_FLAG.MMAP) === 0 ? null : info.areas;
  const capBytes = areas === null ? 0 : SPARSE_HEAD_BYTES + areas.length * AREA_BYTES;
  const argsz = REGION_INFO_BYTES + capBytes;
  const withCaps = capBytes > 0 && argsz <= askerArgsz;
  const flags = (info.flags & ~REGION_FLAG.CAPS) | (withCaps ? REGION_FLAG.CAPS : 0);
  putWords(out, argsz, flags, info.index, withCaps ? REGION_INFO_BYTES : 0);
  putU64(out, 32, info.sizeBytes);
  putU64(out, 40, info.fileOffset);
  let at = HEADER_BYTES + REGION_INFO_BYTES;
  if (withCaps && areas !== null) {
    out.setUint16(at, REGION_CAP.SPARSE_MMAP, true);
    out.setUint16(at + 2, 1, true);
    out.setUint32(at + 4, 0, true);
    out.setUint32(at + 8, areas.length, true);
    out.setUint32(at + 12, 0, true);
    at += SPARSE_HEAD_BYTES;
    for (const area of areas) {
      putU64(out, at, area.offset);
      putU64(out, at + 8, area.sizeBytes);
      at += AREA_BYTES;
    }
  }
  return encodeReply(out, id, COMMAND.DEVICE_GET_REGION_INFO, at);
}

/** Reads the reply to a DEVICE_GET_REGION_INFO: index, fds, and every area inside the region and page-aligned. */
export function decodeRegionInfoReply(
  message: DataView,
  fdCount: number,
  query: IndexQuery,
): RegionInfo | Refusal {
  const bytes = payloadBytes(message);
  if (bytes < REGION_INFO_BYTES) {
    return refuse(`payload: expected at least ${REGION_INFO_BYTES} bytes, got ${bytes}`);
  }
  const argsz = message.getUint32(16, true);
  if (argsz > query.argsz || bytes !== argsz) {
    return refuse(
      `payload: expected argsz bytes, at most ${query.argsz}, got ${bytes} with argsz ${argsz}`,
    );
  }
  const flags = message.getUint32(20, true);
  const index = message.getUint32(24, true);
  if (index !== query.index) return refuse(`region: expected ${query.index}, got ${index}`);
  const mappable = (flags & REGION_FLAG.MMAP) !== 0;
  const fds = checkFds(fdCount, mappable ? 1 : 0);
  if (fds !== null) return fds;
  const sizeBytes = u64At(message, 32);
  const fileOffset = u64At(message, 40);
  if (sizeBytes < 0 || sizeBytes >= 2 ** 53) return refuse('size: expected below 2**53');
  if (mappable && (fileOffset < 0 || fileOffset % PAGE !== 0 || fileOffset >= 2 ** 53)) {
    return refuse('offset: expected a multiple of 4096 below 2**53');
  }
  const areas = (flags & REGION_FLAG.CAPS) === 0 ? null : sparseAreas(message, bytes, sizeBytes);
  if (areas !== null && 'refused' in areas) return areas;
  return { index, flags, sizeBytes, fileOffset, areas: mappable ? areas : [] };
}

/** Follows the capability chain to SPARSE_MMAP. @returns null where there is none */
function sparseAreas(
  message: DataView,
  bytes: number,
  regionBytes: number,
): readonly MmapArea[] | Refusal | null {
  let offset = message.getUint32(28, true);
  // Each link has 8 bytes or more, so a chain with more hops than this goes round in circles.
  for (let hops = bytes / 8; offset !== 0; hops--) {
    if (hops <= 0 || offset < REGION_INFO_BYTES || offset % 4 !== 0 || offset + 8 > bytes) {
      return refuse(`capabilities: expected a chain inside ${bytes} bytes, got offset ${offset}`);
    }
    const at = HEADER_BYTES + offset;
    if (message.getUint16(at, true) === REGION_CAP.SPARSE_MMAP) {
      return readAreas(message, at, bytes - offset, regionBytes);
    }
    offset = message.getUint32(at + 4, true);
  }
  return null;
}

function readAreas(
  message: DataView,
  at: number,
  room: number,
  regionBytes: number,
): readonly MmapArea[] | Refusal {
  const version = message.getUint16(at + 2, true);
  if (version !== 1) return refuse(`sparse mmap capability: expected version 1, got ${version}`);
  const n = room < SPARSE_HEAD_BYTES ? -1 : message.getUint32(at + 8, true);
  if (n < 0 || SPARSE_HEAD_BYTES + n * AREA_BYTES > room) {
    return refuse(`sparse mmap capability: expected its areas in ${room} bytes, got ${n} areas`);
  }
  const areas: MmapArea[] = [];
  for (let i = 0; i < n; i++) {
    const offset = u64At(message, at + SPARSE_HEAD_BYTES + i * AREA_BYTES);
    const sizeBytes = u64At(message, at + SPARSE_HEAD_BYTES + i * AREA_BYTES + 8);
    const aligned = offset >= 0 && offset % PAGE === 0 && sizeBytes > 0 && sizeBytes % PAGE === 0;
    if (!aligned || offset + sizeBytes > regionBytes) {
      return refuse(`mmap area ${i}: expected pages inside ${regionBytes} bytes of region`);
    }
    areas.push({ offset, sizeBytes });
  }
  return areas;
}

/** Writes a DEVICE_GET_IRQ_INFO. @returns message bytes, 32 */
export function encodeIrqInfoCommand(out: DataView, id: number, index: number): number {
  putWords(out, IRQ_INFO_BYTES, 0, index, 0);
  return encodeCommand(out, id, COMMAND.DEVICE_GET_IRQ_INFO, HEADER_BYTES + IRQ_INFO_BYTES);
}

/** Reads a DEVICE_GET_IRQ_INFO. The index is the server's to judge. */
export function decodeIrqInfoCommand(message: DataView, fdCount: number): IndexQuery | Refusal {
  const bad = checkStruct(message, IRQ_INFO_BYTES) ?? checkFds(fdCount, 0);
  return bad ?? { argsz: message.getUint32(16, true), index: message.getUint32(24, true) };
}

/** Writes the reply to a DEVICE_GET_IRQ_INFO. @returns message bytes, 32 */
export function encodeIrqInfoReply(out: DataView, id: number, info: IrqInfo): number {
  putWords(out, IRQ_INFO_BYTES, info.flags, info.index, info.count);
  return encodeReply(out, id, COMMAND.DEVICE_GET_IRQ_INFO, HEADER_BYTES + IRQ_INFO_BYTES);
}

/** Reads the reply to a DEVICE_GET_IRQ_INFO for `index`. */
export function decodeIrqInfoReply(
  message: DataView,
  fdCount: number,
  index: number,
): IrqInfo | Refusal {
  const bad = checkPayload(message, IRQ_INFO_BYTES) ?? checkFds(fdCount, 0);
  if (bad !== null) return bad;
  const got = message.getUint32(24, true);
  if (got !== index) return refuse(`interrupt index: expected ${index}, got ${got}`);
  return { index, flags: message.getUint32(20, true), count: message.getUint32(28, true) };
}

/** Writes a DEVICE_RESET. @returns message bytes, 16 */
export function encodeResetCommand(out: DataView, id: number): number {
  return encodeCommand(out, id, COMMAND.DEVICE_RESET, HEADER_BYTES);
}

/** Checks that a message has neither payload nor fds: DEVICE_RESET both ways, other replies. @returns null when good */
export function checkEmpty(message: DataView, fdCount: number): Refusal | null {
  return checkPayload(message, 0) ?? checkFds(fdCount, 0);
}

/** The first four words of a payload. */
function putWords(out: DataView, w0: number, w1: number, w2: number, w3: number): void {
  out.setUint32(16, w0, true);
  out.setUint32(20, w1, true);
  out.setUint32(24, w2, true);
  out.setUint32(28, w3, true);
}
