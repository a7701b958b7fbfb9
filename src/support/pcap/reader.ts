// A synchronous streaming reader of classic pcap files with Ethernet frames, which reads captures in memory too.

import { closeSync, readSync } from 'node:fs';
import {
  FILE_HEADER_BYTES,
  fileError,
  MAX_CAPTURED,
  openFile,
  PcapError,
  type PcapFormat,
  type PcapFrame,
  parseFileHeader,
  RECORD_HEADER_BYTES,
  viewOf,
} from './format.ts';

/** Puts bytes into `into` from `at` on. @returns how many, 0 at the end; throws as fs.readSync does */
type ReadBytes = (into: Uint8Array, at: number) => number;

/** Reads a capture frame by frame, holding 1 MiB of it. */
export class PcapReader {
  readonly path: string;
  private fd = -1;
  private open = true;
  private readonly read: ReadBytes;
  private readonly bytes = new Uint8Array(1 << 20);
  private readonly view = viewOf(this.bytes);
  private start = 0;
  private end = 0;
  private records = 0;
  private readonly format: PcapFormat;

  /**
   * Opens the file and checks its header.
   * @param read takes the place of the file; `path` only names it in errors then
   * @throws VfioError with the errno where it cannot be opened or read; PcapError for what it holds
   */
  constructor(path: string, read?: ReadBytes) {
    this.path = path;
    if (read === undefined) this.fd = openFile(path, 'r');
    this.read = read ?? ((into, at) => readSync(this.fd, into, at, into.length - at, null));
    try {
      const length = this.fill(FILE_HEADER_BYTES);
      this.format = parseFileHeader(this.bytes, length, path);
      this.start = FILE_HEADER_BYTES;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Reads the next frame.
   * @returns the frame, or null at the end of the file or after close
   * @throws PcapError where the file is damaged or ends inside a record; VfioError where reading fails
   */
  next(): PcapFrame | null {
    if (!this.open) return null;
    const header = this.fill(RECORD_HEADER_BYTES);
    if (header === 0) return null;
    if (header < RECORD_HEADER_BYTES) {
      throw this.truncated('record header', RECORD_HEADER_BYTES, header);
    }
    const { view, format } = this;
    const captured = view.getUint32(this.start + 8, format.littleEndian);
    if (captured > MAX_CAPTURED) {
      throw this.damaged(
        `expected at most ${MAX_CAPTURED} captured bytes, got ${captured}; the file is damaged`,
      );
    }
    const got = this.fill(RECORD_HEADER_BYTES + captured) - RECORD_HEADER_BYTES;
    if (got < captured) throw this.truncated('data', captured, got);
    const at = this.start;
    const fraction = view.getUint32(at + 4, format.littleEndian);
    const data = at + RECORD_HEADER_BYTES;
    this.start = data + captured;
    this.records++;
    return {
      seconds: view.getUint32(at, format.littleEndian),
      nanoseconds: format.nanosecond ? fraction : fraction * 1000,
      data: this.bytes.slice(data, this.start),
      originalLength: view.getUint32(at + 12, format.littleEndian),
    };
  }

  /** Idempotent. */
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
    this.open = false;
  }

  /** Makes `need` bytes available at `start`, as far as the file has them. @returns bytes there are, at most `need` */
  private fill(need: number): number {
    if (this.end - this.start < need && this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    while (this.end - this.start < need) {
      let got: number;
      try {
        got = this.read(this.bytes, this.end);
      } catch (error) {
        throw fileError('read pcap file', error, this.path);
      }
      if (got === 0) break;
      this.end += got;
    }
    return Math.min(need, this.end - this.start);
  }

  /** The error for a file that ends inside the next record. */
  private truncated(what: string, expected: number, got: number): PcapError {
    return this.damaged(
      `expected ${expected} bytes of ${what}, got ${got}; the file is truncated, frames before this one are good`,
    );
  }

  private damaged(detail: string): PcapError {
    return new PcapError(this.path, `record ${this.records}: ${detail}`);
  }
}

/**
 * Parses a whole capture.
 * @param bytes the file
 * @param name what errors call it
 * @throws PcapError where the bytes are no complete classic Ethernet pcap
 */
export function parsePcap(bytes: Uint8Array, name: string): PcapFrame[] {
  let from = 0;
  const reader = new PcapReader(name, (into, at) => {
    const some = bytes.subarray(from, from + into.length - at);
    into.set(some, at);
    from += some.length;
    return some.length;
  });
  const frames: PcapFrame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  return frames;
}
