// Classic pcap files with Ethernet frames: a synchronous streaming reader, which reads captures in memory too, and a
// buffered writer.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { VfioError } from './errors.ts';
import {
  FILE_HEADER_BYTES,
  LINK_TYPE_ETHERNET,
  MAGIC_MICROSECONDS,
  MAGIC_NANOSECONDS,
  MAX_CAPTURED,
  PcapError,
  type PcapFormat,
  type PcapFrame,
  parseFileHeader,
  RECORD_HEADER_BYTES,
  viewOf,
} from './pcap-format.ts';

export { PcapError, type PcapFrame } from './pcap-format.ts';

function fileError(operation: string, error: unknown, path: string): VfioError {
  const errno = (error as NodeJS.ErrnoException).errno;
  if (errno === undefined) return new VfioError(operation, 0, path, String(error));
  return new VfioError(operation, Math.abs(errno), path);
}

function openFile(path: string, flags: 'r' | 'w'): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw fileError(flags === 'r' ? 'open pcap file' : 'create pcap file', error, path);
  }
}

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

/** Options of a PcapWriter. */
export interface PcapWriterOptions {
  /** Writes time in nanoseconds instead of microseconds. */
  readonly nanosecond?: boolean;
  /** Bytes kept of each frame, 1..262,144; the default is all. */
  readonly snaplen?: number;
  /**
   * Takes the bytes instead of a file that is made at `path`, which only names it in errors then.
   * Called with `length` bytes at `from`; returns how many it took, 0 where nobody wants the rest; throws as
   * fs.writeSync does.
   */
  readonly write?: (bytes: Uint8Array, from: number, length: number) => number;
}

/** Writes a capture, little-endian, through a buffer of 1 MiB. */
export class PcapWriter {
  readonly path: string;
  /** Frames taken, written out or still buffered. */
  frames = 0;
  /** Of these, the frames that the kernel has. */
  written = 0;
  private readonly fd: number;
  private open = true;
  private readonly put: (bytes: Uint8Array, from: number, length: number) => number;
  private readonly nanosecond: boolean;
  private readonly snaplen: number;
  private readonly bytes = new Uint8Array(1 << 20);
  private readonly view = viewOf(this.bytes);
  private used = 0;
  private failure: VfioError | null = null;

  /**
   * Creates the file, or empties it.
   * @throws RangeError for a wrong snaplen; VfioError with the errno where it cannot be created
   */
  constructor(path: string, options: PcapWriterOptions = {}) {
    const snaplen = options.snaplen ?? MAX_CAPTURED;
    if (!Number.isInteger(snaplen) || snaplen < 1 || snaplen > MAX_CAPTURED) {
      throw new RangeError(`pcap snaplen: expected 1 to ${MAX_CAPTURED} bytes, got ${snaplen}`);
    }
    this.path = path;
    this.snaplen = snaplen;
    this.nanosecond = options.nanosecond ?? false;
    const fd = options.write === undefined ? openFile(path, 'w') : -1;
    this.fd = fd;
    this.put = options.write ?? ((bytes, from, length) => writeSync(fd, bytes, from, length));
    const { view } = this;
    view.setUint32(0, this.nanosecond ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
    view.setUint16(4, 2, true);
    view.setUint16(6, 4, true);
    view.setUint32(16, snaplen, true);
    view.setUint32(20, LINK_TYPE_ETHERNET, true);
    this.used = FILE_HEADER_BYTES;
  }

  /**
   * Appends one frame; it reaches the disk when the buffer is full, at flush or at close.
   * @param data the frame without CRC, cut here at the snaplen; shared memory is fine
   * @param seconds since 1970, 0..2**32-1
   * @param nanoseconds 0..999,999,999
   * @param originalLength bytes on the wire, where `data` holds fewer
   * @throws VfioError with path and errno where the disk refused this or earlier frames
   */
  append(
    data: Uint8Array,
    seconds: number,
    nanoseconds: number,
    originalLength = data.length,
  ): void {
    this.assertOpen();
    const captured = Math.min(data.length, this.snaplen);
    if (this.used + RECORD_HEADER_BYTES + captured > this.bytes.length) this.flush();
    const { view, used } = this;
    view.setUint32(used, seconds, true);
    view.setUint32(used + 4, this.nanosecond ? nanoseconds : Math.floor(nanoseconds / 1000), true);
    view.setUint32(used + 8, captured, true);
    view.setUint32(used + 12, originalLength, true);
    this.bytes.set(
      captured === data.length ? data : data.subarray(0, captured),
      used + RECORD_HEADER_BYTES,
    );
    this.used = used + RECORD_HEADER_BYTES + captured;
    this.frames++;
  }

  /**
   * Hands everything buffered to the kernel.
   * @throws VfioError with path and errno; the same one again at every later call but close
   */
  flush(): void {
    this.assertOpen();
    let done = 0;
    while (done < this.used) {
      let taken: number;
      try {
        taken = this.put(this.bytes, done, this.used - done);
      } catch (error) {
        this.failure = fileError('write pcap file', error, this.path);
        throw this.failure;
      }
      if (taken === 0) break;
      done += taken;
    }
    if (done === this.used) this.written = this.frames;
    this.used = 0;
  }

  /**
   * Flushes and closes; the file is closed even where this throws. Idempotent.
   * @throws VfioError where the rest could not be written and no earlier call has said so
   */
  close(): void {
    if (!this.open) return;
    try {
      if (this.failure === null) this.flush();
    } finally {
      this.open = false;
      try {
        if (this.fd >= 0) closeSync(this.fd);
      } catch (error) {
        // A network file system may report a full disk only here.
        this.failure ??= fileError('close pcap file', error, this.path);
      }
    }
    if (this.failure?.operation === 'close pcap file') throw this.failure;
  }

  private assertOpen(): void {
    if (this.failure !== null) throw this.failure;
    if (!this.open) {
      throw new TypeError(`pcap file ${this.path}: expected an open writer, got a closed one`);
    }
  }
}
