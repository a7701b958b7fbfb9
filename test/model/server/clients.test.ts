// The life of clients: who gets the VF, what is left when one goes, and that a slow, dead or
// malicious one harms nobody else.

import { spawn } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openVf } from '../../../src/ixgbevf/vf.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { iovaOf } from '../../../src/memory/iova.ts';
import { native } from '../../../src/support/native.ts';
import { VfioUserDevice } from '../../../src/vfio/user/client.ts';
import {
  type Fixture,
  makeFixture,
  memfd,
  message,
  openFds,
  RawClient,
  SteppedExchange,
  words,
} from './fixture.ts';

const EBUSY = 16;
const VERSION = 1;
const DMA_MAP = 2;
const DMA_UNMAP = 3;
const GET_INFO = 4;
const GET_REGION_INFO = 5;
const GET_IRQ_INFO = 7;
const SET_IRQS = 8;
const REGION_READ = 9;
const REGION_WRITE = 10;

const INFO = words(16, 0, 0, 0);
let model: Fixture;
let path: string;

beforeEach(() => {
  model = makeFixture({ ports: [{ vfs: 1 }, { vfs: 1 }] });
  path = model.path(0, 0);
});

afterEach(() => model.dispose());

function connected(): RawClient {
  const client = new RawClient(model, path);
  client.hello();
  return client;
}

/** A map of `size` bytes of a file at `offset`. */
const map = (iova: number, size: number, offset = 0) =>
  words(32, 3, BigInt(offset), BigInt(iova), BigInt(size));
const config16 = (client: RawClient, at: number) =>
  client.ask(REGION_READ, words(BigInt(at), 7, 2)).payload.readUInt16LE(16);
const writeConfig16 = (client: RawClient, at: number, value: number) =>
  client.errno(
    REGION_WRITE,
    Buffer.concat([words(BigInt(at), 7, 2), Buffer.of(value & 0xff, value >> 8)]),
  );

describe('what a client is told', () => {
  test('VERSION is answered with 0.0 and what the server takes', () => {
    const client = new RawClient(model, path);
    const { payload, flags } = client.hello();
    expect(flags).toBe(1);
    expect(payload.readUInt32LE(0)).toBe(0);
    expect(payload[payload.length - 1]).toBe(0);
    const json = JSON.parse(payload.subarray(4, -1).toString()) as Record<string, unknown>;
    expect(json).toEqual({
      capabilities: {
        max_msg_fds: 8,
        max_data_xfer_size: 16_384,
        max_dma_maps: 65_535,
        pgsizes: 4096,
        write_multiple: true,
      },
    });
    client.close();
  });

  test('the device is a PCI device that can be reset, with nine regions, three vectors, and ERR and REQ', () => {
    const client = connected();
    const info = client.ask(GET_INFO, INFO).payload;
    expect([info.readUInt32LE(4), info.readUInt32LE(8), info.readUInt32LE(12)]).toEqual([3, 9, 5]);
    const counts = [0, 1, 2, 3, 4].map((index) =>
      client.ask(GET_IRQ_INFO, words(16, 0, index, 0)).payload.readUInt32LE(12),
    );
    expect(counts).toEqual([0, 0, 3, 1, 1]);
    const sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((index) => {
      const { payload, fds } = client.ask(GET_REGION_INFO, words(32, 0, index, 0, 0n, 0n));
      for (const fd of fds) native().close(fd);
      return Number(payload.readBigUInt64LE(16));
    });
    expect(sizes).toEqual([0x4000, 0, 0, 0x4000, 0, 0, 0, 256, 0]);
    client.close();
  });

  test('BAR0 can be mapped at pages 1 and 2 only, from a file that cannot be made shorter', () => {
    const client = connected();
    const { payload, fds } = client.ask(GET_REGION_INFO, words(256, 0, 0, 0, 0n, 0n));
    expect(payload.readUInt32LE(4)).toBe(0xf);
    const cap = payload.subarray(payload.readUInt32LE(12));
    expect([cap.readUInt16LE(0), cap.readUInt16LE(2), cap.readUInt32LE(4)]).toEqual([1, 1, 0]);
    expect(cap.readUInt32LE(8)).toBe(1);
    expect([cap.readBigUInt64LE(16), cap.readBigUInt64LE(24)]).toEqual([0x1000n, 0x2000n]);
    expect(fds).toHaveLength(1);
    expect(native().ftruncate(fds[0], 4096)).toBe(-1);
    native().close(fds[0]);
    client.close();
  });

  test('with every page trapped BAR0 cannot be mapped and no file is handed out', () => {
    const trapped = makeFixture({ ports: [{ vfs: 1 }], trapAll: true });
    const client = new RawClient(trapped, trapped.path(0, 0));
    client.hello();
    const { payload, fds } = client.ask(GET_REGION_INFO, words(256, 0, 0, 0, 0n, 0n));
    expect([payload.readUInt32LE(4), fds]).toEqual([3, []]);
    client.close();
    trapped.dispose();
  });

  test('all of config space can be read at once, and by 1, 2, 4 and 8 bytes', () => {
    const client = connected();
    const all = client.ask(REGION_READ, words(0n, 7, 256)).payload.subarray(16);
    expect([all.readUInt16LE(0), all.readUInt16LE(2)]).toEqual([0x8086, 0x10ed]);
    for (const count of [1, 2, 4, 8]) {
      const piece = client.ask(REGION_READ, words(2n, 7, count)).payload.subarray(16);
      expect(piece).toEqual(all.subarray(2, 2 + count));
    }
    client.close();
  });

  test('an access of 8 bytes to BAR0 reaches two registers', () => {
    const client = connected();
    const data = Buffer.concat([words(0x2000n, 0, 8), words(0x1000, 0x7)]);
    expect(client.errno(REGION_WRITE, data)).toBe(0);
    const read = (at: number) =>
      client.ask(REGION_READ, words(BigInt(at), 0, 4)).payload.readUInt32LE(16);
    expect([read(0x2000), read(0x2004)]).toEqual([0x1000, 7]);
    const both = client.ask(REGION_READ, words(0x2000n, 0, 8)).payload;
    expect(both.readBigUInt64LE(16)).toBe(0x7_0000_1000n);
    client.close();
  });
});

describe('interrupts', () => {
  const set = (flags: number, start: number, count: number) => words(20, flags, 2, start, count);

  test('are connected one at a time, triggered by the client, and disconnected', () => {
    const client = connected();
    const fds = [0, 1, 2].map(() => native().eventfd(0, 0));
    const drained = () => fds.map((fd) => native().eventfdDrain(fd));
    // As QEMU does: a disable of vector 0 first, although nothing is connected.
    expect(client.errno(SET_IRQS, set(0x24, 0, 1))).toBe(0);
    for (const v of [0, 1, 2]) {
      expect(client.errno(SET_IRQS, set(0x24, v, 1), { fds: [fds[v]] })).toBe(0);
    }
    expect(client.errno(SET_IRQS, set(0x21, 0, 3))).toBe(0);
    expect(drained()).toEqual([1, 1, 1]);
    const bools = Buffer.concat([words(23, 0x22, 2, 0, 3), Buffer.of(1, 0, 7)]);
    expect(client.errno(SET_IRQS, bools)).toBe(0);
    expect(drained()).toEqual([1, 0, 1]);
    expect(client.errno(SET_IRQS, set(0x24, 1, 1))).toBe(0);
    expect(client.errno(SET_IRQS, set(0x21, 0, 3))).toBe(0);
    expect(drained()).toEqual([1, 0, 1]);
    expect(client.errno(SET_IRQS, set(0x21, 0, 0))).toBe(0);
    expect(client.errno(SET_IRQS, set(0x21, 0, 3))).toBe(0);
    expect(drained()).toEqual([0, 0, 0]);
    for (const index of [0, 1, 3, 4]) {
      expect(client.errno(SET_IRQS, words(20, 0x21, index, 0, 0))).toBe(0);
    }
    for (const fd of fds) native().close(fd);
    client.close();
  });

  test('whose eventfd is replaced leave no fd behind', () => {
    const client = connected();
    const before = openFds();
    for (let i = 0; i < 100; i++) {
      const fd = native().eventfd(0, 0);
      expect(client.errno(SET_IRQS, set(0x24, 0, 1), { fds: [fd] })).toBe(0);
      native().close(fd);
    }
    expect(openFds()).toBe(before + 1);
    client.close();
    model.serve();
    expect(openFds()).toBe(before - 2);
  });
});

describe('the VF', () => {
  test('goes to the first that speaks; a second one is told EBUSY and hung up on', () => {
    const silent = new RawClient(model, path);
    model.serve();
    const first = connected();
    const second = new RawClient(model, path);
    expect(second.errno(VERSION, words(0))).toBe(EBUSY);
    expect(second.answer()).toBe('hung up');
    expect(first.errno(GET_INFO, INFO)).toBe(0);
    first.close();
    const third = new RawClient(model, path);
    expect(third.errno(VERSION, words(0))).toBe(0);
    for (const one of [silent, second, third]) one.close();
  });

  test('is free for one that asks in the very turn in which the last one hung up', () => {
    const first = connected();
    const second = new RawClient(model, path);
    second.send(VERSION, words(0));
    first.close();
    const answer = second.answer();
    expect(answer).toMatchObject({ flags: 1, command: VERSION });
    second.close();
  });

  test('is reset when its client goes: bus mastering off, mappings and vectors forgotten', () => {
    const first = connected();
    const fd = native().eventfd(0, 0);
    const memory = memfd(4096);
    writeConfig16(first, 4, 6);
    expect(config16(first, 4)).toBe(6);
    expect(first.errno(SET_IRQS, words(20, 0x24, 2, 0, 1), { fds: [fd] })).toBe(0);
    expect(first.errno(DMA_MAP, map(0x1000, 4096), { fds: [memory] })).toBe(0);
    first.close();
    const second = connected();
    expect(config16(second, 4)).toBe(0);
    expect(second.errno(SET_IRQS, words(20, 0x21, 2, 0, 1))).toBe(0);
    expect(native().eventfdDrain(fd)).toBe(0);
    expect(model.server.mappedFiles).toBe(0);
    expect(second.errno(DMA_MAP, map(0x1000, 4096), { fds: [memory] })).toBe(0);
    second.close();
    native().close(fd);
    native().close(memory);
  });

  test('is free at once when its client is killed', async () => {
    const hello = JSON.stringify([...message(1, VERSION, words(0))]);
    const script = `require('net').connect(process.argv[1]).write(Buffer.from(${hello}))`;
    const child = spawn(process.execPath, ['-e', script, path], { stdio: 'ignore' });
    try {
      while (model.server.clients === 0) {
        model.serve();
        await turn();
      }
      child.kill('SIGKILL');
      while (model.server.connections > 0) {
        model.serve();
        await turn();
      }
    } finally {
      child.kill('SIGKILL');
    }
    expect(connected().errno(GET_INFO, INFO)).toBe(0);
  });

  test('survives a thousand clients with neither an fd nor address space lost', () => {
    const memory = memfd(1 << 20);
    const eventfd = native().eventfd(0, 0);
    connected().close();
    model.serve();
    const before = openFds();
    const length = processArena().views.u8.length;
    for (let i = 0; i < 1000; i++) {
      const client = connected();
      client.errno(DMA_MAP, map(0, 1 << 20), { fds: [memory] });
      client.errno(SET_IRQS, words(20, 0x24, 2, 0, 1), { fds: [eventfd] });
      client.close();
    }
    model.serve();
    expect([openFds(), model.server.connections, model.server.mappedFiles]).toEqual([before, 0, 0]);
    // One window, however often it is taken and given back.
    expect(processArena().views.u8.length - length).toBeLessThanOrEqual(4 << 20);
    native().close(memory);
    native().close(eventfd);
  });

  test('connections that never speak do not pile up', () => {
    const silent = Array.from({ length: 20 }, () => {
      const client = new RawClient(model, path);
      model.serve();
      return client;
    });
    expect(model.server.connections).toBe(4);
    const speaking = connected();
    expect(speaking.errno(GET_INFO, INFO)).toBe(0);
    for (const client of [...silent, speaking]) client.close();
  });
});

describe('DMA memory', () => {
  test('of one memfd in five thousand maps, each with its own fd, is mapped once', () => {
    const client = connected();
    const memory = memfd(5000 * 4096);
    const before = openFds();
    for (let i = 0; i < 5000; i++) {
      const fd = native().dup(memory);
      expect(client.errno(DMA_MAP, map(i * 8192, 4096, i * 4096), { fds: [fd] })).toBe(0);
      native().close(fd);
    }
    expect([openFds(), model.server.mappedFiles]).toEqual([before + 1, 1]);
    expect(client.errno(DMA_UNMAP, words(24, 2, 0n, 0n))).toBe(0);
    client.close();
    model.serve();
    expect([openFds(), model.server.mappedFiles]).toEqual([before - 2, 0]);
    native().close(memory);
  });

  test('that two VFs share is mapped once, and stays while one of them has it', () => {
    const clients = [0, 1].map((port) => {
      const client = new RawClient(model, model.path(port, 0));
      client.hello();
      return client;
    });
    const memory = memfd(8192);
    for (const client of clients) {
      expect(client.errno(DMA_MAP, map(0x1000, 8192), { fds: [memory] })).toBe(0);
    }
    expect(model.server.mappedFiles).toBe(1);
    clients[0].close();
    model.serve();
    expect(model.server.mappedFiles).toBe(1);
    clients[1].close();
    model.serve();
    expect(model.server.mappedFiles).toBe(0);
    native().close(memory);
  });

  test('of a file that grows is mapped as it grows', () => {
    const client = connected();
    const memory = memfd(8192);
    expect(client.errno(DMA_MAP, map(0, 8192), { fds: [memory] })).toBe(0);
    native().ftruncate(memory, 5 << 20);
    expect(client.errno(DMA_MAP, map(2 ** 30, 8192, 8192), { fds: [memory] })).toBe(0);
    expect(client.errno(DMA_MAP, map(2 ** 31, 8192, 4096), { fds: [memory] })).toBe(0);
    expect(model.server.mappedFiles).toBe(1);
    client.close();
    native().close(memory);
  });

  test('of a sparse file far larger than the address space is mapped where it is used', () => {
    const client = connected();
    const memory = memfd(2 ** 40);
    for (let i = 0; i < 4; i++) {
      const answer = client.errno(DMA_MAP, map(i * 4096, 4096, i * 2 ** 36), { fds: [memory] });
      expect(answer).toBe(0);
    }
    expect(client.errno(DMA_MAP, map(2 ** 40, 2 ** 36), { fds: [memory] })).toBe(12);
    client.close();
    model.serve();
    native().close(memory);
  });

  test('that is truncated costs its own client the connection and nobody else', async () => {
    const exchange = new SteppedExchange(model, path);
    const device = VfioUserDevice.over(exchange, `vfio-user:${path}`, processArena());
    const vf = await openVf(device, processArena());
    vf.stop();
    const other = new RawClient(model, model.path(1, 0));
    other.hello();
    const memory = memfd(4096);
    const iova = iovaOf(0);
    device.mapDma({ iova, sizeBytes: 4096, offset: 0, address: 0, fd: memory, fdOffset: 0 });
    device.write32(0x2000, iova % 2 ** 32); // VFTDBAL
    device.write32(0x2004, Math.floor(iova / 2 ** 32)); // VFTDBAH
    device.write32(0x2008, 64 * 16); // VFTDLEN
    device.write32(0x2010, 0); // VFTDH
    device.write32(0x2018, 0); // VFTDT
    device.write32(0x2028, 1 << 25); // VFTXDCTL.ENABLE
    model.nic.step(64);
    native().ftruncate(memory, 0);
    device.write32(0x2018, 1); // VFTDT: the engine reads a descriptor that is not there
    model.nic.step(64);
    expect(model.server.clients).toBe(2);
    model.serve();
    expect([model.server.clients, model.server.counters.dropped]).toEqual([1, 1]);
    expect(other.errno(GET_INFO, INFO)).toBe(0);
    vf.close();
    other.close();
    native().close(memory);
    expect(connected().errno(GET_INFO, INFO)).toBe(0);
  });
});

describe('a client that is slow', () => {
  test('may send a message byte by byte', () => {
    const client = connected();
    const bytes = message(9, GET_INFO, INFO);
    for (const byte of bytes) {
      client.sendBytes(Uint8Array.of(byte));
      model.serve();
    }
    expect(client.answer()).toMatchObject({ id: 9, flags: 1 });
    client.close();
  });

  test('and reads no replies keeps nobody waiting, and gets all of them in the end', () => {
    const client = connected();
    const other = new RawClient(model, model.path(1, 0));
    other.hello();
    const bytes = message(3, REGION_READ, words(0n, 3, 0x4000));
    native().setNonBlocking(client.fd, true);
    let sent = 0;
    for (let i = 0; i < 2000; i++) {
      if (client.sendBytes(bytes) === bytes.length) sent++;
      model.serve();
    }
    expect(sent).toBeGreaterThan(10);
    expect(other.errno(GET_INFO, INFO)).toBe(0);
    for (let i = 0; i < sent; i++) {
      const answer = client.answer();
      expect(answer).toMatchObject({ id: 3, flags: 1 });
    }
    client.close();
    other.close();
  });

  test('and hangs up with replies waiting is gone', () => {
    const client = connected();
    const bytes = message(3, REGION_READ, words(0n, 3, 0x4000));
    for (let i = 0; i < 200; i++) {
      client.sendBytes(bytes);
      model.serve();
    }
    client.close();
    model.serve();
    model.serve();
    expect(model.server.connections).toBe(0);
  });
});
