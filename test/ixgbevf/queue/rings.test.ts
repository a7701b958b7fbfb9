// The two loops against descriptors written by hand. Numbers are literals: a
// device would see exactly these words.
import { describe, expect, it } from 'vitest';
import { openGates } from '../../../src/ixgbevf/queue/gate.ts';
import {
  armRx,
  armTx,
  clearDescriptors,
  createQueue,
  destroyQueue,
  disarm,
  type QueueMemory,
} from '../../../src/ixgbevf/queue/memory.ts';
import {
  openRxQueue,
  openTxQueue,
  type RxQueue,
  type TxQueue,
} from '../../../src/ixgbevf/queue/queues.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { FLAGS_TABLE, HASH_TABLE, LENGTH_TABLE, VLAN_TABLE } from '../../../src/memory/layout.ts';
import { createMempool, type Mempool, type MempoolOptions } from '../../../src/memory/mempool.ts';

const arena = processArena();
const DD_EOP = 0x3;
const RX_DD = 0x1;

interface Bench {
  queue: QueueMemory;
  mempool: Mempool;
  /** The tail register. */
  tail: () => number;
  /** Word w of descriptor i. */
  word: (i: number, w: number) => number;
  write: (i: number, w: number, value: number) => void;
}

function bench(kind: 'rx' | 'tx', size: number, options: MempoolOptions, features = 0): Bench {
  const mempool = createMempool(arena, options);
  const queue = createQueue(arena, kind, 0, size, mempool, 'test:0', features);
  const tailWord = arena.allocateControl(64) >>> 2;
  clearDescriptors(queue);
  arena.views.i32[tailWord] = kind === 'rx' ? armRx(queue, tailWord) : armTx(queue, tailWord);
  openGates([queue]);
  const base = queue.descriptorOffset >>> 2;
  return {
    queue,
    mempool,
    tail: () => arena.views.i32[tailWord],
    word: (i, w) => arena.views.u32[base + i * 4 + w],
    write: (i, w, value) => {
      arena.views.u32[base + i * 4 + w] = value;
    },
  };
}

async function rxBench(
  size: number,
  options: MempoolOptions,
  features = 0,
): Promise<Bench & { rx: RxQueue }> {
  const b = bench('rx', size, options, features);
  return { ...b, rx: await openRxQueue(b.queue.handle) };
}

async function txBench(size: number, options: MempoolOptions): Promise<Bench & { tx: TxQueue }> {
  const b = bench('tx', size, options);
  return { ...b, tx: await openTxQueue(b.queue.handle) };
}

/** Takes n buffers and gives each the length. */
function frames(mempool: Mempool, n: number, length: number): Int32Array {
  const bufs = new Int32Array(n);
  expect(mempool.takeBatch(bufs, 0, n)).toBe(n);
  for (const buf of bufs) arena.views.u16[LENGTH_TABLE / 2 + buf] = length;
  return bufs;
}

describe('both loops', () => {
  it('refuse a batch outside its array before touching anything', async () => {
    const { rx, mempool } = await rxBench(64, { count: 128 });
    const bufs = new Int32Array(8);
    for (const [from, n] of [
      [0, 9],
      [-1, 2],
      [0, -1],
      [4, 5],
      [0, 1.5],
      [Number.NaN, 1],
    ] as const) {
      expect(() => rx.batch(bufs, from, n)).toThrow(/batch: expected integers .* got from/);
    }
    expect(mempool.available).toBe(64);
    expect(rx.batch(bufs, 8, 0)).toBe(0);
  });

  it('move nothing while stopped and throw once closed', async () => {
    const { rx, queue, mempool } = await rxBench(64, { count: 64 });
    const bufs = new Int32Array(8);
    disarm(queue);
    expect(mempool.available).toBe(64);
    expect(rx.batch(bufs, 0, 8)).toBe(0);
    destroyQueue(arena, queue);
    expect(() => rx.batch(bufs, 0, 8)).toThrow(/test:0.*expected an open device, got a closed one/);
    expect(rx.closed).toBe(true);
  });

  it('need a device for a trapped tail, and say so in a thread that has none', async () => {
    const mempool = createMempool(arena, { count: 64 });
    const queue = createQueue(arena, 'tx', 0, 64, mempool, 'test:0');
    armTx(queue, 0);
    openGates([queue]);
    const tx = await openTxQueue(queue.handle);
    const bufs = frames(mempool, 1, 60);
    expect(() => tx.batch(bufs, 0, 1)).toThrow(
      /expected a mapped tail register, got a trapped one/,
    );
  });
});

describe('rx loop', () => {
  it('refuses a mempool smaller than the ring', () => {
    const mempool = createMempool(arena, { count: 63 });
    const queue = createQueue(arena, 'rx', 0, 64, mempool);
    expect(() => armRx(queue, 1)).toThrow(
      /expected a mempool with at least 64 free buffers .* got 63/,
    );
    expect(mempool.available).toBe(63);
  });

  it('posts a buffer in every slot, headroom included, and leaves the tail one behind', async () => {
    const { word, queue, tail } = await rxBench(64, { count: 64, headroomBytes: 128 });
    const seen = new Set<number>();
    for (let i = 0; i < 64; i++) {
      expect(word(i, 0) % 2048).toBe(128);
      expect([word(i, 1), word(i, 2), word(i, 3)]).toEqual([1, 0, 0]);
      seen.add(word(i, 0));
    }
    expect(seen.size).toBe(64);
    expect(tail()).toBe(63);
    disarm(queue);
  });

  it('hands out the buffer, its length, and re-arms the slot with another', async () => {
    const { rx, word, write, mempool, tail } = await rxBench(64, { count: 128 });
    const bufs = new Int32Array(4);
    const posted = word(0, 0);
    write(0, 0, 0xdead_beef);
    write(0, 1, 0xdead_beef);
    write(0, 3, 0x0fff_0040); // VLAN bits above the length must not leak into it
    write(0, 2, DD_EOP);
    expect(rx.batch(bufs, 1, 3)).toBe(1);
    expect(bufs[1] * 2048).toBe(posted);
    expect(arena.views.u16[LENGTH_TABLE / 2 + bufs[1]]).toBe(64);
    expect(word(0, 0)).not.toBe(posted);
    expect([word(0, 1), word(0, 2), word(0, 3)]).toEqual([1, 0, 0]);
    expect(tail()).toBe(0);
    expect(mempool.available).toBe(63);
    expect(rx.counters).toEqual({ packets: 1, bytes: 64, dropped: 0, lost: 0 });
    expect(rx.batch(bufs, 0, 4)).toBe(0);
  });

  it('keeps flags, hash and VLAN tag of a frame where the queue was made for it, and only there', async () => {
    const { i32, u16 } = arena.views;
    for (const features of [0, 1]) {
      const { rx, write } = await rxBench(64, { count: 128 }, features);
      const bufs = new Int32Array(2);
      write(0, 0, 0xabcd_0113); // IPv4, TCP, RSS over both; the high half is not kept
      write(0, 1, 0x8000_0001);
      write(0, 3, 0x1fff_0040);
      write(0, 2, 0xc000_006b); // checksums looked at and both wrong, VLAN tag; whole
      write(1, 2, DD_EOP);
      const buf = i32[i32[rx.handle.state + 4]];
      for (const table of [FLAGS_TABLE, HASH_TABLE]) i32[table / 4 + buf] = 0x5555;
      u16[VLAN_TABLE / 2 + buf] = 0x5555;
      expect(rx.batch(bufs, 0, 2)).toBe(2);
      expect(bufs[0]).toBe(buf);
      expect([
        i32[FLAGS_TABLE / 4 + buf] >>> 0,
        i32[HASH_TABLE / 4 + buf] >>> 0,
        u16[VLAN_TABLE / 2 + buf],
      ]).toEqual(features === 1 ? [0xc06b_0113, 0x8000_0001, 0x1fff] : [0x5555, 0x5555, 0x5555]);
      expect(u16[LENGTH_TABLE / 2 + buf]).toBe(64);
    }
  });

  it('wraps around the ring many times without losing a buffer', async () => {
    const { rx, write, mempool, queue } = await rxBench(64, { count: 200 });
    const bufs = new Int32Array(256);
    let device = 0;
    let total = 0;
    for (let round = 0; round < 500; round++) {
      const n = (round * 7) % 63;
      for (let i = 0; i < n; i++) {
        write(device, 3, 60 + i);
        write(device, 2, DD_EOP);
        device = (device + 1) % 64;
      }
      let got = 0;
      while (got < n) got += rx.batch(bufs, got, Math.min((round % 256) + 1, n - got));
      for (let i = 0; i < n; i++) expect(arena.views.u16[LENGTH_TABLE / 2 + bufs[i]]).toBe(60 + i);
      expect(new Set(bufs.subarray(0, n)).size).toBe(n);
      mempool.giveBatch(bufs, 0, n);
      total += n;
    }
    expect(rx.counters.packets).toBe(total);
    disarm(queue);
    expect(mempool.available).toBe(200);
  });

  it('drops frames larger than a buffer whole, and damaged ones, each counted once', async () => {
    const { rx, write, mempool } = await rxBench(64, { count: 128 });
    const bufs = new Int32Array(8);
    write(0, 2, RX_DD); // first part
    write(1, 2, RX_DD); // second part
    write(2, 2, DD_EOP); // last part: whole by itself, but not by itself
    write(3, 2, DD_EOP | 0x0100_0000); // CRC error
    write(4, 3, 60);
    write(4, 2, DD_EOP);
    expect(rx.batch(bufs, 0, 8)).toBe(1);
    expect(rx.counters).toEqual({ packets: 1, bytes: 60, dropped: 2, lost: 0 });
    expect(mempool.available).toBe(63);
  });

  it('goes on skipping a large frame whose end comes in a later batch', async () => {
    const { rx, write } = await rxBench(64, { count: 128 });
    const bufs = new Int32Array(8);
    write(0, 2, RX_DD);
    expect(rx.batch(bufs, 0, 8)).toBe(0);
    write(1, 2, DD_EOP);
    expect(rx.batch(bufs, 0, 8)).toBe(0);
    expect(rx.counters.dropped).toBe(1);
    write(2, 3, 61);
    write(2, 2, DD_EOP);
    expect(rx.batch(bufs, 0, 8)).toBe(1);
  });

  it('leaves frames in the ring while the mempool is empty, counts it, and takes them later', async () => {
    const { rx, write, mempool, tail } = await rxBench(64, { count: 65 });
    const bufs = new Int32Array(8);
    for (let i = 0; i < 3; i++) {
      write(i, 3, 60);
      write(i, 2, DD_EOP);
    }
    expect(rx.batch(bufs, 0, 8)).toBe(1);
    expect(mempool.exhausted).toBe(1);
    expect(rx.batch(bufs, 1, 7)).toBe(0);
    expect(tail()).toBe(0);
    mempool.give(bufs[0]);
    expect(rx.batch(bufs, 1, 7)).toBe(1);
  });
});

describe('tx loop', () => {
  it('posts the context descriptor that CC refers to, and starts behind it', async () => {
    const { word, tail } = await txBench(64, { count: 64 });
    expect([0, 1, 2, 3].map((w) => word(0, w))).toEqual([14 << 9, 0, 0x2020_1800, 0]);
    expect(tail()).toBe(1);
  });

  it('writes address, command and PAYLEN, and asks for a report once a block', async () => {
    const { tx, word, mempool, tail } = await txBench(64, { count: 64, headroomBytes: 64 });
    const bufs = frames(mempool, 33, 60);
    expect(tx.batch(bufs, 0, 33)).toBe(33);
    expect(tail()).toBe(34);
    for (let i = 1; i <= 33; i++) {
      expect(word(i, 0)).toBe(bufs[i - 1] * 2048 + 64);
      expect(word(i, 1)).toBe(1);
      // DEXT, DTYP data, IFCS, EOP; RS only in slot 32
      expect(word(i, 2)).toBe((i === 32 ? 0x2b30_0000 : 0x2330_0000) + 60);
      expect(word(i, 3)).toBe(0x80 + (60 << 14));
    }
    expect(tx.counters).toEqual({ packets: 33, bytes: 33 * 60, dropped: 0, lost: 0 });
  });

  it('fills to size - 2, never past it, and takes the rest after the device reports', async () => {
    const { tx, write, mempool, tail } = await txBench(64, { count: 256 });
    const bufs = frames(mempool, 100, 60);
    expect(tx.batch(bufs, 0, 100)).toBe(62);
    expect(tail()).toBe(63);
    expect(tx.batch(bufs, 62, 38)).toBe(0);
    write(32, 3, 0x1);
    expect(tx.batch(bufs, 62, 38)).toBe(32);
    expect(mempool.available).toBe(156 + 32);
    expect(tail()).toBe(31);
    write(0, 3, 0x1); // the block 33..63,0 ends in slot 0
    expect(tx.clean()).toBe(30);
    expect(mempool.available).toBe(156 + 64);
  });

  it.each([64, 4096])(
    'gives every buffer of a ring of %i back, whatever the batch size',
    async (size) => {
      const { tx, write, word, mempool, queue } = await txBench(size, { count: size * 2 });
      let device = 1;
      const bufs = new Int32Array(256);
      let sent = 0;
      for (let round = 0; round < 600; round++) {
        const n = mempool.takeBatch(bufs, 0, (round % 256) + 1);
        for (let i = 0; i < n; i++) arena.views.u16[LENGTH_TABLE / 2 + bufs[i]] = 60;
        const k = tx.batch(bufs, 0, n);
        sent += k;
        mempool.giveBatch(bufs, k, n - k);
        for (let i = 0; i < k; i++) {
          if ((word(device, 2) & 0x0800_0000) !== 0) write(device, 3, word(device, 3) | 1);
          device = (device + 1) % size;
        }
      }
      expect(tx.counters.packets).toBe(sent);
      expect(sent).toBeGreaterThan(size * 4);
      disarm(queue);
      expect(mempool.available).toBe(size * 2);
      const all = frames(mempool, size * 2, 60);
      expect(new Set(all).size).toBe(size * 2);
    },
  );

  it('pads what is below 17 bytes and drops what no frame can be, each counted', async () => {
    const { tx, word, mempool } = await txBench(64, { count: 64 });
    const lengths = [0, 13, 14, 16, 17, 2048, 2049];
    const bufs = frames(mempool, lengths.length, 0);
    lengths.forEach((length, i) => {
      arena.views.u16[LENGTH_TABLE / 2 + bufs[i]] = length;
      arena.views.u8.fill(0xaa, bufs[i] * 2048, bufs[i] * 2048 + 64);
    });
    expect(tx.batch(bufs, 0, lengths.length)).toBe(lengths.length);
    expect([1, 2, 3, 4].map((i) => word(i, 2) & 0xffff)).toEqual([60, 60, 17, 2048]);
    const padded = [...arena.views.u8.subarray(bufs[2] * 2048, bufs[2] * 2048 + 60)];
    expect(padded).toEqual([...new Array(14).fill(0xaa), ...new Array(46).fill(0)]);
    expect(tx.counters).toEqual({ packets: 4, bytes: 60 + 60 + 17 + 2048, dropped: 3, lost: 0 });
    expect(mempool.available).toBe(64 - 4);
  });

  it('holds callers to ownership with a debug mempool', async () => {
    const { tx, mempool } = await txBench(64, { count: 128, debug: true });
    const bufs = frames(mempool, 64, 60);
    expect(tx.batch(bufs, 0, 64)).toBe(62);
    expect(() => tx.batch(bufs, 0, 1)).toThrow(/expected one the caller owns/);
    mempool.giveBatch(bufs, 62, 2);
    expect(() => mempool.give(bufs[0])).toThrow(RangeError);
  });

  it('waits no longer than told when the device takes nothing', async () => {
    const mempool = createMempool(arena, { count: 128 });
    const queue = createQueue(arena, 'tx', 0, 64, mempool);
    const tailWord = arena.allocateControl(64) >>> 2;
    armTx(queue, tailWord);
    openGates([queue]);
    let nowUs = 0;
    const clock = { nowUs: () => (nowUs += 100), sleepUs: () => {} };
    const tx = await openTxQueue(queue.handle, undefined, clock);
    const bufs = frames(mempool, 100, 60);
    expect(tx.batchWait(bufs, 0, 100, 5)).toBe(62);
    expect(nowUs).toBeGreaterThan(5000);
    expect(nowUs).toBeLessThan(6000);
  });
});
