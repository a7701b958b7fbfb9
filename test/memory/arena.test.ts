import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { processArena } from '../../src/memory/arena.ts';
import { viewsOf } from '../../src/memory/layout.ts';
import { VfioError } from '../../src/support/errors.ts';
import { native } from '../../src/support/native.ts';
import type { DmaMapping, VfioDevice } from '../../src/vfio/device.ts';

function recordingDevice(ranges = [{ first: 0, last: 2 ** 39 - 1 }]): {
  device: VfioDevice;
  maps: DmaMapping[];
  unmaps: [number, number][];
} {
  const maps: DmaMapping[] = [];
  const unmaps: [number, number][] = [];
  const device = {
    address: 'test:0',
    iovaRanges: ranges,
    mapDma: (mapping: DmaMapping) => maps.push(mapping),
    unmapDma: (iova: number, size: number) => unmaps.push([iova, size]),
  } as unknown as VfioDevice;
  return { device, maps, unmaps };
}

describe('arena', () => {
  const arena = processArena();

  it.each([0, -1, 1.5, Number.NaN, 2 ** 33])('refuses an allocation of %s bytes', (size) => {
    expect(() => arena.allocateDma(size)).toThrow(RangeError);
    expect(() => arena.allocateControl(size)).toThrow(RangeError);
  });

  it('refuses a device whose IOVA ranges do not hold its memory, naming both', () => {
    arena.allocateDma(4096);
    const { device, maps } = recordingDevice([{ first: 0, last: 0xffff_ffff }]);
    expect(() => arena.attach(device)).toThrow(/IOVA 0x1\w{8}-0x1\w{8} expected .* 0x0-0xffffffff/);
    expect(maps).toEqual([]);
  });

  it('maps every chunk at 0x1_0000_0000 + offset, and later chunks as they come', () => {
    const { device, maps, unmaps } = recordingDevice();
    arena.attach(device);
    const before = maps.length;
    expect(before).toBeGreaterThan(0);
    const offset = arena.allocateDma(5 * 1024 * 1024, 2048);
    expect(maps.length).toBe(before + 1);
    for (const map of maps) {
      expect(map.iova).toBe(0x1_0000_0000 + map.offset);
      expect(map.address).toBe(arena.address + map.offset);
      expect(map.sizeBytes % (2 * 1024 * 1024)).toBe(0);
      expect(map.address % (2 * 1024 * 1024)).toBe(0);
    }
    const last = maps[maps.length - 1];
    expect(offset + 5 * 1024 * 1024).toBeLessThanOrEqual(last.offset + last.sizeBytes);
    arena.detach(device);
    expect(unmaps.map(([iova]) => iova).sort()).toEqual(maps.map((m) => m.iova).sort());
    arena.releaseDma(offset);
  });

  it('undoes the maps of a failed attach', () => {
    const { device, unmaps, maps } = recordingDevice();
    let calls = 0;
    (device as { mapDma: (m: DmaMapping) => void }).mapDma = (m) => {
      if (++calls === 2) throw new VfioError('map DMA', 12, 'test:0');
      maps.push(m);
    };
    expect(() => arena.attach(device)).toThrow(/ENOMEM/);
    expect(unmaps.length).toBe(1);
    expect(unmaps[0]?.[0]).toBe(maps[0]?.iova);
  });

  it('is the memfd: what JavaScript stores is in the file, sealed against shrinking', () => {
    const { device, maps } = recordingDevice();
    arena.attach(device);
    const offset = arena.allocateDma(4096, 4096);
    arena.views.u8.set([1, 2, 3, 4], offset);
    const map = maps.find(
      (m) => offset >= m.offset && offset < m.offset + m.sizeBytes,
    ) as DmaMapping;
    const out = new Uint8Array(4);
    expect(native().pread(map.fd, out, 0, 4, map.fdOffset + offset - map.offset)).toBe(4);
    expect([...out]).toEqual([1, 2, 3, 4]);
    expect(native().ftruncate(map.fd, 4096)).toBe(-1); // EPERM
    arena.detach(device);
    arena.releaseDma(offset);
  });

  it('keeps old views valid when it grows, at their old length', () => {
    const old = arena.views;
    const offset = arena.allocateDma(4096);
    // More than it ever grows by unasked.
    const bytes = 1100 * 1024 * 1024;
    const grown = arena.reserveWindow(bytes);
    expect(arena.views.u8.length).toBeGreaterThan(old.u8.length);
    old.u8[offset] = 77;
    expect(arena.views.u8[offset]).toBe(77);
    arena.views.u8[grown + bytes - 1] = 5;
    expect(arena.views.u8[grown + bytes - 1]).toBe(5);
    arena.releaseWindow(grown);
    expect(arena.views.u8[grown + bytes - 1]).toBe(0);
    arena.releaseDma(offset);
  });

  it('hands out zeroed memory again after a release', () => {
    const offset = arena.allocateDma(8192);
    arena.views.u8.fill(0xee, offset, offset + 8192);
    arena.releaseDma(offset);
    const again = arena.allocateDma(8192);
    expect(again).toBe(offset);
    expect(arena.views.u8.subarray(again, again + 8192).every((b) => b === 0)).toBe(true);
    expect(() => arena.releaseDma(again + 1)).toThrow(RangeError);
    arena.releaseDma(again);
  });

  it('is seen by a Worker at the same bytes', async () => {
    const offset = arena.allocateDma(64);
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       new Uint8Array(workerData.memory.buffer)[workerData.offset] = 99;
       parentPort.postMessage('done');`,
      { eval: true, workerData: { memory: arena.memory, offset } },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    expect(viewsOf(arena.memory).u8[offset]).toBe(99);
    arena.releaseDma(offset);
  });

  it('puts plain zero memory back under a released window', () => {
    const window = arena.reserveWindow(0x4000);
    const fd = native().memfdCreate('window', 0);
    expect(native().ftruncate(fd, 0x4000)).toBe(0);
    expect(native().mmapFixed(arena.address + window, 0x4000, 3, 1, fd, 0)).toBe(0);
    arena.views.u8[window] = 42;
    arena.releaseWindow(window);
    expect(arena.views.u8[window]).toBe(0);
    const byte = new Uint8Array(1);
    expect(native().pread(fd, byte, 0, 1, 0)).toBe(1);
    expect(byte[0]).toBe(42);
    native().close(fd);
  });

  it('names what backs its pages', () => {
    expect(['2 MiB huge pages', 'transparent huge pages', '4 KiB pages']).toContain(arena.pageKind);
    expect(readFileSync('/proc/self/maps', 'utf8')).toMatch(/ixy-arena/);
  });
});
