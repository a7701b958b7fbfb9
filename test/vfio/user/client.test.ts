import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Arena, processArena } from '../../../src/memory/arena.ts';
import { type Iova, iovaOf } from '../../../src/memory/iova.ts';
import { native } from '../../../src/support/native.ts';
import { VfioUserDevice } from '../../../src/vfio/user/client.ts';
import {
  type Answer,
  barFile,
  errorReply,
  nextWindow,
  only,
  openFds,
  type Request,
  ScriptedServer,
  thrownBy,
  words,
} from './scripted-server.ts';

const ADDRESS = 'vfio-user:/run/vf.sock';
let arena: Arena;
let bar: number;

beforeAll(() => {
  arena = processArena();
  // The window that later ones reuse, so that growing the arena is no part of what tests count.
  arena.releaseWindow(arena.reserveWindow(0x4000));
  bar = barFile();
});
afterAll(() => void native().close(bar));

function open(server: ScriptedServer): VfioUserDevice {
  return VfioUserDevice.over(server, ADDRESS, arena);
}

describe('BAR0', () => {
  test('pages 1 and 2 are memory shared with the server, pages 0 and 3 are messages', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.takeCommands();
    expect([0, 1, 2, 3].map((page) => device.pageOffset(page) >= 0)).toEqual([
      false,
      true,
      true,
      false,
    ]);
    device.write32(0x1018, 0x11);
    device.write32(0x2ffc, 0xfffffffe);
    expect(device.read32(0x1018)).toBe(0x11);
    expect(device.read32(0x2ffc)).toBe(0xfffffffe);
    expect(server.takeCommands()).toEqual([]);
    const file = new Uint8Array(4);
    native().pread(bar, file, 0, 4, 0x10000 + 0x2ffc);
    expect([...file]).toEqual([0xfe, 0xff, 0xff, 0xff]);
    const word = device.pageOffset(1) / 4 + 0x18 / 4;
    expect(arena.views.u32[word]).toBe(0x11);
    device.write32(0x0, 0x04000000);
    device.write32(0x3190, 0x80000000);
    expect(device.read32(0x3190)).toBe(0x80000000);
    expect(server.takeCommands()).toEqual([10, 10, 9]);
    expect(server.registers.get(0x0)).toBe(0x04000000);
    device.close();
  });

  test('all pages are messages where the server shares none', () => {
    const server = new ScriptedServer();
    const device = open(server);
    server.takeCommands();
    expect([0, 1, 2, 3].map((page) => device.pageOffset(page))).toEqual([-1, -1, -1, -1]);
    device.write32(0x1018, 5);
    expect(device.read32(0x1018)).toBe(5);
    expect(server.takeCommands()).toEqual([10, 9]);
    device.close();
  });

  test('all pages are messages, with a warning, where the file could shrink', () => {
    const loose = barFile(0x14000, 0);
    const before = openFds();
    const warnings: string[] = [];
    const log = {
      debug: () => {},
      info: () => {},
      warn: (text: string) => void warnings.push(text),
    };
    const device = VfioUserDevice.over(new ScriptedServer(loose), ADDRESS, arena, { log });
    expect(device.pageOffset(1)).toBe(-1);
    expect(warnings).toEqual([expect.stringContaining('not sealed')]);
    expect(openFds()).toBe(before);
    device.close();
    native().close(loose);
  });

  test('an offset outside it or off a word is a caller mistake', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.takeCommands();
    for (const bad of [-4, 2, 0x1001, 0x4000, 0x10000]) {
      expect(() => device.read32(bad)).toThrow(RangeError);
      expect(() => device.write32(bad, 0)).toThrow(RangeError);
    }
    expect(() => device.pageOffset(4)).toThrow(RangeError);
    expect(() => device.readConfig16(255)).toThrow(RangeError);
    expect(() => device.readConfig16(256)).toThrow(RangeError);
    expect(() => device.writeConfig16(-2, 0)).toThrow(RangeError);
    expect(server.takeCommands()).toEqual([]);
    device.close();
  });
});

test('config space is read and written 16 bits at a time', () => {
  const server = new ScriptedServer(bar);
  const device = open(server);
  device.writeConfig16(4, 0x0004);
  expect(server.registers.get(0x70004)).toBe(4);
  expect(server.requests.at(-1)?.bytes).toHaveLength(34);
  expect(device.readConfig16(4)).toBe(4);
  device.close();
});

describe('DMA', () => {
  const map = (iova: number, sizeBytes = 0x200000) => ({
    iova: iova as Iova,
    sizeBytes,
    offset: 0,
    address: 0,
    fd: bar,
    fdOffset: 0x1000,
  });

  test('a mapping goes out with the fd of its memory and is taken back whole', () => {
    const before = openFds();
    const server = new ScriptedServer(bar);
    const device = open(server);
    device.mapDma(map(0x1_0000_0000));
    const sent = server.requests.at(-1) as Request;
    expect(sent.fds).toEqual([bar]);
    expect(sent.bytes.slice(16)).toEqual(words(32, 3, 0x1000, 0, 0, 1, 0x200000, 0));
    expect(thrownBy(() => device.mapDma(map(0x1_0010_0000))).errno).toBe(17);
    expect(thrownBy(() => device.unmapDma(0x1_0000_0000 as Iova, 4096)).errno).toBe(22);
    expect(thrownBy(() => device.unmapDma(0x2_0000_0000 as Iova, 4096)).errno).toBe(2);
    server.takeCommands();
    device.unmapDma(0x1_0000_0000 as Iova, 0x200000);
    expect(server.requests[0]?.bytes.slice(16)).toEqual(words(24, 0, 0, 1, 0x200000, 0));
    expect(thrownBy(() => device.unmapDma(0x1_0000_0000 as Iova, 0x200000)).errno).toBe(2);
    device.close();
    expect(openFds()).toBe(before);
  });

  test('a mapping that the server refuses is not one', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.twist = only(2, (request) => errorReply(request, 12));
    expect(thrownBy(() => device.mapDma(map(0x1_0000_0000))).errno).toBe(12);
    expect(thrownBy(() => device.unmapDma(0x1_0000_0000 as Iova, 0x200000)).errno).toBe(2);
    device.close();
  });

  test('no more mappings are made than the server takes', () => {
    const server = new ScriptedServer(bar);
    server.version = '{"capabilities":{"max_dma_maps":1}}\0';
    const device = open(server);
    device.mapDma(map(0x1_0000_0000));
    expect(thrownBy(() => device.mapDma(map(0x1_0020_0000))).errno).toBe(28);
    device.close();
  });

  test('the arena attaches: its memory goes out with its own file and offset', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    const offset = arena.allocateDma(4096);
    arena.attach(device);
    const sent = server.requests.filter((request) => request.command === 2);
    expect(sent.length).toBeGreaterThan(0);
    const holds = sent.some((request) => {
      const iova = request.view.getUint32(36, true) * 2 ** 32 + request.view.getUint32(32, true);
      const size = request.view.getUint32(40, true);
      return iova <= iovaOf(offset) && iovaOf(offset) < iova + size;
    });
    expect(holds).toBe(true);
    arena.detach(device);
    arena.releaseDma(offset);
    expect(server.requests.filter((request) => request.command === 3)).toHaveLength(sent.length);
    device.close();
  });
});

describe('vectors', () => {
  test('a full set goes out in one message with its fds', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.takeCommands();
    device.enableVectors([bar, bar, bar]);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.fds).toEqual([bar, bar, bar]);
    expect(server.requests[0]?.bytes.slice(16)).toEqual(words(20, 0x24, 2, 0, 3));
    server.takeCommands();
    device.enableVectors([bar]);
    expect(server.requests.map((request) => request.fds.length)).toEqual([1, 0]);
    expect(server.requests[1]?.bytes.slice(16)).toEqual(words(20, 0x24, 2, 1, 2));
    server.takeCommands();
    device.disableVectors();
    expect(server.requests[0]?.bytes.slice(16)).toEqual(words(20, 0x21, 2, 0, 0));
    server.takeCommands();
    device.enableVectors([-1, bar]);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.bytes.slice(16)).toEqual(words(20, 0x24, 2, 1, 1));
    device.close();
  });

  test('more than the device has, or no fds at all, are caller mistakes', () => {
    const device = open(new ScriptedServer(bar));
    expect(() => device.enableVectors([3, 3, 3, 3])).toThrow(RangeError);
    expect(() => device.enableVectors([-2])).toThrow(RangeError);
    expect(() => device.enableVectors([0.5])).toThrow(RangeError);
    device.close();
  });
});

describe('reset', () => {
  test('is one message', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.takeCommands();
    device.reset();
    expect(server.takeCommands()).toEqual([13]);
    device.close();
  });

  test('is refused, unsent, where the server says it cannot', () => {
    const server = new ScriptedServer(bar);
    server.deviceFlags = 2;
    const device = open(server);
    server.takeCommands();
    expect(thrownBy(() => device.reset()).errno).toBe(22);
    expect(server.takeCommands()).toEqual([]);
    device.close();
  });
});

describe('close', () => {
  test('resets first, then takes vectors and memory back, then hangs up, once', () => {
    const before = openFds();
    const server = new ScriptedServer(bar);
    const device = open(server);
    device.mapDma({
      iova: 0x1_0000_0000 as Iova,
      sizeBytes: 4096,
      offset: 0,
      address: 0,
      fd: bar,
      fdOffset: 0,
    });
    const page = device.pageOffset(1);
    device.write32(0x1000, 0x1234);
    server.takeCommands();
    device.close();
    device.close();
    expect(server.takeCommands()).toEqual([13, 8, 3]);
    expect(server.closed).toBe(1);
    expect(openFds()).toBe(before);
    expect(arena.views.u32[page / 4]).toBe(0);
  });

  test('goes on where the server refuses a step, and says so', () => {
    const server = new ScriptedServer(bar);
    const warnings: string[] = [];
    const log = {
      debug: () => {},
      info: () => {},
      warn: (text: string) => void warnings.push(text),
    };
    const device = VfioUserDevice.over(server, ADDRESS, arena, { log });
    server.takeCommands();
    server.twist = only(13, (request) => errorReply(request, 5));
    device.close();
    expect(server.takeCommands()).toEqual([13, 8]);
    expect(warnings).toEqual([expect.stringContaining('EIO')]);
    expect(server.closed).toBe(1);
  });

  test('stops asking a server that is gone, and gives the window back all the same', () => {
    const window = nextWindow(arena);
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.takeCommands();
    server.twist = () => -104;
    device.close();
    expect(server.takeCommands()).toEqual([13]);
    expect(server.closed).toBe(1);
    expect(nextWindow(arena)).toBe(window);
  });

  test('makes every other method throw', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    device.close();
    server.takeCommands();
    const mapping = {
      iova: 0x1_0000_0000 as Iova,
      sizeBytes: 4096,
      offset: 0,
      address: 0,
      fd: bar,
      fdOffset: 0,
    };
    for (const call of [
      () => device.read32(0),
      () => device.read32(0x1000),
      () => device.write32(0x1000, 1),
      () => device.write32(0x3000, 1),
      () => device.pageOffset(1),
      () => device.readConfig16(0),
      () => device.writeConfig16(4, 0),
      () => device.mapDma(mapping),
      () => device.unmapDma(mapping.iova, 4096),
      () => device.enableVectors([bar]),
      () => device.disableVectors(),
      () => device.takeEvents(),
      () => device.reset(),
    ]) {
      expect(thrownBy(call).message).toContain('the device is closed');
    }
    expect(server.takeCommands()).toEqual([]);
  });
});

describe('events of the host', () => {
  const REMOVAL = 1;
  const ERROR = 2;

  /** Opens a device; the fds that the server was given for ERR (index 3) and REQ (index 4), to be closed by the test. */
  function connected(server: ScriptedServer): { device: VfioUserDevice; fds: Map<number, number> } {
    const fds = new Map<number, number>();
    server.twist = only(8, ({ view, fds: given }, good) => {
      for (const fd of given) fds.set(view.getUint32(24, true), native().dup(fd));
      return good;
    });
    return { device: open(server), fds };
  }

  test('are told once each, and none costs a message', () => {
    const before = openFds();
    const server = new ScriptedServer(bar);
    server.eventIrqs = 1;
    const { device, fds } = connected(server);
    const [error, request] = [fds.get(3) ?? -1, fds.get(4) ?? -1];
    server.takeCommands();
    expect(device.takeEvents()).toBe(0);
    native().eventfdSignal(request);
    native().eventfdSignal(request);
    expect([device.takeEvents(), device.takeEvents()]).toEqual([REMOVAL, 0]);
    native().eventfdSignal(error);
    native().eventfdSignal(request);
    expect([device.takeEvents(), device.takeEvents()]).toEqual([REMOVAL | ERROR, 0]);
    expect(server.takeCommands()).toEqual([]);
    device.close();
    for (const fd of fds.values()) native().close(fd);
    expect(openFds()).toBe(before);
  });

  const SAID = [
    expect.stringMatching(/no events .*EINVAL/),
    expect.stringMatching(/no events .*EINVAL/),
  ];
  test.each([
    ['has none', { irqs: 3 }, [1, 4, 5, 7, 9, 5], []],
    ['counts none', { eventIrqs: 0 }, [1, 4, 5, 7, 9, 5, 7, 7], []],
    [
      'will not say',
      {
        twist: (request: Request, good: Exclude<Answer, number>) =>
          request.command === 7 && request.view.getUint32(24, true) > 2
            ? errorReply(request, 22)
            : good,
      },
      [1, 4, 5, 7, 9, 5, 7, 7],
      SAID,
    ],
    [
      'refuses the eventfds',
      { eventIrqs: 1, twist: only(8, (request) => errorReply(request, 22)) },
      [1, 4, 5, 7, 9, 5, 7, 8, 7, 8],
      SAID,
    ],
  ])('never come from a server that %s', (_, change, commands, said) => {
    const before = openFds();
    const server = new ScriptedServer(bar);
    Object.assign(server, change);
    const warnings: string[] = [];
    const log = {
      debug: () => {},
      info: () => {},
      warn: (text: string) => void warnings.push(text),
    };
    const device = VfioUserDevice.over(server, ADDRESS, arena, { log });
    expect(server.takeCommands()).toEqual(commands);
    expect(warnings).toEqual(said);
    expect(device.takeEvents()).toBe(0);
    device.close();
    expect(openFds()).toBe(before);
  });

  test('a reset that meets a removal says what EAGAIN means', () => {
    const server = new ScriptedServer(bar);
    const device = open(server);
    server.twist = only(13, (request) => errorReply(request, 11));
    const { errno, message } = thrownBy(() => device.reset());
    expect(errno).toBe(11);
    expect(message).toContain('waits for it to be given back (unbind, sriov_numvfs=0, hot unplug)');
    device.close();
    expect(server.closed).toBe(1);
  });
});

test('once the server is lost even shared pages throw, instead of showing stale registers', () => {
  const server = new ScriptedServer(bar);
  const device = open(server);
  device.write32(0x1000, 7);
  server.twist = () => -110;
  expect(thrownBy(() => device.read32(0)).message).toContain('within 5000 ms');
  expect(thrownBy(() => device.read32(0x1000)).message).toContain('connection lost earlier');
  expect(thrownBy(() => device.write32(0x1000, 8)).operation).toBe('write BAR0+0x1000');
  device.close();
  expect(server.closed).toBe(1);
});

describe('a server that answers in time, but slowly', () => {
  /** Answers after `delayMs`. */
  function slow(delayMs: number): ScriptedServer {
    const server = new ScriptedServer(bar);
    server.twist = (_, answer) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
      return answer;
    };
    return server;
  }

  test('is given up when the whole start takes too long', () => {
    const server = slow(30);
    const { errno, message } = thrownBy(() =>
      VfioUserDevice.over(server, ADDRESS, arena, { startMs: 75 }),
    );
    expect(errno).toBe(110);
    expect(message).toMatch(/expected the whole start to take at most 75 ms, got more/);
    expect(server.takeCommands()).toHaveLength(3);
    expect(server.closed).toBe(1);
  });

  test('may be as slow afterwards as one request may', () => {
    const server = slow(10);
    const device = VfioUserDevice.over(server, ADDRESS, arena, { startMs: 200 });
    device.started();
    for (let i = 0; i < 20; i++) device.read32(0);
    server.twist = (_, answer) => answer;
    device.close();
    expect(server.closed).toBe(1);
  });
});
