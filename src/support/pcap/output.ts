// What a capture is written to: a file, a FIFO, or standard output. The writing thread never blocks for long, whatever
// reads the other end: it waits for room in turns and asks in between whether to go on. Flags of a descriptor are left
// alone, since other processes share them.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { VfioError } from '../errors.ts';
import { ERRNO, POLL } from '../linux.ts';
import { native } from '../native.ts';
import { fileError } from './format.ts';

/** A pipe without a reader; a socket or terminal without its other end. */
const GONE = POLL.ERR | POLL.HUP;
const TURN_MS = 50;
/** What a pipe or terminal that has room takes without blocking: PIPE_BUF of Linux. */
const PIECE_BYTES = 4096;

/**
 * Creates or empties a file, for an Output.
 * @param what what errors call it
 * @throws VfioError with the errno
 */
export function createFile(path: string, what = 'capture file'): number {
  // O_NONBLOCK: a FIFO that nobody reads fails at once instead of waiting for a reader.
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o666);
  } catch (error) {
    const failure = fileError(`create ${what}`, error, path);
    if (failure.errno !== ERRNO.ENXIO) throw failure;
    const advice = 'nobody reads this FIFO; start its reader first';
    throw new VfioError(failure.operation, failure.errno, path, advice);
  }
}

/**
 * Closes what `createFile` opened.
 * @throws VfioError with the errno: a network file system may report a full disk only here
 */
export function closeFile(fd: number, path: string, what = 'capture file'): void {
  try {
    closeSync(fd);
  } catch (error) {
    throw fileError(`close ${what}`, error, path);
  }
}

/** A descriptor that frames are written to. */
export class Output {
  private readonly fd: number;
  /** False where the other end may keep the writer waiting. */
  private readonly regular: boolean;
  private readonly proceed: () => boolean;
  private readonly entry: Int32Array;

  /** @param proceed asked before each piece and after each 50 ms without room; false: give up */
  constructor(fd: number, proceed: () => boolean) {
    this.fd = fd;
    this.regular = fstatSync(fd).isFile();
    this.proceed = proceed;
    this.entry = Int32Array.of(fd, POLL.OUT, 0);
  }

  /**
   * Writes a piece of bytes[from, from + length).
   * @returns how many bytes; 0 where `proceed` said no
   * @throws what fs.writeSync throws: ENOSPC, EPIPE
   */
  write(bytes: Uint8Array, from: number, length: number): number {
    if (this.regular) return writeSync(this.fd, bytes, from, length);
    this.entry[1] = POLL.OUT;
    while (this.proceed()) {
      if (native().poll(this.entry, 1, TURN_MS) <= 0) continue;
      try {
        return writeSync(this.fd, bytes, from, Math.min(length, PIECE_BYTES));
      } catch (error) {
        // EAGAIN: somebody else has filled it meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
    }
    return 0;
  }

  /** True where nobody reads the other end any more. */
  get abandoned(): boolean {
    if (this.regular) return false;
    this.entry[1] = 0;
    return native().poll(this.entry, 1, 0) > 0 && (this.entry[2] & GONE) !== 0;
  }
}
