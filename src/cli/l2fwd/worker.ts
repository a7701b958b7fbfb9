// HOT. The thread that forwards: both directions of one queue pair, until the
// stop word is set. The main thread owns signals, clocks and printing, since a
// spinning thread never runs a signal handler.

import { parentPort } from 'node:worker_threads';
import type { QueueHandle } from '../../ixgbevf/queue/memory.ts';
import { loadQueueCode, openRxQueue, openTxQueue } from '../../ixgbevf/queue/queues.ts';
import { viewsOf } from '../../memory/layout.ts';
import { Mempool, type MempoolHandle } from '../../memory/mempool.ts';
import { freshCopy, loadAhead } from '../../support/code-copy.ts';
import { native } from '../../support/native.ts';
import * as forwardModule from './forward.ts';

/** One direction, as posted. */
export interface DirectionData {
  readonly rx: QueueHandle;
  readonly tx: QueueHandle;
  readonly outState: number;
  readonly inState: number;
}

/** What a forwarding thread is told to do. */
export interface ForwardData {
  readonly mempool: MempoolHandle;
  readonly directions: readonly [DirectionData, DirectionData];
  readonly batch: number;
  readonly dropAtOnce: boolean;
  /** Arena word that ends the thread when it is not 0. */
  readonly stopWord: number;
}

/** Rounds between two looks at the stop word: well under a millisecond. */
const ROUNDS = 256;

async function run(data: ForwardData): Promise<void> {
  const mempool = new Mempool(data.mempool);
  const { i32: heap } = viewsOf(data.mempool.memory);
  const loops: forwardModule.Forward[] = [];
  for (const { rx, tx, outState, inState } of data.directions) {
    // Code of its own for each direction, as the queues have: shared code cannot have their arrays as constants.
    const { module } = await freshCopy('./forward', import.meta.url, forwardModule);
    loops.push(
      module.makeForward({
        rx: await openRxQueue(rx),
        tx: await openTxQueue(tx),
        mempool,
        outState,
        inState,
        batch: data.batch,
        dropAtOnce: data.dropAtOnce,
      }),
    );
  }
  const [there, back] = loops.map(({ forward }) => forward) as [() => number, () => number];
  parentPort?.postMessage('started');
  const shim = native();
  while (Atomics.load(heap, data.stopWord) === 0) {
    let moved = 0;
    for (let i = 0; i < ROUNDS; i = (i + 1) | 0) moved = (moved + there() + back()) | 0;
    // Nothing to do: where the other side waits for this very CPU, spinning on would only hold it up.
    if (moved === 0) shim.yieldCpu();
  }
  for (const { end } of loops) end();
}

// Posted once the devices are open; all code is loaded before.
loadQueueCode(2);
loadAhead('./forward', import.meta.url, forwardModule, 2);
parentPort?.once('message', (data: ForwardData) => {
  void run(data);
});
