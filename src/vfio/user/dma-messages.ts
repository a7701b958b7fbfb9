// DMA_MAP and DMA_UNMAP: which memory of the client the device may reach (vfio-user spec;
// linux/vfio.h's type1 structures without vaddr). Both ways: a client encodes commands and
// decodes replies, a server the other way round. DMA_READ and DMA_WRITE are left out: our
// client shares all memory by fd, and our server takes access to anything else as a fault.

import { DMA_MAP_FLAG, DMA_UNMAP_FLAG } from '../linux-vfio.ts';
import {
  COMMAND,
  checkFds,
  checkPayload,
  checkStruct,
  encodeCommand,
  encodeReply,
  HEADER_BYTES,
  putU64,
  type Refusal,
  refuse,
  u64At,
} from './wire.ts';

const PAGE = 4096;
const MAP_BYTES = 32;
const UNMAP_BYTES = 24;

/** A DMA_MAP command. Addresses and sizes are bytes, multiples of 4096, exact as doubles up to 2**64. */
export interface DmaMapCommand {
  readonly readable: boolean;
  readonly writable: boolean;
  /** Where the memory starts in the file whose fd came along; meaningless without an fd. */
  readonly fdOffset: number;
  readonly iova: number;
  readonly sizeBytes: number;
}

/** A DMA_UNMAP command, and the reply to one. */
export interface DmaUnmapCommand {
  /** Everything is to be unmapped; iova and sizeBytes are 0. */
  readonly all: boolean;
  readonly iova: number;
  readonly sizeBytes: number;
}

/** Writes a DMA_MAP; the fd is sent beside it. @returns message bytes, 48 */
export function encodeDmaMapCommand(out: DataView, id: number, map: DmaMapCommand): number {
  out.setUint32(16, MAP_BYTES, true);
  const flags = (map.readable ? DMA_MAP_FLAG.READ : 0) | (map.writable ? DMA_MAP_FLAG.WRITE : 0);
  out.setUint32(20, flags, true);
  putU64(out, 24, map.fdOffset);
  putU64(out, 32, map.iova);
  putU64(out, 40, map.sizeBytes);
  return encodeCommand(out, id, COMMAND.DMA_MAP, HEADER_BYTES + MAP_BYTES);
}

/** Reads a DMA_MAP: with one fd, or with none for memory the server cannot map. Overlap is the server's to judge. */
export function decodeDmaMapCommand(message: DataView, fdCount: number): DmaMapCommand | Refusal {
  const bad = checkStruct(message, MAP_BYTES) ?? checkFds(fdCount, 0, 1);
  if (bad !== null) return bad;
  const flags = message.getUint32(20, true);
  if (flags === 0 || (flags & ~(DMA_MAP_FLAG.READ | DMA_MAP_FLAG.WRITE)) !== 0) {
    return refuse(`flags: expected readable 0x1 or writable 0x2, got 0x${flags.toString(16)}`);
  }
  const fdOffset = u64At(message, 24);
  if (fdCount === 1 && !(fdOffset % PAGE === 0 && fdOffset < 2 ** 53)) {
    return refuse('offset: expected a multiple of 4096 below 2**53');
  }
  const iova = u64At(message, 32);
  const sizeBytes = u64At(message, 40);
  return (
    checkRange(iova, sizeBytes) ?? {
      readable: (flags & DMA_MAP_FLAG.READ) !== 0,
      writable: (flags & DMA_MAP_FLAG.WRITE) !== 0,
      fdOffset,
      iova,
      sizeBytes,
    }
  );
}

/** Writes a DMA_UNMAP. @returns message bytes, 40 */
export function encodeDmaUnmapCommand(out: DataView, id: number, unmap: DmaUnmapCommand): number {
  putUnmap(out, unmap);
  return encodeCommand(out, id, COMMAND.DMA_UNMAP, HEADER_BYTES + UNMAP_BYTES);
}

/** Reads a DMA_UNMAP: a range, or everything. What the range holds is the server's to judge. */
export function decodeDmaUnmapCommand(
  message: DataView,
  fdCount: number,
): DmaUnmapCommand | Refusal {
  const bad = checkStruct(message, UNMAP_BYTES) ?? checkFds(fdCount, 0);
  if (bad !== null) return bad;
  const flags = message.getUint32(20, true);
  const iova = u64At(message, 24);
  const sizeBytes = u64At(message, 32);
  if (flags === DMA_UNMAP_FLAG.ALL) {
    return iova === 0 && sizeBytes === 0
      ? { all: true, iova, sizeBytes }
      : refuse('unmap all: expected address 0 and size 0');
  }
  if (flags !== 0) return refuse(`flags: expected 0x0 or 0x2, got 0x${flags.toString(16)}`);
  return checkRange(iova, sizeBytes) ?? { all: false, iova, sizeBytes };
}

/** Writes the reply to a DMA_MAP. @returns message bytes, 16 */
export function encodeDmaMapReply(out: DataView, id: number): number {
  return encodeReply(out, id, COMMAND.DMA_MAP);
}

/** Writes the reply to a DMA_UNMAP, which repeats the command. @returns message bytes, 40 */
export function encodeDmaUnmapReply(out: DataView, id: number, unmap: DmaUnmapCommand): number {
  putUnmap(out, unmap);
  return encodeReply(out, id, COMMAND.DMA_UNMAP, HEADER_BYTES + UNMAP_BYTES);
}

/** Checks the payload of the reply to `unmap`. @returns null when good */
export function checkDmaUnmapReply(
  message: DataView,
  fdCount: number,
  unmap: DmaUnmapCommand,
): Refusal | null {
  const bad = checkPayload(message, UNMAP_BYTES) ?? checkFds(fdCount, 0);
  if (bad !== null) return bad;
  const iova = u64At(message, 24);
  const sizeBytes = u64At(message, 32);
  if (iova === unmap.iova && sizeBytes === unmap.sizeBytes) return null;
  return refuse(
    `unmapped range: expected 0x${unmap.iova.toString(16)} + 0x${unmap.sizeBytes.toString(16)}, ` +
      `got 0x${iova.toString(16)} + 0x${sizeBytes.toString(16)}`,
  );
}

function putUnmap(out: DataView, unmap: DmaUnmapCommand): void {
  out.setUint32(16, UNMAP_BYTES, true);
  out.setUint32(20, unmap.all ? DMA_UNMAP_FLAG.ALL : 0, true);
  putU64(out, 24, unmap.iova);
  putU64(out, 32, unmap.sizeBytes);
}

function checkRange(iova: number, sizeBytes: number): Refusal | null {
  if (iova < 0 || iova % PAGE !== 0) return refuse('address: expected a multiple of 4096');
  if (sizeBytes <= 0 || sizeBytes % PAGE !== 0) {
    return refuse('size: expected a positive multiple of 4096');
  }
  // Exact: doubles up to 2**65 hold every multiple of 4096.
  return iova + sizeBytes > 2 ** 64 ? refuse('range: expected to end below 2**64') : null;
}
