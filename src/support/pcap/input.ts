// What a capture is read from: a file, a FIFO, a pipe, or standard input. It is opened once, because what a pipe has
// given does not come a second time, and no call blocks, because a blocked thread sees no signal. The flags of a
// descriptor that other processes share are left alone: poll(2) tells whether a read would block.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { POLL } from '../linux.ts';
import { native } from '../native.ts';
import { fileError } from './format.ts';

const STDIN_FD = 0;

/** Where a reader's bytes come from. */
export interface ByteSource {
  /**
   * Puts bytes into `into` from `at` on.
   * @returns how many; 0 at the end; null where the writer has not written them yet
   * @throws VfioError
   */
  read(into: Uint8Array, at: number): number | null;
  /** Waits, at most so long, until `read` has something to say. */
  wait(timeoutMs: number): void;
  close(): void;
}

/** A capture that is open for reading. */
export class CaptureInput implements ByteSource {
  readonly path: string;
  readonly fd: number;
  /** True for a file, which can be read again from its start; a pipe gives its bytes once. */
  readonly regular: boolean;
  private position = 0;
  private owned: boolean;
  private readonly entry: Int32Array;

  /**
   * Opens the capture. A FIFO opens at once; its writer may come later.
   * @param path `-` is standard input
   * @param fd an open descriptor, which stays the caller's to close; `path` only names it in errors then
   * @throws VfioError with the errno
   */
  constructor(path: string, fd?: number) {
    this.path = path;
    this.owned = fd === undefined && path !== '-';
    try {
      const { O_RDONLY, O_NONBLOCK } = constants;
      this.fd = fd ?? (path === '-' ? STDIN_FD : openSync(path, O_RDONLY | O_NONBLOCK));
      this.regular = fstatSync(this.fd).isFile();
    } catch (error) {
      throw fileError('open pcap file', error, path);
    }
    this.entry = Int32Array.of(this.fd, POLL.IN, 0);
  }

  read(into: Uint8Array, at: number): number | null {
    try {
      const { fd, regular, position } = this;
      if (!regular && native().poll(this.entry, 1, 0) === 0) return null;
      const got = readSync(fd, into, at, into.length - at, regular ? position : null);
      this.position += got;
      return got;
    } catch (error) {
      // Somebody else who reads from the same pipe was faster.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return null;
      throw fileError('read pcap file', error, this.path);
    }
  }

  wait(timeoutMs: number): void {
    native().poll(this.entry, 1, timeoutMs);
  }

  /** Starts again at the first byte of a regular file. */
  rewind(): void {
    this.position = 0;
  }

  /** Idempotent; standard input and a descriptor that was handed over stay open. */
  close(): void {
    if (this.owned) closeSync(this.fd);
    this.owned = false;
  }
}
