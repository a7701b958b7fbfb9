// What the server refuses, command by command. Numbers are written out from linux/vfio.h, errno.h
// and the vfio-user specification. Each refusal leaves the connection and the VF as they were.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { native } from '../../../src/support/native.ts';
import { type Fixture, makeFixture, memfd, message, openFds, RawClient, words } from './fixture.ts';

const EINVAL = 22;
const E2BIG = 7;
const EEXIST = 17;
const ENOTTY = 25;
const EOPNOTSUPP = 95;

const VERSION = 1;
const DMA_MAP = 2;
const DMA_UNMAP = 3;
const GET_INFO = 4;
const GET_REGION_INFO = 5;
const GET_REGION_IO_FDS = 6;
const GET_IRQ_INFO = 7;
const SET_IRQS = 8;
const REGION_READ = 9;
const REGION_WRITE = 10;
const RESET = 13;
const WRITE_MULTI = 15;

let model: Fixture;
let client: RawClient;
let fdsBefore: number;

beforeEach(() => {
  model = makeFixture({ ports: [{ vfs: 1 }] });
  client = new RawClient(model, model.path(0, 0));
  client.hello();
  fdsBefore = openFds();
});

afterEach(() => {
  // Whatever was refused: no fd stays, and the VF still answers.
  expect(openFds()).toBe(fdsBefore);
  expect(client.errno(GET_INFO, words(16, 0, 0, 0))).toBe(0);
  client.close();
  model.dispose();
});

/** A map of one page at `iova`. */
const map = (iova: number, size = 4096, flags = 3, offset = 0) =>
  words(32, flags, BigInt(offset), BigInt(iova), BigInt(size));
const unmap = (iova: number | bigint, size: number | bigint, flags = 0) =>
  words(24, flags, BigInt(iova), BigInt(size));
const read = (region: number, offset: number | bigint, count: number) =>
  words(BigInt(offset), region, count);
const write = (region: number, offset: number, data: Uint8Array) =>
  Buffer.concat([words(BigInt(offset), region, data.length), data]);
const setIrqs = (flags: number, index: number, start: number, count: number, argsz = 20) =>
  words(argsz, flags, index, start, count);

/** errno of a command that comes with `n` memfds of 8 KiB. */
function withFds(command: number, payload: Uint8Array, n: number): number {
  const fds = Array.from({ length: n }, () => memfd(8192));
  const errno = client.errno(command, payload, { fds });
  for (const fd of fds) native().close(fd);
  return errno;
}

describe('any message', () => {
  test('with an unknown command number is refused', () => {
    for (const command of [0, 14, 19, 99, 65_535]) expect(client.errno(command)).toBe(EINVAL);
  });

  test('of the protocol that this device has nothing for is refused as not supported', () => {
    for (const command of [GET_REGION_IO_FDS, 16, 17, 18]) {
      expect(client.errno(command, words(16, 0, 0, 0))).toBe(EOPNOTSUPP);
    }
  });

  test('that only a server may send is refused', () => {
    expect(client.errno(11, words(0n, 4, 0))).toBe(EINVAL);
    expect(client.errno(12, words(0n, 4, 0))).toBe(EINVAL);
  });

  test('with unknown flags is refused', () => {
    expect(client.errno(GET_INFO, words(16, 0, 0, 0), { flags: 0x40 })).toBe(EINVAL);
    expect(client.errno(GET_INFO, words(16, 0, 0, 0), { flags: 0x2 })).toBe(EINVAL);
  });

  test('may use an id again and is answered with it', () => {
    for (let i = 0; i < 3; i++) {
      const answer = client.ask(GET_INFO, words(16, 0, 0, 0), { id: 7 });
      expect([answer.id, answer.command, answer.flags]).toEqual([7, GET_INFO, 1]);
    }
  });

  test('that is a reply to nothing is counted and not answered', () => {
    client.send(GET_INFO, words(16, 3, 9, 5), { flags: 1 });
    client.send(REGION_READ, new Uint8Array(0), { flags: 0x21 });
    const answer = client.ask(GET_INFO, words(16, 0, 0, 0), { id: 77 });
    expect(answer.id).toBe(77);
    expect(model.server.counters.unsolicited).toBe(2);
  });

  test('that wants no reply gets none, not even for an error', () => {
    client.send(99, new Uint8Array(0), { flags: 0x10 });
    client.send(REGION_READ, read(7, 0, 4), { flags: 0x10 });
    expect(client.ask(GET_INFO, words(16, 0, 0, 0), { id: 5 }).id).toBe(5);
    expect(model.server.counters.refused).toBe(1);
  });

  test('that brings fds where none belong is refused and they are closed', () => {
    expect(withFds(GET_INFO, words(16, 0, 0, 0), 1)).toBe(EINVAL);
    expect(withFds(GET_REGION_INFO, words(32, 0, 0, 0, 0n, 0n), 1)).toBe(EINVAL);
    expect(withFds(GET_IRQ_INFO, words(16, 0, 2, 0), 2)).toBe(EINVAL);
    expect(withFds(REGION_READ, read(7, 0, 4), 1)).toBe(EINVAL);
    expect(withFds(REGION_WRITE, write(7, 4, words(0)), 1)).toBe(EINVAL);
    expect(withFds(WRITE_MULTI, words(1n, 4n, 7, 2, 0n), 1)).toBe(EINVAL);
    expect(withFds(DMA_UNMAP, unmap(0, 4096), 1)).toBe(EINVAL);
    expect(withFds(RESET, new Uint8Array(0), 1)).toBe(EINVAL);
    expect(withFds(99, new Uint8Array(0), 100)).toBe(EINVAL);
  });
});

describe('VERSION', () => {
  test('for a second time is refused', () => {
    expect(client.errno(VERSION, words(0))).toBe(EINVAL);
  });

  test('must be the first message, of major version 0, with JSON that makes sense', () => {
    const other = new RawClient(model, model.path(0, 0));
    const json = (text: string) => Buffer.concat([words(0), Buffer.from(text)]);
    expect(other.errno(GET_INFO, words(16, 0, 0, 0))).toBe(EINVAL);
    expect(other.errno(VERSION)).toBe(EINVAL);
    expect(other.errno(VERSION, words(1))).toBe(EINVAL);
    expect(other.errno(VERSION, json('{}'))).toBe(EINVAL);
    expect(other.errno(VERSION, json('[1]\0'))).toBe(EINVAL);
    expect(other.errno(VERSION, json('{"capabilities":{"max_msg_fds":"x"}}\0'))).toBe(EINVAL);
    expect(other.errno(VERSION, json('\xff\0'))).toBe(EINVAL);
    other.close();
    model.serve();
  });
});

describe('DMA_MAP', () => {
  test('of a wrong size or shape is refused', () => {
    expect(client.errno(DMA_MAP, words(32, 3))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, Buffer.concat([map(0), words(0)]))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, words(16, 3, 0n, 0n, 4096n))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0, 4096, 0))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0, 4096, 7))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0, 0))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0x1234))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0, 100))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, words(32, 3, 0n, 0xffff_ffff_ffff_f000n, 8192n))).toBe(EINVAL);
  });

  test('that overlaps a mapping is refused', () => {
    expect(withFds(DMA_MAP, map(0x10_000, 8192), 1)).toBe(0);
    expect(withFds(DMA_MAP, map(0x10_000, 8192), 1)).toBe(EEXIST);
    expect(withFds(DMA_MAP, map(0x11_000, 4096), 1)).toBe(EEXIST);
    expect(client.errno(DMA_MAP, map(0xf000, 0x10_000))).toBe(EEXIST);
    expect(model.server.mappedFiles).toBe(1);
    expect(client.errno(DMA_UNMAP, unmap(0x10_000, 8192))).toBe(0);
    client.close();
    model.serve();
    client = new RawClient(model, model.path(0, 0));
    client.hello();
  });

  test('with two fds is refused', () => {
    expect(withFds(DMA_MAP, map(0), 2)).toBe(EINVAL);
    expect(model.server.mappedFiles).toBe(0);
  });

  test('beyond the end of its file is refused', () => {
    expect(withFds(DMA_MAP, map(0, 12_288), 1)).toBe(EINVAL);
    expect(withFds(DMA_MAP, map(0, 4096, 3, 8192), 1)).toBe(EINVAL);
    expect(withFds(DMA_MAP, map(0, 4096, 3, 2 ** 40), 1)).toBe(EINVAL);
    expect(withFds(DMA_MAP, map(0, 4096, 3, 100), 1)).toBe(EINVAL);
    expect(model.server.mappedFiles).toBe(0);
  });

  test('of what is no file is refused', () => {
    const pair = new Int32Array(2);
    native().socketpair(pair);
    const zero = native().open('/dev/zero', 2);
    const eventfd = native().eventfd(0, 0);
    for (const fd of [pair[0], zero, eventfd]) {
      expect(client.errno(DMA_MAP, map(0), { fds: [fd] })).toBe(EINVAL);
    }
    for (const fd of [...pair, zero, eventfd]) native().close(fd);
  });

  test('of a file that may only be read is refused for writing, and for reading is one that faults', () => {
    const fd = memfd(4096);
    const readOnly = native().open(`/proc/self/fd/${fd}`, 0);
    expect(client.errno(DMA_MAP, map(0), { fds: [readOnly] })).toBe(EINVAL);
    expect(model.server.mappedFiles).toBe(0);
    expect(client.errno(DMA_MAP, map(0, 4096, 1), { fds: [readOnly] })).toBe(0);
    native().close(fd);
    native().close(readOnly);
    client.close();
    model.serve();
    client = new RawClient(model, model.path(0, 0));
    client.hello();
  });

  test('without an fd is accepted', () => {
    expect(client.errno(DMA_MAP, map(0xfffc_0000, 0x40_000, 1))).toBe(0);
    expect(client.errno(DMA_MAP, map(0xfffc_0000, 0x40_000, 1))).toBe(EEXIST);
  });
});

describe('DMA_UNMAP', () => {
  test('of a wrong size or shape is refused', () => {
    expect(client.errno(DMA_UNMAP, words(24, 0))).toBe(EINVAL);
    expect(client.errno(DMA_UNMAP, unmap(0, 0))).toBe(EINVAL);
    expect(client.errno(DMA_UNMAP, unmap(0x123, 4096))).toBe(EINVAL);
    expect(client.errno(DMA_UNMAP, unmap(0, 4096, 1))).toBe(EINVAL);
    expect(client.errno(DMA_UNMAP, unmap(0, 4096, 2))).toBe(EINVAL);
  });

  test('that cuts a mapping is refused and unmaps nothing', () => {
    expect(client.errno(DMA_MAP, map(0x10_000, 8192))).toBe(0);
    expect(client.errno(DMA_UNMAP, unmap(0x10_000, 4096))).toBe(EINVAL);
    expect(client.errno(DMA_UNMAP, unmap(0x11_000, 8192))).toBe(EINVAL);
    expect(client.errno(DMA_MAP, map(0x10_000))).toBe(EEXIST);
  });

  test('of nothing succeeds, and of half the address space drops all mappings in it', () => {
    expect(client.errno(DMA_UNMAP, unmap(0x5000, 4096))).toBe(0);
    for (let i = 0; i < 10; i++) expect(client.errno(DMA_MAP, map(i * 8192))).toBe(0);
    expect(client.errno(DMA_UNMAP, unmap(0, 1n << 63n))).toBe(0);
    expect(client.errno(DMA_UNMAP, unmap(1n << 63n, 1n << 63n))).toBe(0);
    for (let i = 0; i < 10; i++) expect(client.errno(DMA_MAP, map(i * 8192))).toBe(0);
    expect(client.errno(DMA_UNMAP, unmap(0, 0, 2))).toBe(0);
    expect(client.errno(DMA_MAP, map(0, 1 << 20))).toBe(0);
  });
});

describe('questions about the device', () => {
  test('of a wrong size are refused', () => {
    for (const command of [GET_INFO, GET_REGION_INFO, GET_IRQ_INFO]) {
      expect(client.errno(command)).toBe(EINVAL);
      expect(client.errno(command, words(8, 0))).toBe(EINVAL);
      expect(client.errno(command, words(8, 0, 0, 0, 0n, 0n))).toBe(EINVAL);
    }
    expect(client.errno(GET_INFO, words(16, 0, 0, 0, 0))).toBe(EINVAL);
  });

  test('about a region or interrupt that does not exist are refused', () => {
    expect(client.errno(GET_REGION_INFO, words(32, 0, 9, 0, 0n, 0n))).toBe(EINVAL);
    expect(client.errno(GET_REGION_INFO, words(32, 0, 0xffff_ffff, 0, 0n, 0n))).toBe(EINVAL);
    expect(client.errno(GET_IRQ_INFO, words(16, 0, 5, 0))).toBe(EINVAL);
  });
});

describe('DEVICE_SET_IRQS', () => {
  test('of a wrong size or shape is refused', () => {
    expect(client.errno(SET_IRQS, words(20, 0x21, 2))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x21, 2, 0, 1, 8))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x20, 2, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x01, 2, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x23, 2, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x31, 2, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x61, 2, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x22, 2, 0, 2, 21))).toBe(EINVAL);
  });

  test('outside the three vectors of MSI-X is refused', () => {
    expect(client.errno(SET_IRQS, setIrqs(0x24, 2, 3, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x24, 2, 0, 4))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x24, 2, 0xffff_ffff, 2))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x24, 0, 0, 1))).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x24, 5, 0, 1))).toBe(EINVAL);
  });

  test('with another number of fds than vectors is refused and they are closed', () => {
    expect(withFds(SET_IRQS, setIrqs(0x24, 2, 0, 3), 2)).toBe(EINVAL);
    expect(withFds(SET_IRQS, setIrqs(0x24, 2, 0, 1), 2)).toBe(EINVAL);
    expect(withFds(SET_IRQS, setIrqs(0x21, 2, 0, 1), 1)).toBe(EINVAL);
  });

  test('with an fd that is no eventfd is refused, the own socket among them', () => {
    expect(withFds(SET_IRQS, setIrqs(0x24, 2, 0, 1), 1)).toBe(EINVAL);
    expect(client.errno(SET_IRQS, setIrqs(0x24, 2, 0, 1), { fds: [client.fd] })).toBe(EINVAL);
  });

  test('that masks is refused, as by vfio-pci for MSI-X', () => {
    expect(client.errno(SET_IRQS, setIrqs(0x09, 2, 0, 1))).toBe(ENOTTY);
    expect(client.errno(SET_IRQS, setIrqs(0x11, 2, 0, 1))).toBe(ENOTTY);
    expect(withFds(SET_IRQS, setIrqs(0x0c, 2, 0, 1), 1)).toBe(ENOTTY);
  });
});

describe('region access', () => {
  test('of a wrong size or shape is refused', () => {
    expect(client.errno(REGION_READ, words(0n, 7))).toBe(EINVAL);
    expect(client.errno(REGION_READ, Buffer.concat([read(7, 0, 4), words(0)]))).toBe(EINVAL);
    expect(client.errno(REGION_READ, read(7, 0, 0))).toBe(EINVAL);
    expect(client.errno(REGION_READ, read(3, 0, 0x4001))).toBe(E2BIG);
    expect(client.errno(REGION_READ, read(3, 0, 0xffff_ffff))).toBe(E2BIG);
    expect(client.errno(REGION_WRITE, words(0n, 7, 4))).toBe(EINVAL);
    expect(client.errno(REGION_WRITE, words(0n, 7, 4, 0, 0))).toBe(EINVAL);
    expect(client.errno(REGION_WRITE, words(0n, 7, 0))).toBe(EINVAL);
  });

  test('outside a region is refused', () => {
    for (const [region, size] of [
      [0, 0x4000],
      [3, 0x4000],
      [7, 256],
    ] as const) {
      expect(client.errno(REGION_READ, read(region, size, 4))).toBe(EINVAL);
      expect(client.errno(REGION_READ, read(region, size - 4, 8))).toBe(EINVAL);
      expect(client.errno(REGION_WRITE, write(region, size, words(0)))).toBe(EINVAL);
      expect(client.errno(REGION_READ, read(region, 1n << 52n, 4))).toBe(EINVAL);
      expect(client.errno(REGION_READ, read(region, 0xffff_ffff_ffff_fffcn, 4))).toBe(EINVAL);
    }
    for (const region of [1, 2, 4, 5, 6, 8, 9, 0xffff_ffff]) {
      expect(client.errno(REGION_READ, read(region, 0, 4))).toBe(EINVAL);
      expect(client.errno(REGION_WRITE, write(region, 0, words(0)))).toBe(EINVAL);
    }
  });

  test('of registers by anything but aligned words is refused', () => {
    for (const [offset, count] of [
      [0, 1],
      [0, 2],
      [2, 4],
      [0, 3],
      [1, 8],
      [0, 12],
      [0, 0x4000],
    ] as const) {
      expect(client.errno(REGION_READ, read(0, offset, count))).toBe(EINVAL);
      expect(client.errno(REGION_WRITE, write(0, offset, new Uint8Array(count)))).toBe(EINVAL);
    }
    expect(model.nic.recorder.violations).toEqual([]);
  });

  test('in a list is refused as a whole where one write is wrong', () => {
    const table = (at: number, value: number) => words(BigInt(at), 3, 4, BigInt(value));
    const bad = Buffer.concat([words(2n), table(0, 0x5555), table(0x4000, 1)]);
    expect(client.errno(WRITE_MULTI, bad)).toBe(EINVAL);
    expect(client.ask(REGION_READ, read(3, 0, 4)).payload.readUInt32LE(16)).toBe(0);
    expect(client.errno(WRITE_MULTI, words(0n))).toBe(EINVAL);
    expect(client.errno(WRITE_MULTI, words(0))).toBe(EINVAL);
    expect(client.errno(WRITE_MULTI, Buffer.concat([words(2n), table(0, 1)]))).toBe(EINVAL);
    expect(client.errno(WRITE_MULTI, words(1n, 0n, 3, 9, 0n))).toBe(E2BIG);
    const good = Buffer.concat([words(2n), table(0, 0x5555), table(8, 0x6666)]);
    expect(client.ask(WRITE_MULTI, good).payload.readBigUInt64LE(0)).toBe(2n);
    expect(client.ask(REGION_READ, read(3, 0, 16)).payload.readUInt32LE(16 + 8)).toBe(0x6666);
  });
});

describe('DEVICE_RESET', () => {
  test('with a payload is refused', () => {
    expect(client.errno(RESET, words(0))).toBe(EINVAL);
    expect(client.errno(RESET)).toBe(0);
  });
});

describe('a message too damaged to answer', () => {
  for (const size of [0, 15, 16_417, 0xffff_ffff]) {
    test(`size ${size} ends that connection only`, () => {
      const other = new RawClient(model, model.path(0, 0));
      other.sendBytes(message(1, 1, words(0), 0, size));
      expect(other.answer()).toBe('hung up');
      other.close();
      expect(model.server.counters.dropped).toBe(1);
      expect(model.server.clients).toBe(1);
    });
  }
});
