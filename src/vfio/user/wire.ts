// What all vfio-user messages share: the 16-byte header, command numbers, refusals, 64-bit
// fields. Source: the vfio-user specification (QEMU's docs/interop/vfio-user.rst), "Header"
// and "Commands". Bytes are in host order, which on linux-x64 is little-endian. A message is
// a DataView that starts at its header; its fds travel beside it. Payloads: the *-messages files.

import { ERRNO } from '../../support/linux.ts';

/** Bytes of the header; every offset in the payload files counts from the end of it. */
export const HEADER_BYTES = 16;

/** Command numbers (vfio-user spec, "Commands"). 14 was the withdrawn DIRTY_PAGES. */
export const COMMAND = {
  VERSION: 1,
  DMA_MAP: 2,
  DMA_UNMAP: 3,
  DEVICE_GET_INFO: 4,
  DEVICE_GET_REGION_INFO: 5,
  DEVICE_GET_REGION_IO_FDS: 6,
  DEVICE_GET_IRQ_INFO: 7,
  DEVICE_SET_IRQS: 8,
  REGION_READ: 9,
  REGION_WRITE: 10,
  DMA_READ: 11,
  DMA_WRITE: 12,
  DEVICE_RESET: 13,
  REGION_WRITE_MULTI: 15,
  DEVICE_FEATURE: 16,
  MIG_DATA_READ: 17,
  MIG_DATA_WRITE: 18,
} as const;

/** Bits of the header's flags word. */
export const HEADER_FLAG = {
  /** Bits 3:0: 0 a command, 1 a reply. */
  TYPE: 0xf,
  REPLY: 0x1,
  NO_REPLY: 0x10,
  ERROR: 0x20,
} as const;

const NAMES = new Map<number, string>(Object.entries(COMMAND).map(([name, n]) => [n, name]));

/** "REGION_READ", or "command 99". */
export function commandName(command: number): string {
  return NAMES.get(command) ?? `command ${command}`;
}

/** Why a message was not accepted. */
export interface Refusal {
  /** What was expected and what came, without the name of the message. */
  readonly refused: string;
  /** Positive errno for the reply to a refused command. */
  readonly errno: number;
}

/** Builds a Refusal; errno EINVAL unless given. */
export function refuse(refused: string, errno: number = ERRNO.EINVAL): Refusal {
  return { refused, errno };
}

/** True for a Refusal, false for what a decoder accepted. */
export function isRefusal(value: object): value is Refusal {
  return 'refused' in value;
}

/** Header of a command as a server receives it. */
export interface CommandHeader {
  readonly id: number;
  readonly command: number;
  /** Bytes of the whole message, header included. */
  readonly sizeBytes: number;
  /** The sender wants no reply, not even an error. */
  readonly noReply: boolean;
}

/** Size that a header claims for its message, 0..2**32-1; may be below 16. */
export function messageSize(message: DataView): number {
  return message.getUint32(4, true);
}

/** Writes the header of a command of `sizeBytes` in all. @returns sizeBytes */
export function encodeCommand(
  out: DataView,
  id: number,
  command: number,
  sizeBytes: number,
  noReply = false,
): number {
  return encodeHeader(out, id, command, sizeBytes, noReply ? HEADER_FLAG.NO_REPLY : 0, 0);
}

/** Writes the header of a good reply of `sizeBytes` in all. @returns sizeBytes */
export function encodeReply(
  out: DataView,
  id: number,
  command: number,
  sizeBytes = HEADER_BYTES,
): number {
  return encodeHeader(out, id, command, sizeBytes, HEADER_FLAG.REPLY, 0);
}

/** Writes an error reply: header only, `errno` positive. @returns its size, 16 */
export function encodeErrorReply(
  out: DataView,
  id: number,
  command: number,
  errno: number,
): number {
  return encodeHeader(out, id, command, HEADER_BYTES, HEADER_FLAG.REPLY | HEADER_FLAG.ERROR, errno);
}

function encodeHeader(
  out: DataView,
  id: number,
  command: number,
  sizeBytes: number,
  flags: number,
  errno: number,
): number {
  out.setUint16(0, id, true);
  out.setUint16(2, command, true);
  out.setUint32(4, sizeBytes, true);
  out.setUint32(8, flags, true);
  out.setUint32(12, errno, true);
  return sizeBytes;
}

/**
 * Reads the header of a command; the payload need not have arrived. The command number is not judged.
 * After a refusal the stream cannot be followed further: answer with the refusal's errno and hang up.
 * @param maxBytes largest message the receiver takes
 */
export function decodeCommand(message: DataView, maxBytes: number): CommandHeader | Refusal {
  if (message.byteLength < HEADER_BYTES) {
    return refuse(`header: expected ${HEADER_BYTES} bytes, got ${message.byteLength}`);
  }
  const flags = message.getUint32(8, true);
  const sizeBytes = messageSize(message);
  if (sizeBytes < HEADER_BYTES || sizeBytes > maxBytes) {
    return refuse(`message size: expected ${HEADER_BYTES} to ${maxBytes} bytes, got ${sizeBytes}`);
  }
  if ((flags & ~HEADER_FLAG.NO_REPLY) !== 0) {
    return refuse(`flags: expected a command (0x0 or 0x10), got 0x${flags.toString(16)}`);
  }
  return {
    id: message.getUint16(0, true),
    command: message.getUint16(2, true),
    sizeBytes,
    noReply: (flags & HEADER_FLAG.NO_REPLY) !== 0,
  };
}

/**
 * Checks that `message` answers command `id`: its size, id, command and flags, the shape of an error reply.
 * @param receivedBytes bytes that came
 * @returns 0 for a good reply (its payload is the caller's to check); the errno of an error reply, or -1 where the
 *   server named none; or why it is no reply to that command
 */
export function checkReply(
  message: DataView,
  receivedBytes: number,
  id: number,
  command: number,
): number | Refusal {
  if (receivedBytes < HEADER_BYTES || messageSize(message) !== receivedBytes) {
    const size = receivedBytes < HEADER_BYTES ? 'no header' : `size ${messageSize(message)}`;
    return refuse(`expected a whole message, got ${receivedBytes} bytes with ${size}`);
  }
  const flags = message.getUint32(8, true);
  if ((flags & ~HEADER_FLAG.ERROR) !== HEADER_FLAG.REPLY) {
    const name = commandName(message.getUint16(2, true));
    return refuse(
      `flags: expected a reply (0x1 or 0x21), got 0x${flags.toString(16)} with ${name}`,
    );
  }
  const gotId = message.getUint16(0, true);
  if (gotId !== id) return refuse(`message id: expected ${id}, got ${gotId}`);
  const gotCommand = message.getUint16(2, true);
  if (gotCommand !== command) {
    return refuse(
      `command: expected a reply to ${commandName(command)}, got one to ${commandName(gotCommand)}`,
    );
  }
  if ((flags & HEADER_FLAG.ERROR) === 0) return 0;
  if (receivedBytes !== HEADER_BYTES) {
    return refuse(`error reply: expected ${HEADER_BYTES} bytes, got ${receivedBytes}`);
  }
  const errno = message.getUint32(12, true);
  return errno >= 1 && errno <= 4095 ? errno : -1;
}

/** Bytes of a payload by the message's own header. */
export function payloadBytes(message: DataView): number {
  return messageSize(message) - HEADER_BYTES;
}

/** A refusal unless the payload has exactly `expected` bytes. */
export function checkPayload(message: DataView, expected: number): Refusal | null {
  const got = payloadBytes(message);
  return got === expected ? null : refuse(`payload: expected ${expected} bytes, got ${got}`);
}

/**
 * A refusal unless the payload holds a structure that starts with `argsz`: at least `structBytes`, and no more
 * than argsz beyond it. Clients may send the room they offer for the reply along with the structure.
 */
export function checkStruct(message: DataView, structBytes: number): Refusal | null {
  const got = payloadBytes(message);
  if (got < structBytes) return refuse(`payload: expected ${structBytes} bytes, got ${got}`);
  const argsz = message.getUint32(HEADER_BYTES, true);
  if (argsz < structBytes) return refuse(`argsz: expected at least ${structBytes}, got ${argsz}`);
  return got > argsz ? refuse(`payload: expected at most argsz ${argsz} bytes, got ${got}`) : null;
}

/** A refusal unless `fdCount` is in [least, most]. */
export function checkFds(fdCount: number, least: number, most: number = least): Refusal | null {
  if (fdCount >= least && fdCount <= most) return null;
  const expected = least === most ? `${least}` : `${least} to ${most}`;
  return refuse(`file descriptors: expected ${expected}, got ${fdCount}`);
}

/**
 * Reads a 64-bit field as a double. Exact below 2**53, and above it for multiples of 4096, which is all that
 * DMA addresses and sizes may be; -1 where the value is neither.
 */
export function u64At(message: DataView, offset: number): number {
  const low = message.getUint32(offset, true);
  const high = message.getUint32(offset + 4, true);
  if (high >= 2 ** 21 && (low & 0xfff) !== 0) return -1;
  return high * 2 ** 32 + low;
}

/** Writes an integer 0 <= value < 2**64 (exact as a double) as a 64-bit field. */
export function putU64(out: DataView, offset: number, value: number): void {
  out.setUint32(offset, value % 2 ** 32, true);
  out.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}
