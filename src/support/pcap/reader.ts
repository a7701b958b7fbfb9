// A synchronous streaming reader of classic pcap files with Ethernet frames, which reads captures in memory too.

import { VfioError } from '../errors.ts';
import { ERRNO } from '../linux.ts';
import {
  FILE_HEADER_BYTES,
  MAX_CAPTURED,
  PcapError,
  type PcapFormat,
  type PcapFrame,
  parseFileHeader,
  viewOf,
} from './format.ts';
import { type ByteSource, CaptureInput } from './input.ts';

/** How long `next` waits for a writer that is silent. */
const SILENCE_MS = 10_000;
/** One wait, so that a thread that is to end is not held up. */
const TURN_MS = 50;

/** Reads a capture frame by frame, holding 1 MiB of it. */
export class PcapReader {
  readonly path: string;
  private readonly source: ByteSource;
  private open = true;
  private readonly bytes = new Uint8Array(1 << 20);
  private readonly view = viewOf(this.bytes);
  private start = 0;
  private end = 0;
  private records = 0;
  /** null as long as a writer has not written the file header. */
  private format: PcapFormat | null = null;

  /**
   * Opens the capture and checks its header. The header of a FIFO or pipe whose writer has not come yet is checked
   * when the first frame is read.
   * @param path `-` is standard input
   * @param source takes the place of the file, and is closed with the reader; `path` only names it in errors then
   * @throws VfioError with the errno where it cannot be opened or read; PcapError for what it holds
   */
  constructor(path: string, source: ByteSource = new CaptureInput(path)) {
    this.path = path;
    this.source = source;
    try {
      this.readHeader();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Reads the next frame. From a FIFO or pipe it waits for a writer, up to 10 seconds without a frame.
   * @returns the frame, or null at the end of the file or after close
   * @throws PcapError where the file is damaged or ends inside a record; VfioError where reading fails, with
   *   ETIMEDOUT where the writer stays silent
   */
  next(): PcapFrame | null {
    for (let waitedMs = 0; waitedMs <= SILENCE_MS; waitedMs += TURN_MS) {
      const frame = this.poll();
      if (frame !== undefined) return frame;
      this.source.wait(TURN_MS);
    }
    throw new VfioError(
      'read pcap file',
      ERRNO.ETIMEDOUT,
      this.path,
      `expected a frame within ${SILENCE_MS} ms, got none; does its writer run? poll() waits for none`,
    );
  }

  /**
   * Reads the next frame if it is there, and never waits.
   * @returns the frame; null at the end or after close; undefined where its writer has not written it yet
   * @throws as `next`
   */
  poll(): PcapFrame | null | undefined {
    if (!this.open) return null;
    this.format ?? this.readHeader();
    const { view, format } = this;
    if (format === null) return undefined;
    const { littleEndian, recordHeaderBytes } = format;
    const header = this.fill(recordHeaderBytes);
    if (header === null) return undefined;
    if (header === 0) return null;
    if (header < recordHeaderBytes) {
      throw this.truncated('record header', recordHeaderBytes, header);
    }
    const captured = view.getUint32(this.start + 8, littleEndian);
    if (captured > MAX_CAPTURED) {
      throw this.damaged(
        `expected at most ${MAX_CAPTURED} captured bytes, got ${captured}; the file is damaged`,
      );
    }
    const got = this.fill(recordHeaderBytes + captured);
    if (got === null) return undefined;
    if (got < recordHeaderBytes + captured) {
      throw this.truncated('data', captured, got - recordHeaderBytes);
    }
    const at = this.start;
    const fraction = view.getUint32(at + 4, littleEndian);
    const data = at + recordHeaderBytes;
    this.start = data + captured;
    this.records++;
    return {
      seconds: view.getUint32(at, littleEndian),
      nanoseconds: format.nanosecond ? fraction : fraction * 1000,
      data: this.bytes.slice(data, this.start),
      originalLength: view.getUint32(at + 12, littleEndian),
    };
  }

  /** Idempotent. */
  close(): void {
    if (this.open) this.source.close();
    this.open = false;
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  private readHeader(): void {
    const length = this.fill(FILE_HEADER_BYTES);
    if (length === null) return;
    this.format = parseFileHeader(this.bytes, length, this.path);
    this.start = FILE_HEADER_BYTES;
  }

  /**
   * Makes `need` bytes available at `start`, as far as the capture has them.
   * @returns bytes there are, at most `need`; null where more may come
   */
  private fill(need: number): number | null {
    if (this.end - this.start < need && this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    while (this.end - this.start < need) {
      const got = this.source.read(this.bytes, this.end);
      if (got === null) return null;
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
  const reader = new PcapReader(name, {
    read: (into, at) => {
      const some = bytes.subarray(from, from + into.length - at);
      into.set(some, at);
      from += some.length;
      return some.length;
    },
    wait: () => {},
    close: () => {},
  });
  const frames: PcapFrame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  return frames;
}
