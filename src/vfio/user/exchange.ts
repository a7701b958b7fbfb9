// The transport seam of the client: one call sends a message and brings back the next one. Over
// a socket that is a single call of the native shim. A caller that steps the server on the same
// thread supplies an Exchange of its own, since a blocking call to oneself never returns.

import { statSync } from 'node:fs';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';

/** How a client's messages reach its server and the replies come back. Not used after `close`, or after `request` returned an error. */
export interface Exchange {
  /**
   * Sends one message and receives one.
   * @param send holds the message in its first `sendLength` bytes
   * @param sendFds first `sendFdCount` words: fds that go along; they stay the caller's
   * @param recv where the received message goes
   * @param recvFds [0] becomes the number of fds that came, [1..] they, now the caller's to close
   * @returns bytes received, or -errno: ETIMEDOUT for the deadline, ECONNRESET for the end of the stream, EMSGSIZE for a
   *   message or fds too large, EPROTO for what is no message, EPIPE where the peer is gone. After an error the stream is out of step and no fd is left open.
   */
  request(
    send: Uint8Array,
    sendLength: number,
    sendFds: Int32Array | null,
    sendFdCount: number,
    recv: Uint8Array,
    recvFds: Int32Array,
    timeoutMs: number,
  ): number;
  /** Hangs up. Called once. */
  close(): void;
}

/** Bytes a UNIX socket's path may have (sockaddr_un.sun_path less its NUL). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** An Exchange over a connected socket, whose fd it owns. */
export class SocketExchange implements Exchange {
  private readonly fd: number;
  private readonly shim = native();

  constructor(fd: number) {
    this.fd = fd;
  }

  request(
    send: Uint8Array,
    sendLength: number,
    sendFds: Int32Array | null,
    sendFdCount: number,
    recv: Uint8Array,
    recvFds: Int32Array,
    timeoutMs: number,
  ): number {
    return this.shim.request(
      this.fd,
      send,
      sendLength,
      sendFds,
      sendFdCount,
      recv,
      recvFds,
      timeoutMs,
    );
  }

  close(): void {
    this.shim.close(this.fd);
  }
}

/**
 * Connects to a vfio-user server.
 * @param path of its socket
 * @throws VfioError that says what to do where there is no server, no permission, or the path is too long
 */
export function connectSocket(path: string, timeoutMs: number): SocketExchange {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new VfioError(
      'connect',
      ERRNO.ENAMETOOLONG,
      path,
      `socket path: expected at most ${MAX_SOCKET_PATH_BYTES} bytes, got ${bytes}; use a shorter directory`,
    );
  }
  const fd = native().unixConnect(path, timeoutMs);
  if (fd < 0) throw new VfioError('connect', -fd, path, adviceFor(-fd, path));
  return new SocketExchange(fd);
}

function adviceFor(errno: number, path: string): string {
  switch (errno) {
    case ERRNO.ECONNREFUSED:
      // connect(2) says the same of a file of another kind as of a socket that nobody listens on.
      if (statSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
        return 'expected a socket, got another kind of file';
      }
      return `no vfio-user server at ${path}; start \`ixy model\``;
    case ERRNO.ENOENT:
      return `no vfio-user server at ${path}; start \`ixy model\``;
    case ERRNO.EACCES:
      return 'the socket belongs to the user who started the server; run as that user, or let this one write to it';
    case ERRNO.ETIMEDOUT:
      return 'the server does not accept connections; it may be stopped, or serving somebody else';
    default:
      return '';
  }
}
