// The native shim's sockets, messages with file descriptors, framed requests and frame batches.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { native } from '../../src/support/native.ts';

const shim = native();
const scratch = mkdtempSync(join(tmpdir(), 'ixy-sockets-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const openFds = () => readdirSync('/proc/self/fd').length;

function socketpair(): [number, number] {
  const out = new Int32Array(2);
  expect(shim.socketpair(out)).toBe(0);
  return [out[0], out[1]];
}

function closeAll(...fds: number[]): void {
  for (const fd of fds) expect(shim.close(fd)).toBe(0);
}

/** A message: 16 bytes of header with the size at byte 4, then `rest`. */
function message(id: number, ...rest: number[]): Uint8Array {
  const size = 16 + rest.length;
  return Uint8Array.of(id, 0, 0, 0, size & 255, size >> 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...rest);
}

function send(fd: number, data: Uint8Array, fds: Int32Array | null = null): void {
  expect(shim.sendMsg(fd, data, 0, data.length, fds, fds?.length ?? 0)).toBe(data.length);
}

describe('listening and connecting', () => {
  it('refuses paths that are too long, empty, absent or taken', () => {
    const path = join(scratch, 'taken.sock');
    expect(shim.unixListen(`/tmp/${'x'.repeat(103)}`, 1)).toBe(-36);
    expect(shim.unixConnect(`/tmp/${'x'.repeat(103)}`)).toBe(-36);
    expect(shim.unixListen('', 1)).toBe(-22);
    expect(shim.unixConnect(join(scratch, 'absent'))).toBe(-2);
    const fd = shim.unixListen(path, 1);
    expect(shim.unixListen(path, 1)).toBe(-98);
    closeAll(fd);
    expect(shim.unixConnect(path)).toBe(-111);
  });

  it('connects to a socket that only its owner may use', () => {
    const path = join(scratch, 'a.sock');
    const listener = shim.unixListen(path, 4);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(shim.accept(listener)).toBe(-11);
    const client = shim.unixConnect(path);
    const server = shim.accept(listener);
    expect(server).toBeGreaterThan(2);
    send(client, Uint8Array.of(1, 2, 3));
    const got = new Uint8Array(8);
    expect(shim.recvMsg(server, got, 2, 6, null)).toBe(3);
    expect(Array.from(got)).toEqual([0, 0, 1, 2, 3, 0, 0, 0]);
    expect(shim.shutdown(client, 1)).toBe(0);
    expect(shim.recvMsg(server, got, 0, 8, null)).toBe(0);
    closeAll(client, server, listener);
  });

  it('gives up on a listener whose backlog is full', () => {
    const path = join(scratch, 'full.sock');
    const listener = shim.unixListen(path, 0);
    const first = shim.unixConnect(path);
    expect(first).toBeGreaterThan(2);
    expect(shim.unixConnect(path, 20)).toBe(-110);
    closeAll(first, listener);
  });

  it('answers EAGAIN in non-blocking mode, and EPIPE without a signal', () => {
    const [a, b] = socketpair();
    expect(shim.setNonBlocking(a, true)).toBe(0);
    expect(shim.recvMsg(a, new Uint8Array(4), 0, 4, null)).toBe(-11);
    closeAll(b);
    expect(shim.sendMsg(a, new Uint8Array(4), 0, 4, null, 0)).toBe(-32);
    closeAll(a);
  });
});

describe('messages with file descriptors', () => {
  it('refuses fds without data, and fds that are not open', () => {
    const [a, b] = socketpair();
    expect(shim.sendMsg(a, new Uint8Array(1), 0, 0, Int32Array.of(0), 1)).toBe(-22);
    expect(shim.sendMsg(a, new Uint8Array(1), 0, 1, Int32Array.of(1_000_000), 1)).toBe(-9);
    closeAll(a, b);
  });

  it('hands over fds that name the same open files', () => {
    const [a, b] = socketpair();
    const sent = Int32Array.of(shim.eventfd(0, 0), shim.eventfd(0, 0), shim.eventfd(0, 0));
    send(a, Uint8Array.of(7), sent);
    const fds = new Int32Array(4);
    expect(shim.recvMsg(b, new Uint8Array(1), 0, 1, fds)).toBe(1);
    expect(fds[0]).toBe(3);
    expect(shim.eventfdSignal(sent[1])).toBe(0);
    expect([1, 2, 3].map((i) => shim.eventfdDrain(fds[i]))).toEqual([0, 1, 0]);
    closeAll(a, b, ...sent, ...fds.subarray(1));
  });

  it.each([
    ['no list', null],
    ['an empty list', new Int32Array(0)],
    ['a list of one', new Int32Array(2)],
  ])('closes all fds of a message for which there is %s', (_, fds) => {
    const [a, b] = socketpair();
    const event = shim.eventfd(0, 0);
    const before = openFds();
    send(a, Uint8Array.of(7), Int32Array.of(event, event, event));
    expect(shim.recvMsg(b, new Uint8Array(1), 0, 1, fds)).toBe(-90);
    if (fds !== null && fds.length > 0) expect(fds[0]).toBe(0);
    expect(openFds()).toBe(before);
    closeAll(a, b, event);
  });
});

describe('requests', () => {
  const ask = (fd: number, reply: Uint8Array, fds: Int32Array | null = null, timeoutMs = 1000) =>
    shim.request(fd, message(9), 16, null, 0, reply, fds, timeoutMs);

  it('times out, on blocking and non-blocking sockets', () => {
    for (const nonBlocking of [false, true]) {
      const [a, b] = socketpair();
      expect(shim.setNonBlocking(a, nonBlocking)).toBe(0);
      expect(ask(a, new Uint8Array(64), null, 5)).toBe(-110);
      closeAll(a, b);
    }
  });

  it('times out inside a reply and while the peer does not read', () => {
    const [a, b] = socketpair();
    send(b, message(1, 2, 3).subarray(0, 17));
    expect(ask(a, new Uint8Array(64), null, 5)).toBe(-110);
    const huge = new Uint8Array(4 << 20);
    expect(shim.request(a, huge, huge.length, null, 0, huge, null, 5)).toBe(-110);
    closeAll(a, b);
  });

  it('reports a peer that is gone, before and inside a reply', () => {
    const [a, b] = socketpair();
    send(b, message(1, 2).subarray(0, 16));
    expect(shim.shutdown(b, 1)).toBe(0);
    expect(ask(a, new Uint8Array(64))).toBe(-104);
    closeAll(b);
    expect(ask(a, new Uint8Array(64))).toBe(-32);
    closeAll(a);
  });

  it.each([
    ['says less than a header', message(1).fill(15, 4, 5), 64, -71],
    ['is larger than the buffer', message(1, 2, 3), 17, -90],
    ['finds a buffer shorter than a header', message(1), 15, -90],
  ])('refuses a reply that %s', (_, reply, capacity, errno) => {
    const [a, b] = socketpair();
    send(b, reply);
    expect(ask(a, new Uint8Array(capacity))).toBe(errno);
    closeAll(a, b);
  });

  it('closes the fds of a reply that fails', () => {
    const [a, b] = socketpair();
    const event = shim.eventfd(0, 0);
    const fds = new Int32Array(4);
    const before = openFds();
    send(b, message(1, 2, 3), Int32Array.of(event));
    expect(ask(a, new Uint8Array(17), fds)).toBe(-90);
    expect(fds[0]).toBe(0);
    expect(openFds()).toBe(before);
    closeAll(a, b, event);
  });

  it('sends with fds, and reads exactly one reply with its fds', () => {
    const [a, b] = socketpair();
    const event = shim.eventfd(5, 0);
    // The peer's answers lie ready, the second one directly behind the first.
    send(b, message(1, 10, 11), Int32Array.of(event));
    send(b, message(2, 12));
    const reply = new Uint8Array(64);
    const fds = new Int32Array(4);
    const passed = Int32Array.of(event);
    expect(shim.request(a, message(9, 8), 17, passed, 1, reply, fds, 1000)).toBe(18);
    expect(Array.from(reply.subarray(0, 18))).toEqual(Array.from(message(1, 10, 11)));
    expect(fds[0]).toBe(1);
    expect(shim.eventfdDrain(fds[1])).toBe(5);
    const got = new Uint8Array(64);
    const gotFds = new Int32Array(4);
    expect(shim.recvMsg(b, got, 0, 64, gotFds)).toBe(17);
    expect(Array.from(got.subarray(0, 17))).toEqual(Array.from(message(9, 8)));
    expect(gotFds[0]).toBe(1);
    const received = fds[1];
    expect(ask(a, reply, fds)).toBe(17);
    expect(reply[0]).toBe(2);
    expect(fds[0]).toBe(0);
    closeAll(a, b, event, received, gotFds[1]);
  });
});

describe('frame batches', () => {
  const heap = new Uint8Array(new SharedArrayBuffer(256));
  const offsets = Int32Array.of(0, 64, 128);
  const lengths = new Int32Array(3);

  it('reports an error of the first frame only, and nothing to read as 0', () => {
    expect(shim.readFrames(1_000_000, heap, offsets, lengths, 3, 64)).toBe(-9);
    expect(shim.writeFrames(1_000_000, heap, offsets, Int32Array.of(1, 1, 1), 3)).toBe(-9);
    const [a, b] = socketpair();
    expect(shim.setNonBlocking(a, true)).toBe(0);
    expect(shim.readFrames(a, heap, offsets, lengths, 3, 64)).toBe(0);
    closeAll(a, b);
  });

  it('writes and reads frames at their offsets, and stops where no more come', () => {
    // A stream keeps no frames apart as a TAP does, but it has the same calls and the same EAGAIN.
    const [a, b] = socketpair();
    expect(shim.setNonBlocking(b, true)).toBe(0);
    heap.fill(0);
    heap.set([1, 2, 3], 0);
    heap.set([4, 5], 64);
    expect(shim.writeFrames(a, heap, offsets, Int32Array.of(3, 2), 2)).toBe(2);
    heap.fill(0);
    expect(shim.readFrames(b, heap, offsets, lengths, 3, 2)).toBe(3);
    expect(Array.from(lengths)).toEqual([2, 2, 1]);
    expect([heap[0], heap[1], heap[2]]).toEqual([1, 2, 0]);
    expect([heap[64], heap[65]]).toEqual([3, 4]);
    expect([heap[128], heap[129]]).toEqual([5, 0]);
    closeAll(a, b);
  });
});
