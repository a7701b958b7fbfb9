// A buffered writer of classic pcap files with Ethernet frames.

import { VfioError } from '../errors.ts';
import { ERRNO } from '../linux.ts';
import {
  FILE_HEADER_BYTES,
  fileError,
  LINK_TYPE_ETHERNET,
  MAGIC_MICROSECONDS,
  MAGIC_NANOSECONDS,
  MAX_CAPTURED,
  RECORD_HEADER_BYTES,
  viewOf,
} from './format.ts';
import { closeFile, createFile, Output } from './output.ts';

/** How long a reader of a FIFO may take for what one flush writes. */
const FLUSH_MS = 500;
const WHAT = 'pcap file';

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
  private flushEndMs = 0;

  /**
   * Creates the file, or empties it. A FIFO has to have its reader.
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
    this.fd = options.write === undefined ? createFile(path, WHAT) : -1;
    this.put = options.write ?? this.putInto(this.fd);
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
    this.flushEndMs = performance.now() + FLUSH_MS;
    let done = 0;
    while (done < this.used) {
      let taken: number;
      try {
        taken = this.put(this.bytes, done, this.used - done);
      } catch (error) {
        this.failure = fileError(`write ${WHAT}`, error, this.path);
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
        if (this.fd >= 0) closeFile(this.fd, this.path, WHAT);
      } catch (error) {
        this.failure ??= error as VfioError;
      }
    }
    if (this.failure?.operation === `close ${WHAT}`) throw this.failure;
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What puts bytes into a file, and fails where the reader of a FIFO has stopped reading. */
  private putInto(fd: number): typeof this.put {
    const output = new Output(fd, () => performance.now() < this.flushEndMs);
    return (bytes, from, length) => {
      const taken = output.write(bytes, from, length);
      if (taken > 0) return taken;
      const detail = `expected its reader to take ${length} bytes within ${FLUSH_MS} ms; does it still read?`;
      throw new VfioError(`write ${WHAT}`, ERRNO.ETIMEDOUT, this.path, detail);
    };
  }

  private assertOpen(): void {
    if (this.failure !== null) throw this.failure;
    if (!this.open) {
      throw new TypeError(`pcap file ${this.path}: expected an open writer, got a closed one`);
    }
  }
}
