// The socket file of one VF: made with mode 0600; one that a dead model left behind is replaced,
// one that somebody accepts on is not; removed at the end if it is still ours.

import { lstatSync, type Stats, unlinkSync } from 'node:fs';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { type Log, silentLog } from '../../support/log.ts';
import { native } from '../../support/native.ts';

/** Bytes a UNIX socket's path may have (sockaddr_un.sun_path less its NUL). */
const MAX_PATH_BYTES = 107;
const BACKLOG = 8;
const PROBE_MS = 1000;

const ADVICE: Readonly<Record<number, string>> = {
  [ERRNO.ENOENT]: 'its directory does not exist',
  [ERRNO.ENOTDIR]: 'expected a directory to put sockets into, got a file',
  [ERRNO.EACCES]: 'this user may not write to its directory; use another one',
};

/** A listening socket. Owns fd and file. */
export class SocketFile {
  readonly path: string;
  readonly fd: number;
  private readonly inode: number;
  private readonly log: Log;
  private closed = false;

  /**
   * Listens at `path`, whose directory exists.
   * @throws VfioError: path too long, in use by a live server, taken by something that is no socket, no permission
   */
  constructor(path: string, log = silentLog) {
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_PATH_BYTES) {
      const detail = `socket path: expected at most ${MAX_PATH_BYTES} bytes, got ${bytes}; use a shorter directory`;
      throw new VfioError('listen', ERRNO.ENAMETOOLONG, path, detail);
    }
    this.path = path;
    this.log = log;
    this.fd = listen(path);
    this.inode = statOf(path)?.ino ?? -1;
  }

  /** @returns a connected socket, or -1 where nobody waits */
  accept(): number {
    return Math.max(-1, native().accept(this.fd));
  }

  /** Stops listening and removes the file; warns where that fails, since nobody could do better. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    native().close(this.fd);
    try {
      if (statOf(this.path)?.ino === this.inode) unlinkSync(this.path);
    } catch (error) {
      this.log.warn(`${this.path}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function listen(path: string): number {
  let fd = native().unixListen(path, BACKLOG);
  if (fd === -ERRNO.EADDRINUSE) {
    removeStale(path);
    fd = native().unixListen(path, BACKLOG);
  }
  if (fd >= 0) return fd;
  throw new VfioError('listen', -fd, path, ADVICE[-fd]);
}

function removeStale(path: string): void {
  if (statOf(path)?.isSocket() === false) {
    const detail = 'expected a socket or nothing, got another kind of file; remove it yourself';
    throw new VfioError('listen', ERRNO.EEXIST, path, detail);
  }
  const fd = native().unixConnect(path, PROBE_MS);
  if (fd >= 0) native().close(fd);
  else if (fd === -ERRNO.ENOENT) return;
  else if (fd === -ERRNO.ECONNREFUSED) {
    unlinkSync(path);
    return;
  }
  const detail =
    'another server accepts connections on it; stop that one, or use another directory';
  throw new VfioError('listen', ERRNO.EADDRINUSE, path, detail);
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
