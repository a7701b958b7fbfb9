// The classic pcap file format (draft-ietf-opsawg-pcap): its numbers, its file header, and the error for what is none.
// Both byte orders, both time units; no pcapng, gzip or link type but Ethernet.

import { VfioError } from '../errors.ts';

export const MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const MAGIC_NANOSECONDS = 0xa1b23c4d;
/** The "modified" format of old Linux systems, whose record headers are longer. */
const MAGIC_MODIFIED = 0xa1b2cd34;
export const FILE_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;
const MODIFIED_HEADER_BYTES = 24;
export const LINK_TYPE_ETHERNET = 1;
/** Longest captured frame that is believed; libpcap's own limit. Longer means a damaged file. */
export const MAX_CAPTURED = 262_144;

/** The error for a system call on a capture that failed. */
export function fileError(operation: string, error: unknown, path: string): VfioError {
  if (error instanceof VfioError) return error;
  const errno = (error as NodeJS.ErrnoException).errno;
  if (errno === undefined) return new VfioError(operation, 0, path, String(error));
  return new VfioError(operation, Math.abs(errno), path);
}

/** What captures are often given as instead: name, first bytes in hexadecimal, and the command that converts. */
const OTHER_FORMATS = [
  ['pcapng', '0a0d0d0a', 'convert it: editcap -F pcap', ''],
  ['gzip', '1f8b', 'decompress it: gunzip -c', ' >'],
  ['zstd', '28b52ffd', 'decompress it: zstd -dc', ' >'],
  ['xz', 'fd377a58', 'decompress it: xz -dc', ' >'],
  ['bzip2', '425a68', 'decompress it: bzip2 -dc', ' >'],
] as const;

/** A file that is not what it should be: message says what, expected, got and what to do. */
export class PcapError extends Error {
  override readonly name = 'PcapError';
  readonly path: string;

  constructor(path: string, detail: string) {
    super(`pcap file ${path}: ${detail}`);
    this.path = path;
  }
}

/** One captured frame. */
export interface PcapFrame {
  /** Seconds since 1970, unsigned 32 bits. */
  readonly seconds: number;
  /** 0..999,999,999, whatever unit the file used. */
  readonly nanoseconds: number;
  /** The captured bytes, a copy the caller may keep. */
  readonly data: Uint8Array;
  /** Bytes on the wire; more than `data.length` where the capture was cut at its snaplen. */
  readonly originalLength: number;
}

/** How the numbers of a file are written. */
export interface PcapFormat {
  readonly littleEndian: boolean;
  readonly nanosecond: boolean;
  /** Bytes before the data of each record. */
  readonly recordHeaderBytes: number;
}

/** A DataView over the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Reads the file header at the start of `bytes`, of which `length` bytes are valid.
 * @throws PcapError where it is no header of a classic Ethernet pcap
 */
export function parseFileHeader(bytes: Uint8Array, length: number, name: string): PcapFormat {
  if (length === 0) {
    throw new PcapError(name, 'expected a capture, got an empty file; capture again');
  }
  const view = viewOf(bytes);
  const start = Buffer.from(bytes.subarray(0, Math.min(4, length))).toString('hex');
  for (const [format, magic, command, into] of OTHER_FORMATS) {
    if (!start.startsWith(magic)) continue;
    const advice = `${command} ${name}${into} OUT.pcap`;
    throw new PcapError(name, `expected classic pcap, got ${format}; ${advice}`);
  }
  const magics = [MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, MAGIC_MODIFIED];
  const littleEndian = length >= 4 && magics.includes(view.getUint32(0, true));
  if (!littleEndian && !(length >= 4 && magics.includes(view.getUint32(0, false)))) {
    const got = start.replace(/..(?=.)/g, '$& ');
    throw new PcapError(
      name,
      `expected magic a1b2c3d4, a1b23c4d or a1b2cd34 in either byte order, got bytes ${got}; this is not a pcap file`,
    );
  }
  if (length < FILE_HEADER_BYTES) {
    throw new PcapError(
      name,
      `expected a file header of ${FILE_HEADER_BYTES} bytes, got ${length}; the file is truncated, copy it again`,
    );
  }
  const major = view.getUint16(4, littleEndian);
  if (major !== 2) {
    throw new PcapError(name, `expected format version 2.x, got ${major}; rewrite it with tcpdump`);
  }
  // The upper half of this word holds the FCS length and reserved bits.
  const linkType = view.getUint32(20, littleEndian) & 0xffff;
  if (linkType !== LINK_TYPE_ETHERNET) {
    throw new PcapError(
      name,
      `expected link type 1 (Ethernet), got ${linkType}; capture on an Ethernet interface`,
    );
  }
  const magic = view.getUint32(0, littleEndian);
  return {
    littleEndian,
    nanosecond: magic === MAGIC_NANOSECONDS,
    recordHeaderBytes: magic === MAGIC_MODIFIED ? MODIFIED_HEADER_BYTES : RECORD_HEADER_BYTES,
  };
}
