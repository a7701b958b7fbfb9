// A VF is stopped and reset while another thread is in the middle of its queues: the thread is let out first, goes on
// afterwards, and every buffer is in one place only. The thread runs dist/.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { closeGates } from '../../src/ixgbevf/queue/gate.ts';
import { createQueue, destroyQueue, QUEUE } from '../../src/ixgbevf/queue/memory.ts';
import type { IxgbeVf } from '../../src/ixgbevf/vf.ts';
import { processArena } from '../../src/memory/arena.ts';
import { type Mempool, POOL } from '../../src/memory/mempool.ts';
import { createModel, type LocalModel } from '../../src/model/local-model.ts';
import { mempool, open } from '../../src/open.ts';
import { native } from '../../src/support/native.ts';
import { SteppingClock } from '../support/stepping-clock.ts';

const arena = processArena();
const heap = arena.views.i32;
/** Buffers: two rings full, and what a thread has in hand. */
const COUNT = 256;
const cleanups: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Echo {
  readonly model: LocalModel;
  readonly vf: IxgbeVf;
  readonly buffers: Mempool;
  /** A thread that echoes; it runs once this resolves. */
  readonly start: () => Promise<Worker>;
  /** Ends a thread in order. */
  readonly end: (worker: Worker) => Promise<void>;
}

async function echo(): Promise<Echo> {
  const model = createModel({ ports: [{ vfs: 1, wire: 'gen' }] });
  const buffers = mempool({ count: COUNT });
  const vf = await open('model:0.0', { model, mempool: buffers, rxRingSize: 64, txRingSize: 64 });
  const stopWord = arena.allocateControl(64) >>> 2;
  cleanups.push(() => model.close());
  const workerData = {
    rxHandle: vf.rx[0].handle,
    txHandle: vf.tx[0].handle,
    mempoolHandle: buffers.handle,
    stopWord,
  };
  return {
    model,
    vf,
    buffers,
    start: async () => {
      Atomics.store(heap, stopWord, 0);
      const worker = new Worker(new URL('./echo-worker.mjs', import.meta.url), { workerData });
      cleanups.push(() => void worker.terminate());
      await once(worker, 'message');
      return worker;
    },
    end: async (worker) => {
      Atomics.store(heap, stopWord, 1);
      await once(worker, 'exit');
    },
  };
}

/** Lets the model move for a while that differs from round to round. */
function traffic(model: LocalModel, round: number): void {
  for (let i = 0; i < 20 + ((round * 7) % 50); i++) model.step(1 + (round % 32));
}

/** What the free stack holds, ascending. */
function free({ handle: { state } }: Mempool): number[] {
  const stack = heap[state + POOL.STACK];
  return [...heap.subarray(stack, stack + heap[state + POOL.AVAILABLE])].sort((a, b) => a - b);
}

describe('a thread that echoes', () => {
  it('lives through 300 restarts and 100 stops; every frame and buffer is in one place', async () => {
    const { model, vf, buffers, start, end } = await echo();
    const worker = await start();
    for (let round = 0; round < 400; round++) {
      traffic(model, round);
      if (round % 4 !== 0) vf.restart();
      else {
        vf.stop();
        vf.start();
      }
    }
    const before = vf.tx[0].counters.packets;
    while (vf.tx[0].counters.packets < before + 1000) model.step();
    await end(worker);
    expect(vf.rx[0].counters.packets).toBeGreaterThanOrEqual(vf.tx[0].counters.packets);
    expect(model.counters()[0]).toMatchObject({
      sinkDuplicates: 0,
      sinkCorrupt: 0,
      iommuFaults: 0,
    });
    expect(model.recorder.violations).toEqual([]);
    vf.close();
    expect(new Set(free(buffers)).size).toBe(COUNT);
    buffers.free();
  }, 60_000);

  it('counts as out once it is dead, wherever it died, and leaves no buffer in two places', async () => {
    const { model, vf, buffers, start, end } = await echo();
    for (let round = 0; round < 20; round++) {
      const worker = await start();
      traffic(model, round);
      await worker.terminate();
      vf.restart();
    }
    await end(await start());
    vf.close();
    const left = free(buffers);
    expect(new Set(left).size).toBe(left.length);
    expect(left.length).toBeGreaterThan(0);
  }, 60_000);
});

describe('a thread that does not leave', () => {
  it('is named after the bound', () => {
    const buffers = mempool({ count: 64 });
    const queue = createQueue(arena, 'rx', 3, 64, buffers);
    // A thread that is there for sure: Node.js has some that run no JavaScript.
    const other = Math.max(...readdirSync('/proc/self/task').map(Number));
    expect(other).not.toBe(native().threadId());
    heap[queue.handle.state + QUEUE.INSIDE] = other;
    const clock = new SteppingClock(() => {});
    expect(() => closeGates([queue], clock, 5000)).toThrow(
      `thread inside rx queue 3: wanted 0, last saw 0x${other.toString(16)} after 5 ms`,
    );
    heap[queue.handle.state + QUEUE.INSIDE] = 0;
    closeGates([queue], clock, 5000);
    destroyQueue(arena, queue);
    buffers.free();
  });
});
