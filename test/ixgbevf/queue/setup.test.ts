import { afterEach, describe, expect, test } from 'vitest';
import {
  createQueue,
  destroyQueue,
  disarm,
  type QueueMemory,
} from '../../../src/ixgbevf/queue/memory.ts';
import {
  awaitStopped,
  disableQueues,
  startRx as startingRx,
  startTx as startingTx,
  startLate,
  usableBufferBytes,
  writePacketTypes,
} from '../../../src/ixgbevf/queue/setup.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { createMempool, destroyMempool, type Mempool } from '../../../src/memory/mempool.ts';
import { finish } from '../../../src/support/poll.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';

type Start = Parameters<typeof startingRx>;
const startRx = (...args: Start): QueueMemory[] => finish(startingRx(...args));
const startTx = (...args: Start): QueueMemory[] => finish(startingTx(...args));

const arena = processArena();
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

function makeMempool(count: number, bufferBytes = 2048, headroomBytes = 0): Mempool {
  const mempool = createMempool(arena, { count, bufferBytes, headroomBytes });
  cleanups.push(() => destroyMempool(arena, mempool));
  return mempool;
}

function makeQueue(kind: 'rx' | 'tx', index: number, mempool: Mempool): QueueMemory {
  const queue = createQueue(arena, kind, index, 64, mempool);
  cleanups.push(() => {
    disarm(queue);
    destroyQueue(arena, queue);
  });
  return queue;
}

describe('refusals', () => {
  test('an rx queue whose ENABLE stays 0 is handed back, and gets its tail when it reads 1', () => {
    const device = new ScriptedDevice();
    const queue = makeQueue('rx', 1, makeMempool(64));
    device.readAs.set(0x1068, () => 0);
    expect(startRx(device, device.clock, [queue])).toEqual([queue]);
    expect(startLate(device, [queue])).toEqual([queue]);
    expect(device.written(0x1058)).toEqual([0]);
    expect(device.clock.nowUs()).toBeLessThan(110_000);
    device.readAs.clear();
    expect(startLate(device, [queue])).toEqual([]);
    expect(device.written(0x1058)).toEqual([0, 63]);
  });

  test('a tx queue whose ENABLE stays 0 sends nothing, and gets its tail when it reads 1', () => {
    const device = new ScriptedDevice();
    const queues = [0, 1].map((q) => makeQueue('tx', q, makeMempool(1)));
    device.readAs.set(0x2028, () => 0);
    expect(startTx(device, device.clock, queues)).toEqual([queues[0]]);
    expect(device.written(0x2018)).toEqual([0]);
    expect(device.written(0x2058)).toEqual([0, 1]);
    device.readAs.clear();
    expect(startLate(device, [queues[0]])).toEqual([]);
    expect(device.written(0x2018)).toEqual([0, 1]);
  });

  test('many queues whose ENABLE stays 0 take no longer than one', () => {
    const device = new ScriptedDevice();
    const queues = Array.from({ length: 8 }, (_, q) => makeQueue('rx', q, makeMempool(64)));
    for (let q = 0; q < 8; q++) device.readAs.set(0x1028 + 0x40 * q, () => 0);
    expect(startRx(device, device.clock, queues)).toEqual(queues);
    expect(device.clock.nowUs()).toBeLessThan(110_000);
  });

  test('a queue that does not stop is named', () => {
    const device = new ScriptedDevice();
    device.readAs.set(0x1028, () => 0x02000000);
    disableQueues(device, 1, 1);
    expect(() => awaitStopped(device, device.clock, 1, 1)).toThrow(/VFRXDCTL\(0\).*wanted 0/);
    expect(device.clock.nowUs()).toBeLessThan(200_000);
  });
});

test('an rx queue is programmed, enabled, filled, and only then given its tail', () => {
  const device = new ScriptedDevice();
  const queue = makeQueue('rx', 2, makeMempool(100));
  startRx(device, device.clock, [queue]);
  const low = queue.descriptorOffset;
  expect(device.writes).toEqual([
    [0x10a8, 0],
    [0x1080, low],
    [0x1084, 1],
    [0x1088, 64 * 16],
    [0x108c, 0x200],
    [0x1090, 0],
    [0x1098, 0],
    [0x1094, 0x12000402],
    [0x10a8, 0x02000000],
    [0x1098, 63],
  ]);
});

test('a tx queue is programmed with WTHRESH 0 and no head write-back, and starts behind its context descriptor', () => {
  const device = new ScriptedDevice();
  const queue = makeQueue('tx', 1, makeMempool(1));
  startTx(device, device.clock, [queue]);
  const low = queue.descriptorOffset;
  expect(device.writes).toEqual([
    [0x2068, 0x04000000],
    [0x2040, low],
    [0x2044, 1],
    [0x2048, 64 * 16],
    [0x207c, 0],
    [0x2078, 0],
    [0x204c, 0x2200],
    [0x2050, 0],
    [0x2058, 0],
    [0x2068, 0x02000120],
    [0x2058, 1],
  ]);
  const words = arena.views.u32.subarray(low >>> 2, (low >>> 2) + 4);
  expect([...words]).toEqual([14 << 9, 0, 0x20201800, 0]);
});

test('descriptors of an earlier run are cleared before the queue is enabled', () => {
  const device = new ScriptedDevice();
  const queue = makeQueue('tx', 0, makeMempool(1));
  const ring = arena.views.u32.subarray(queue.descriptorOffset >>> 2).subarray(4, 256);
  ring.fill(0xffffffff);
  startTx(device, device.clock, [queue]);
  expect(ring.every((word) => word === 0)).toBe(true);
});

test('a queue starts although the silicon takes its time to enable it', () => {
  const device = new ScriptedDevice();
  const queue = makeQueue('rx', 0, makeMempool(64));
  device.queued.set(0x1028, [0x02000000, 0x02000000, 0, 0, 0]);
  startRx(device, device.clock, [queue]);
  expect(device.clock.nowUs()).toBeGreaterThan(0);
  expect(device.written(0x1018)).toEqual([0, 63]);
});

test('the buffer size is what is left behind the headroom, in KiB', () => {
  expect(usableBufferBytes(2048, 0)).toBe(2048);
  expect(usableBufferBytes(2048, 64)).toBe(1024);
  expect(usableBufferBytes(10_240, 128)).toBe(9216);
  const device = new ScriptedDevice();
  startRx(device, device.clock, [makeQueue('rx', 0, makeMempool(64, 10_240, 128))]);
  expect(device.written(0x1014)).toEqual([0x12000409]);
});

test('stopping clears ENABLE and leaves VME of rx, writes SWFLSH alone to tx, then 0, and reads VFSTATUS between', () => {
  const device = new ScriptedDevice();
  device.words.set(0x1028, 0x42000000);
  device.words.set(0x2028, 0x02000120);
  const order: string[] = [];
  const read32 = device.read32.bind(device);
  device.read32 = (offset) => {
    order.push(`r${offset.toString(16)}`);
    return read32(offset);
  };
  const write32 = device.write32.bind(device);
  device.write32 = (offset, value) => {
    order.push(`w${offset.toString(16)}=${value.toString(16)}`);
    write32(offset, value);
  };
  disableQueues(device, 1, 1);
  awaitStopped(device, device.clock, 1, 1);
  expect(order).toEqual([
    'r1028',
    'w1028=40000000',
    'r8',
    'w2028=4000000',
    'r8',
    'w2028=0',
    'r8',
    'r1028',
    'r2028',
  ]);
});

test('the number of rx queues goes into RQPL as a power of two', () => {
  const device = new ScriptedDevice();
  for (const queues of [1, 2, 4, 8]) writePacketTypes(device, queues);
  expect(device.written(0x0300)).toEqual([0x00001330, 0x20001330, 0x40001330, 0x60001330]);
});
