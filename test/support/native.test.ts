// The native shim: arguments, memory, files and events. Errno values and flags are written
// out as literals. Sockets and watchers have files of their own.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeSharedMemory } from '../../src/memory/shared-memory.ts';
import { type Native, native } from '../../src/support/native.ts';

const shim = native();
const bytes = (n: number) => new Uint8Array(new SharedArrayBuffer(n));
const scratch = mkdtempSync(join(tmpdir(), 'ixy-native-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Calls a function with arguments that its type forbids. */
function badly(name: keyof Native, ...args: unknown[]): () => unknown {
  return () => Reflect.apply(shim[name], undefined, args);
}

describe('arguments', () => {
  it('refuses the wrong type with a TypeError that names function, argument and value', () => {
    expect(badly('close', 'three')).toThrow(TypeError);
    expect(badly('close', 'three')).toThrow('close: argument 1: expected an integer, got a string');
  });

  it.each([
    ['addressOf', [{}]],
    ['addressOf', [null]],
    ['addressOf', [new ArrayBuffer(8)]],
    ['mmapFixed', []],
    ['mmapFixed', [4096n, 4096, 3, 1, -1, 0]],
    ['open', [7, 0]],
    ['fstat', [0, new Float32Array(4)]],
    ['pread', [0, [1, 2], 0, 1, 0]],
    ['ioctl', [0, 1, 'x']],
    ['ioctl', [0, 1]],
    ['poll', [new Uint32Array(3), 1, 0]],
    ['socketpair', [null]],
    ['sendMsg', [0, bytes(4), 0, 4, [1], 1]],
    ['recvMsg', [0, bytes(4), 0, 4, new Float64Array(2)]],
    ['readFrames', [0, bytes(64), null, new Int32Array(1), 1, 64]],
    ['guardBus', [4096, 4096, new Uint8Array(8)]],
    ['watchFd', [0, 'callback']],
    ['setNonBlocking', [0, 1]],
  ] as [keyof Native, unknown[]][])('%s refuses the wrong type, case %#', (name, args) => {
    expect(badly(name, ...args)).toThrow(TypeError);
  });

  it.each([
    ['close', [1.5]],
    ['close', [Number.NaN]],
    ['close', [-2]],
    ['close', [2 ** 31]],
    ['mmapFixed', [2 ** 53, 4096, 3, 1, -1, 0]],
    ['fstat', [0, new Float64Array(3)]],
    ['open', ['x'.repeat(5000), 0]],
    ['poll', [new Int32Array(3), 2, 0]],
    ['poll', [new Int32Array(3), 1, -1]],
    ['pread', [0, bytes(8), 1, 8, 0]],
    ['pwrite', [0, bytes(8), 9, 0, 0]],
    ['sendMsg', [0, bytes(4), 0, 5, null, 0]],
    ['sendMsg', [0, bytes(4), 0, 4, null, 1]],
    ['request', [0, bytes(16), 15, null, 0, bytes(16), null, 1]],
    ['readFrames', [0, bytes(64), new Int32Array(1), new Int32Array(1), 2, 8]],
    ['readFrames', [0, bytes(64), Int32Array.of(60), new Int32Array(1), 1, 8]],
    ['writeFrames', [0, bytes(64), Int32Array.of(-1), Int32Array.of(1), 1]],
    ['writeFrames', [0, bytes(64), Int32Array.of(0), Int32Array.of(-1), 1]],
    ['guardBus', [4096, 4096, new Int32Array(1)]],
    ['guardBus', [4096, 4096, new Int32Array(2), 256]],
  ] as [keyof Native, unknown[]][])('%s refuses a value out of range, case %#', (name, args) => {
    expect(badly(name, ...args)).toThrow(RangeError);
  });

  it('refuses a path with a NUL in it', () => {
    expect(badly('open', '/dev/null\0x', 0)).toThrow(TypeError);
  });

  it('gives the kernel its say about an fd that is not open', () => {
    expect(shim.close(-1)).toBe(-9);
    expect(shim.dup(-1)).toBe(-9);
    expect(shim.ioctl(-1, 0, null)).toBe(-9);
    expect(shim.eventfdSignal(1_000_000)).toBe(-9);
    expect(shim.eventfdDrain(1_000_000)).toBe(-9);
  });
});

describe('memory', () => {
  const memory = makeSharedMemory(4, 16);
  const view = new Uint8Array(memory.buffer);
  const base = shim.addressOf(view);

  it('knows the address of shared, WebAssembly and plain views alike', () => {
    expect(base % 65536).toBe(0);
    expect(shim.addressOf(view.subarray(3))).toBe(base + 3);
    expect(shim.addressOf(new DataView(memory.buffer, 8))).toBe(base + 8);
    expect(shim.addressOf(new BigUint64Array(memory.buffer, 16))).toBe(base + 16);
    const plain = new ArrayBuffer(64);
    expect(shim.addressOf(new Uint8Array(plain, 5))).toBe(
      shim.addressOf(new Uint8Array(plain)) + 5,
    );
  });

  it('refuses a mapping that is not page-aligned', () => {
    expect(shim.mmapFixed(base + 1, 4096, 3, 0x22, -1, 0)).toBe(-22);
  });

  it('puts memfd pages over a WebAssembly memory, and plain ones back', () => {
    const fd = shim.memfdCreate('ixy-test', 2);
    expect(fd).toBeGreaterThan(2);
    expect(shim.ftruncate(fd, 65536)).toBe(0);
    view[65536] = 0xaa;
    expect(shim.mmapFixed(base + 65536, 65536, 3, 1, fd, 0)).toBe(0);
    expect(view[65536]).toBe(0);
    // Twice the same pages: what one view stores, the other and the file show.
    expect(shim.mmapFixed(base + 131072, 65536, 3, 1, fd, 0)).toBe(0);
    view[65536 + 77] = 0x5a;
    expect(view[131072 + 77]).toBe(0x5a);
    const out = bytes(4);
    expect(shim.pread(fd, out, 1, 1, 77)).toBe(1);
    expect(Array.from(out)).toEqual([0, 0x5a, 0, 0]);
    expect(shim.pwrite(fd, Uint8Array.of(1, 2, 3), 1, 2, 4000)).toBe(2);
    expect(Array.from(view.subarray(65536 + 4000, 65536 + 4003))).toEqual([2, 3, 0]);

    expect(shim.remapPlain(base + 65536, 65536)).toBe(0);
    expect(view[65536 + 77]).toBe(0);
    view[65536 + 77] = 9;
    expect(view[131072 + 77]).toBe(0x5a);
    expect(shim.remapPlain(base + 131072, 65536)).toBe(0);
    expect(shim.close(fd)).toBe(0);
    expect(shim.close(fd)).toBe(-9);
  });

  it('seals a memfd so that it cannot shrink', () => {
    const fd = shim.memfdCreate('ixy-seal', 2);
    expect(shim.ftruncate(fd, 8192)).toBe(0);
    expect(shim.seals(fd)).toBe(0);
    expect(shim.addSeals(fd, 6)).toBe(0);
    expect(shim.seals(fd)).toBe(6);
    expect(shim.ftruncate(fd, 4096)).toBe(-1);
    expect(shim.ftruncate(fd, 12288)).toBe(-1);
    const status = new Float64Array(4);
    expect(shim.fstat(fd, status)).toBe(0);
    expect(status[2]).toBe(8192);
    expect(shim.close(fd)).toBe(0);
  });

  it('advises', () => {
    expect(shim.madvise(base, 65536, 4)).toBe(0);
    expect(shim.madvise(base + 1, 65536, 4)).toBe(-22);
  });

  it('refuses a guard that is unaligned, overlaps another or was never set', () => {
    const words = new Int32Array(memory.buffer, 0, 2);
    expect(shim.guardBus(base + 1, 4096, words)).toBe(-22);
    expect(shim.guardBus(base, 100, words)).toBe(-22);
    expect(shim.guardBus(base + 65536, 65536, words)).toBe(0);
    expect(shim.guardBus(base + 65536, 4096, words)).toBe(-17);
    expect(shim.unguardBus(base)).toBe(-2);
    expect(shim.unguardBus(base + 65536)).toBe(0);
    expect(shim.unguardBus(base + 65536)).toBe(-2);
  });
});

describe('files', () => {
  it('says why a file does not open', () => {
    expect(shim.open(join(scratch, 'absent'), 0)).toBe(-2);
    expect(shim.open(join(scratch), 1)).toBe(-21);
  });

  it('reads at offsets, to the end of the file', () => {
    const path = join(scratch, 'file');
    writeFileSync(path, 'abcdef');
    const fd = shim.open(path, 0);
    const copy = shim.dup(fd);
    expect(copy).not.toBe(fd);
    expect(shim.close(fd)).toBe(0);
    const out = bytes(8);
    expect(shim.pread(copy, out, 2, 6, 3)).toBe(3);
    expect(Array.from(out)).toEqual([0, 0, 100, 101, 102, 0, 0, 0]);
    expect(shim.pread(copy, out, 0, 8, 2 ** 40)).toBe(0);
    expect(shim.pwrite(copy, out, 0, 1, 0)).toBe(-9);
    expect(shim.close(copy)).toBe(0);
  });

  it('passes an ioctl a view, and refuses one shorter than the struct', () => {
    const pair = new Int32Array(2);
    expect(shim.socketpair(pair)).toBe(0);
    expect(shim.pwrite(pair[0], bytes(1), 0, 1, 0)).toBe(-29); // ESPIPE
    expect(shim.sendMsg(pair[0], bytes(5), 0, 5, null, 0)).toBe(5);
    const waiting = new Int32Array(1);
    expect(shim.ioctl(pair[1], 0x541b, waiting)).toBe(0); // FIONREAD
    expect(waiting[0]).toBe(5);
    expect(shim.ioctl(pair[1], 0x5413, waiting)).toBe(-25); // TIOCGWINSZ on a socket: ENOTTY
    // _IOR('T', 0x30, unsigned int)
    expect(badly('ioctl', pair[1], 0x80045430, new Uint8Array(3))).toThrow(RangeError);
    for (const fd of pair) expect(shim.close(fd)).toBe(0);
  });
});

describe('events', () => {
  it('counts signals of an eventfd and drains them, and an empty one gives 0 in blocking mode too', () => {
    for (const flags of [0, 0x800]) {
      const fd = shim.eventfd(0, flags);
      expect(shim.eventfdDrain(fd)).toBe(0);
      expect(shim.eventfdSignal(fd)).toBe(0);
      expect(shim.eventfdSignal(fd)).toBe(0);
      expect(shim.eventfdDrain(fd)).toBe(2);
      expect(shim.eventfdDrain(fd)).toBe(0);
      expect(shim.close(fd)).toBe(0);
    }
  });

  it('polls several fds, skips negative ones and ends at the timeout', () => {
    const quiet = shim.eventfd(0, 0);
    const ready = shim.eventfd(3, 0);
    const list = Int32Array.of(quiet, 1, 99, -1, 1, 99, ready, 1, 99);
    expect(shim.poll(list, 3, 1000)).toBe(1);
    expect(Array.from(list)).toEqual([quiet, 1, 0, -1, 1, 0, ready, 1, 1]);
    expect(shim.poll(list, 2, 1)).toBe(0);
    expect(shim.close(quiet)).toBe(0);
    expect(shim.close(ready)).toBe(0);
    expect(shim.poll(Int32Array.of(quiet, 1, 0), 1, 1000)).toBe(1); // POLLNVAL
  });
});
