// A buffered writer of classic pcap files with Ethernet frames.

import { closeSync, writeSync } from 'node:fs';
import type { VfioError } from '../errors.ts';
import {
  FILE_HEADER_BYTES,
  fileError,
  LINK_TYPE_ETHERNET,
  MAGIC_MICROSECONDS,
  MAGIC_NANOSECONDS,
  MAX_CAPTURED,
  openFile,
  RECORD_HEADER_BYTES,
  viewOf,
} from './format.ts';

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
