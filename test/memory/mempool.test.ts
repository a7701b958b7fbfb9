import { describe, expect, it } from 'vitest';
import { processArena } from '../../src/memory/arena.ts';
import { createMempool, destroyMempool, Mempool } from '../../src/memory/mempool.ts';

const arena = processArena();

describe('mempool', () => {
  it.each([
    [{ count: 0 }, /count: expected an integer from 1/],
    [{ count: 1.5 }, /count: .* got 1.5/],
    [{ count: 8, bufferBytes: 1000 }, /bufferBytes: .* multiple of 2048, got 1000/],
    [{ count: 8, bufferBytes: 32_768 }, /bufferBytes: .*16384/],
    [{ count: 8, headroomBytes: 3 }, /headroomBytes: .* multiple of 4, got 3/],
    [{ count: 8, headroomBytes: 2048 }, /headroomBytes: .*1024/],
  ])('refuses %j', (options, message) => {
    expect(() => createMempool(arena, options)).toThrow(message);
  });

  it('gives each buffer once, 0 when empty, and counts the shortage', () => {
    const mempool = createMempool(arena, { count: 4 });
    const seen = new Set([mempool.take(), mempool.take(), mempool.take(), mempool.take()]);
    expect(seen.size).toBe(4);
    expect(seen.has(0)).toBe(false);
    expect(mempool.take()).toBe(0);
    expect(mempool.exhausted).toBe(1);
    for (const buf of seen) mempool.give(buf);
    expect(mempool.available).toBe(4);
    destroyMempool(arena, mempool);
  });

  it('places buffers at buf * 2048 plus headroom, bufferBytes apart', () => {
    const mempool = createMempool(arena, { count: 3, bufferBytes: 4096, headroomBytes: 128 });
    const bufs = new Int32Array(3);
    expect(mempool.takeBatch(bufs, 0, 3)).toBe(3);
    const sorted = [...bufs].sort((a, b) => a - b);
    expect(sorted.map((b) => b - sorted[0])).toEqual([0, 2, 4]);
    expect(mempool.offset(bufs[0])).toBe(bufs[0] * 2048 + 128);
    mempool.giveBatch(bufs, 0, 3);
    destroyMempool(arena, mempool);
  });

  it('gives a batch as far as it reaches', () => {
    const mempool = createMempool(arena, { count: 5 });
    const bufs = new Int32Array(8).fill(-7);
    expect(mempool.takeBatch(bufs, 1, 7)).toBe(5);
    expect(bufs[0]).toBe(-7);
    expect(bufs[6]).toBe(-7);
    expect(new Set(bufs.subarray(1, 6)).size).toBe(5);
    expect(mempool.exhausted).toBe(1);
    mempool.giveBatch(bufs, 1, 5);
    destroyMempool(arena, mempool);
  });

  it('is the same mempool through its handle', () => {
    const mempool = createMempool(arena, { count: 4 });
    const other = new Mempool(mempool.handle);
    const buf = other.take();
    expect(mempool.available).toBe(3);
    mempool.give(buf);
    expect(other.available).toBe(4);
    destroyMempool(arena, mempool);
  });

  it('catches double frees and foreign buffers in debug mode', () => {
    const mempool = createMempool(arena, { count: 4, debug: true });
    const foreign = createMempool(arena, { count: 4 });
    const buf = mempool.take();
    expect(() => mempool.give(foreign.take())).toThrow(/expected one of this mempool/);
    mempool.give(buf);
    expect(() => mempool.give(buf)).toThrow(/expected one the caller owns/);
    expect(() => mempool.give(0)).toThrow(RangeError);
    expect(() => mempool.give(-1)).toThrow(RangeError);
    expect(() => mempool.give(buf + 0.5)).toThrow(RangeError);
    expect(mempool.available).toBe(4);
  });

  it('leaves a whole batch with the caller when one buffer of it is refused', () => {
    const mempool = createMempool(arena, { count: 4, debug: true });
    const bufs = new Int32Array(4);
    mempool.takeBatch(bufs, 0, 4);
    const last = bufs[3];
    bufs[3] = bufs[0];
    expect(() => mempool.giveBatch(bufs, 0, 4)).toThrow(/expected one the caller owns/);
    expect(mempool.available).toBe(0);
    bufs[3] = last;
    mempool.giveBatch(bufs, 0, 4);
    expect(mempool.available).toBe(4);
    destroyMempool(arena, mempool);
  });

  it('is not destroyed while buffers are out', () => {
    const mempool = createMempool(arena, { count: 2 });
    const buf = mempool.take();
    expect(() => destroyMempool(arena, mempool)).toThrow(/expected all 2 buffers back, got 1/);
    mempool.give(buf);
    destroyMempool(arena, mempool);
  });
});

describe('free', () => {
  it('gives the memory back, so that 500 mempools in turn need no more than one', () => {
    mempool1().free();
    const used = arena.dmaUsedBytes;
    const length = arena.memory.buffer.byteLength;
    for (let i = 0; i < 500; i++) mempool1().free();
    expect(arena.dmaUsedBytes).toBe(used);
    expect(arena.memory.buffer.byteLength).toBe(length);
  });

  it('is idempotent, leaves nothing to take, and is what using does', () => {
    const mempool = mempool1();
    const other = new Mempool(mempool.handle);
    mempool.free();
    mempool.free();
    mempool[Symbol.dispose]();
    expect(mempool.take()).toBe(0);
    expect(other.takeBatch(new Int32Array(4), 0, 4)).toBe(0);
  });

  it('refuses while buffers are out, and says how many', () => {
    const mempool = mempool1();
    const buf = mempool.take();
    expect(() => mempool.free()).toThrow(
      /free mempool: expected all 4096 buffers back, got 4095; give back the 1 /,
    );
    mempool.give(buf);
    mempool.free();
  });

  it('refuses on an object made from a handle', () => {
    const mempool = mempool1();
    expect(() => new Mempool(mempool.handle).free()).toThrow(/free it where it was made/);
    mempool.free();
  });

  function mempool1(): Mempool {
    return createMempool(arena, { count: 4096 });
  }
});
