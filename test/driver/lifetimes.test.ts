// What programs do for hours: open and close, with mempools of their own and given ones.
import { afterAll, describe, expect, it } from 'vitest';
import {
  createModel,
  DeviceError,
  type IxgbeVf,
  mempool,
  open,
  packetViews,
  processArena,
  VfioError,
} from '../../src/index.ts';

const port = { vfs: 1, wire: 'gen' };
const model = createModel({ ports: [port, port] });
afterAll(() => model.close());

/** Control and DMA bytes in use. */
function inUse(): readonly [number, number] {
  const arena = processArena();
  return [arena.controlUsedBytes, arena.dmaUsedBytes];
}

describe('a mempool', () => {
  it('is not freed while a device is open on it, stopped or running', async () => {
    const buffers = mempool({ count: 2048 });
    const vf = await open('model:0.0', { model, mempool: buffers });
    expect(() => buffers.free()).toThrow(
      /expected no queue on it, got 2; close the devices that use it first/,
    );
    vf.stop();
    expect(() => buffers.free()).toThrow(/expected no queue on it, got 2/);
    vf.close();
    buffers.free();
  });

  it('of tx queues may be another than that of rx queues', async () => {
    const [forth, back] = [mempool({ count: 1024 }), mempool({ count: 1024 })];
    const vf = await open('model:0.0', { model, mempool: forth, txMempool: back });
    expect(forth.available).toBe(1024 - 512);
    const buf = back.take();
    vf.close();
    expect(() => back.free()).toThrow(/expected all 1024 buffers back, got 1023/);
    back.give(buf);
    back.free();
    forth.free();
  });
});

describe('opening and closing', () => {
  it.each(['own mempools', 'a given mempool'])('leaves nothing behind, with %s', async (kind) => {
    const cycle = async (): Promise<void> => {
      const given = kind === 'own mempools' ? undefined : mempool({ count: 2048 });
      const vf = await open('model:0.0', { model, ...(given && { mempool: given }) });
      model.step();
      vf.close();
      given?.free();
    };
    // Closed blocks stay readable until 1,024 more were closed: two a cycle, three with a mempool.
    for (let i = 0; i < 520; i++) await cycle();
    const before = inUse();
    const length = processArena().memory.buffer.byteLength;
    for (let i = 0; i < 60; i++) await cycle();
    expect(inUse()).toEqual(before);
    expect(processArena().memory.buffer.byteLength).toBe(length);
  });
});

describe('using', () => {
  it('closes a VF, a mempool and a model at the end of their block', async () => {
    const own = createModel({ ports: [port] });
    const buffers = mempool({ count: 2048 });
    const vf = await open('model:0.0', { model: own, mempool: buffers });
    vf[Symbol.dispose]();
    expect(vf.closed).toBe(true);
    await vf[Symbol.asyncDispose]();
    buffers[Symbol.dispose]();
    own[Symbol.dispose]();
  });
});

describe('after model.close()', () => {
  async function openThenEnd(): Promise<IxgbeVf> {
    const own = createModel({ ports: [port] });
    const vf = await open('model:0.0', { model: own });
    for (let i = 0; i < 8; i++) own.step();
    own.close();
    return vf;
  }

  it('a VF reads as gone: no frame comes, and every look at it says so', async () => {
    const vf = await openThenEnd();
    const bufs = new Int32Array(32);
    // What the device had written before its end may still be taken; nothing new comes.
    let taken = 0;
    for (;;) {
      const n = vf.rx[0].batch(bufs, 0, 32);
      if (n === 0) break;
      taken += n;
      vf.mempool.giveBatch(bufs, 0, n);
      expect(taken).toBeLessThanOrEqual(512);
    }
    expect(() => vf.checkHealth()).toThrow(DeviceError);
    expect(() => vf.checkHealth()).toThrow(/gone|removed/);
    expect(() => vf.link()).toThrow(DeviceError);
    expect(() => vf.stats()).toThrow(DeviceError);
    expect(vf.rx[0].batch(bufs, 0, 32)).toBe(0);
    expect(() => vf.restart()).toThrow();
    vf.close();
    expect(() => vf.link()).toThrow(VfioError);
  });

  it('the model moves no more, and opens no VF', async () => {
    const own = createModel({ ports: [port] });
    own.close();
    own.close();
    expect(own.step()).toBe(0);
    await expect(open('model:0.0', { model: own })).rejects.toThrow(/gone|closed/);
  });
});

describe('tx.pending', () => {
  it('counts the frames that the device has not taken', async () => {
    const vf = await open('model:1.0', { model });
    const bufs = new Int32Array(4);
    vf.mempool.takeBatch(bufs, 0, 4);
    const { length } = packetViews(vf.mempool);
    for (const buf of bufs) length[buf] = 60;
    expect(vf.tx[0].pending).toBe(0);
    expect(vf.tx[0].batch(bufs, 0, 4)).toBe(4);
    expect(vf.tx[0].pending).toBe(4);
    model.step();
    vf.link(); // a look at a register is when the model shows its heads
    expect(vf.tx[0].pending).toBe(0);
    vf.close();
    expect(() => vf.tx[0].pending).toThrow(VfioError);
  });
});

describe('a misspelled option', () => {
  // TypeScript sees it; a program in JavaScript would go on with the default.
  it('is refused by name, and nothing stays open', async () => {
    const options = { model, rxQueue: 2 };
    await expect(open('model:0.0', options)).rejects.toThrow(
      /options: expected rxQueues, .*, got 'rxQueue'/,
    );
    const buffers = { count: 64, bufferByte: 4096 };
    expect(() => mempool(buffers)).toThrow(TypeError);
    const trapped = { ports: [port], traps: true };
    expect(() => createModel(trapped)).toThrow(
      /expected ports, clock, seed, log, trapAll, macType, silicon, got 'traps'/,
    );
    (await open('model:0.0', { model })).close();
  });
});
