// A served model and clients on one thread: a client's request steps server and NIC until the
// reply is there. No sleeps; a client that gets no reply within a number of steps fails.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processArena } from '../../../src/memory/arena.ts';
import type { ServedModelOptions } from '../../../src/model/server/index.ts';
import { type ServedModel, serveModel } from '../../../src/model/server/index.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { native } from '../../../src/support/native.ts';
import type { Exchange } from '../../../src/vfio/user/exchange.ts';

const STEPS = 2000;
const EAGAIN = 11;
const ECONNRESET = 104;
const ETIMEDOUT = 110;
const MFD_ALLOW_SEALING = 2;

export interface Fixture extends ServedModel {
  readonly directory: string;
  path(port: number, vf: number): string;
  /** Serves everybody once. */
  serve(): void;
  dispose(): void;
}

/** Two ports with one VF each unless told otherwise. */
export function makeFixture(options: Partial<ServedModelOptions> = {}): Fixture {
  const directory = mkdtempSync(join(tmpdir(), 'ixy-server-'));
  const model = serveModel({
    arena: processArena(),
    ports: [{ vfs: 1 }, { vfs: 1 }],
    clock: systemClock,
    directory,
    ...options,
  });
  return {
    ...model,
    directory,
    path: (port, vf) => join(directory, `p${port}v${vf}.sock`),
    serve: () => void model.server.serve(0),
    dispose: () => {
      model.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** An Exchange for VfioUserDevice that makes the model answer. */
export class SteppedExchange implements Exchange {
  readonly fd: number;
  private readonly model: ServedModel;

  constructor(model: ServedModel, path: string) {
    this.model = model;
    this.fd = native().unixConnect(path);
    if (this.fd < 0) throw new Error(`connect ${path}: ${this.fd}`);
    native().setNonBlocking(this.fd, true);
  }

  request(
    send: Uint8Array,
    sendLength: number,
    sendFds: Int32Array | null,
    sendFdCount: number,
    recv: Uint8Array,
    recvFds: Int32Array,
  ): number {
    const sent = native().sendMsg(this.fd, send, 0, sendLength, sendFds, sendFdCount);
    if (sent !== sendLength) return Math.min(sent, -1);
    return this.receive(recv, recvFds);
  }

  /** The next message that the server sends. */
  receive(recv: Uint8Array, recvFds: Int32Array): number {
    const arrived = new Int32Array(16);
    let have = 0;
    recvFds[0] = 0;
    for (let i = 0; i < STEPS; i++) {
      const need = have < 16 ? 16 : new DataView(recv.buffer, recv.byteOffset).getUint32(4, true);
      if (have === need) return have;
      const result = native().recvMsg(this.fd, recv, have, need - have, arrived);
      if (result === 0) return -ECONNRESET;
      if (result > 0) {
        have += result;
        for (let k = 1; k <= arrived[0]; k++) recvFds[++recvFds[0]] = arrived[k];
        continue;
      }
      if (result !== -EAGAIN) return result;
      this.model.server.serve(0);
      this.model.nic.step(64);
    }
    return -ETIMEDOUT;
  }

  close(): void {
    native().close(this.fd);
  }
}

/** What a raw client got. */
export interface Answer {
  readonly id: number;
  readonly command: number;
  readonly flags: number;
  readonly errno: number;
  /** Payload bytes. */
  readonly payload: Buffer;
  /** Now the caller's. */
  readonly fds: number[];
}

/** A client that sends what it likes. */
export class RawClient {
  private readonly exchange: SteppedExchange;
  private id = 0;

  constructor(model: ServedModel, path: string) {
    this.exchange = new SteppedExchange(model, path);
  }

  get fd(): number {
    return this.exchange.fd;
  }

  /** Sends bytes as they are. @returns bytes taken by the socket, or -errno */
  sendBytes(bytes: Uint8Array, fds: readonly number[] = []): number {
    const list = fds.length === 0 ? null : Int32Array.from(fds);
    return native().sendMsg(this.fd, bytes, 0, bytes.length, list, fds.length);
  }

  /** Sends a command. @returns its message id */
  send(command: number, payload: Uint8Array = new Uint8Array(0), more: SendOptions = {}): number {
    this.id = more.id ?? (this.id + 1) & 0xffff;
    const bytes = message(this.id, command, payload, more.flags ?? 0);
    if (this.sendBytes(bytes, more.fds ?? []) !== bytes.length) throw new Error('send failed');
    return this.id;
  }

  /** The next reply, or the string 'hung up', or 'silent' where none comes. */
  answer(): Answer | 'hung up' | 'silent' {
    const bytes = Buffer.alloc(20_000);
    const fds = new Int32Array(64);
    const length = this.exchange.receive(bytes, fds);
    if (length === -ECONNRESET || length === -32) return 'hung up';
    if (length === -ETIMEDOUT) return 'silent';
    if (length < 0) throw new Error(`receive: ${length}`);
    return {
      id: bytes.readUInt16LE(0),
      command: bytes.readUInt16LE(2),
      flags: bytes.readUInt32LE(8),
      errno: bytes.readUInt32LE(12),
      payload: bytes.subarray(16, length),
      fds: [...fds.subarray(1, 1 + fds[0])],
    };
  }

  /** A command and its reply. */
  ask(command: number, payload?: Uint8Array, more?: SendOptions): Answer {
    this.send(command, payload, more);
    const answer = this.answer();
    if (typeof answer === 'string') throw new Error(`command ${command}: server ${answer}`);
    return answer;
  }

  /** errno of the reply to a command, 0 for a good one; fds that come are closed. */
  errno(command: number, payload?: Uint8Array, more?: SendOptions): number {
    const answer = this.ask(command, payload, more);
    for (const fd of answer.fds) native().close(fd);
    return answer.flags === 0x21 ? answer.errno : 0;
  }

  /** VERSION 0.0 without capabilities: 1. */
  hello(): Answer {
    return this.ask(1, words(0));
  }

  close(): void {
    this.exchange.close();
  }
}

export interface SendOptions {
  readonly id?: number;
  readonly flags?: number;
  readonly fds?: readonly number[];
}

/** A message with a header that fits. */
export function message(
  id: number,
  command: number,
  payload: Uint8Array,
  flags = 0,
  size = 16 + payload.length,
): Buffer {
  const bytes = Buffer.alloc(16 + payload.length);
  bytes.writeUInt16LE(id, 0);
  bytes.writeUInt16LE(command, 2);
  bytes.writeUInt32LE(size, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.set(payload, 16);
  return bytes;
}

/** 32-bit words; a bigint makes two. */
export function words(...values: (number | bigint)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(typeof value === 'bigint' ? 8 : 4);
      if (typeof value === 'bigint') bytes.writeBigUInt64LE(value);
      else bytes.writeUInt32LE(value);
      return bytes;
    }),
  );
}

/** A memfd of `bytes`; the caller's to close. */
export function memfd(bytes: number): number {
  const fd = native().memfdCreate('test', MFD_ALLOW_SEALING);
  if (fd < 0 || native().ftruncate(fd, bytes) < 0) throw new Error('memfd');
  return fd;
}

/** Open fds of this process. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}
