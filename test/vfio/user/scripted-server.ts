// A vfio-user server for tests of the client, in the client's own thread: it answers every request
// at once, well, unless the test twists the answer. BAR0 is a sealed memfd whose pages 1 and 2 are
// shared. It keeps what it was sent.

import { readdirSync } from 'node:fs';
import type { Arena } from '../../../src/memory/arena.ts';
import { VfioError } from '../../../src/support/errors.ts';
import { native } from '../../../src/support/native.ts';
import type { Exchange } from '../../../src/vfio/user/exchange.ts';
import { hex } from './bytes.ts';

/** A request as it came; fds are numbers of the client's. */
export interface Request {
  readonly command: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly fds: readonly number[];
}

/** What goes back: bytes and fds (given away), or a negative errno of the transport. */
export type Answer = { bytes: Uint8Array; fds: number[] } | number;

const SHRINK = 0x2;
const MFD_ALLOW_SEALING = 0x2;

/** Makes the file behind BAR0. @returns its fd, the caller's */
export function barFile(sizeBytes = 0x14000, seals = SHRINK): number {
  const fd = native().memfdCreate('test-bar', MFD_ALLOW_SEALING);
  native().ftruncate(fd, sizeBytes);
  if (seals !== 0) native().addSeals(fd, seals);
  return fd;
}

/** How many fds this process has open. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Where the next window would lie: the same as before, unless one leaked. */
export function nextWindow(arena: Arena): number {
  const window = arena.reserveWindow(0x4000);
  arena.releaseWindow(window);
  return window;
}

/** Runs what has to throw a VfioError, and gives that back. */
export function thrownBy(run: () => unknown): VfioError {
  try {
    run();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error('expected a VfioError, nothing was thrown');
}

/** See the head of this file. */
export class ScriptedServer implements Exchange {
  readonly requests: Request[] = [];
  closed = 0;
  /** Changes an answer, or replaces it. */
  twist: (request: Request, answer: { bytes: Uint8Array; fds: number[] }) => Answer = (_, a) => a;
  registers = new Map<number, number>();
  version = '{"capabilities":{"max_msg_fds":16}}\0';
  deviceFlags = 3;
  regions = 9;
  irqs = 5;
  vectors = 3;
  /** Interrupts of ERR and of REQ, each. */
  eventIrqs = 0;
  configBytes = 256;
  barBytes = 0x4000;
  readonly barFd: number;

  constructor(barFd = -1) {
    this.barFd = barFd;
  }

  /** Requests since the last call, by command. */
  takeCommands(): number[] {
    return this.requests.splice(0).map((request) => request.command);
  }

  request(
    send: Uint8Array,
    sendLength: number,
    sendFds: Int32Array | null,
    sendFdCount: number,
    recv: Uint8Array,
    recvFds: Int32Array,
  ): number {
    const bytes = send.slice(0, sendLength);
    const view = new DataView(bytes.buffer);
    const fds = sendFds === null ? [] : [...sendFds.subarray(0, sendFdCount)];
    const request = { command: view.getUint16(2, true), bytes, view, fds };
    this.requests.push(request);
    const good = this.answer(request);
    const given = [...good.fds];
    const answer = this.twist(request, good);
    const kept = typeof answer === 'number' ? [] : answer.fds;
    for (const fd of given) if (!kept.includes(fd)) native().close(fd);
    if (typeof answer === 'number') return answer;
    recv.set(answer.bytes);
    recvFds.set([answer.fds.length, ...answer.fds]);
    return answer.bytes.length;
  }

  close(): void {
    this.closed++;
  }

  private answer(request: Request): { bytes: Uint8Array; fds: number[] } {
    const { view, command } = request;
    switch (command) {
      case 1:
        return reply(request, Buffer.concat([hex('00000000'), Buffer.from(this.version)]));
      case 3:
        return reply(request, request.bytes.slice(16));
      case 4:
        return reply(request, words(16, this.deviceFlags, this.regions, this.irqs));
      case 5:
        return this.region(request, view.getUint32(24, true));
      case 7:
        return this.irq(request, view.getUint32(24, true));
      case 9: {
        const key = view.getUint32(24, true) * 0x10000 + view.getUint32(16, true);
        const data = words(this.registers.get(key) ?? (key === 0x70002 ? 0x10ed : 0));
        const count = view.getUint32(28, true);
        return reply(request, Buffer.concat([request.bytes.slice(16), data.subarray(0, count)]));
      }
      case 10: {
        const key = view.getUint32(24, true) * 0x10000 + view.getUint32(16, true);
        const data = new Uint8Array(4);
        data.set(request.bytes.subarray(32));
        this.registers.set(key, new DataView(data.buffer).getUint32(0, true));
        return reply(request, request.bytes.slice(16, 32));
      }
      default:
        return reply(request, new Uint8Array(0));
    }
  }

  private irq(request: Request, index: number): { bytes: Uint8Array; fds: number[] } {
    return reply(request, words(16, 9, index, index < 3 ? this.vectors : this.eventIrqs));
  }

  private region(request: Request, index: number): { bytes: Uint8Array; fds: number[] } {
    if (index !== 0) return reply(request, words(32, 3, index, 0, this.configBytes, 0, 0, 0));
    if (this.barFd < 0) return reply(request, words(32, 3, 0, 0, this.barBytes, 0, 0, 0));
    const info = words(80, 15, 0, 32, this.barBytes, 0, 0x10000, 0);
    const areas = words(0x10001, 0, 2, 0, 0x1000, 0, 0x1000, 0, 0x2000, 0, 0x1000, 0);
    const answer = reply(request, Buffer.concat([info, areas]));
    return { ...answer, fds: [native().dup(this.barFd)] };
  }
}

/** Twists the answers to one command, and of one region where given. */
export function only(
  command: number,
  twist: (request: Request, good: { bytes: Uint8Array; fds: number[] }) => Answer,
  region = -1,
): ScriptedServer['twist'] {
  return (request, good) =>
    request.command === command && (region < 0 || request.view.getUint32(24, true) === region)
      ? twist(request, good)
      : good;
}

/** A good reply to `request`. */
export function reply(request: Request, payload: Uint8Array): { bytes: Uint8Array; fds: number[] } {
  const bytes = new Uint8Array(16 + payload.length);
  bytes.set(request.bytes.subarray(0, 4));
  new DataView(bytes.buffer).setUint32(4, bytes.length, true);
  bytes[8] = 1;
  bytes.set(payload, 16);
  return { bytes, fds: [] };
}

/** An error reply to `request`. */
export function errorReply(request: Request, errno: number): { bytes: Uint8Array; fds: number[] } {
  const answer = reply(request, new Uint8Array(0));
  answer.bytes[8] = 0x21;
  answer.bytes[12] = errno;
  return answer;
}

/** 32-bit words as bytes. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
