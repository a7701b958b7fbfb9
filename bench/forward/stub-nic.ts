// The least a NIC could be: it only sets DD. What the bench then times is the
// driver's own work. Two queue pairs on one arena, as a forwarder has them.

import { openGates } from '#dist/ixgbevf/queue/gate.js';
import {
  armRx,
  armTx,
  clearDescriptors,
  createQueue,
  type QueueMemory,
} from '#dist/ixgbevf/queue/memory.js';
import {
  openRxQueue,
  openTxQueue,
  type RxQueue,
  type TxQueue,
} from '#dist/ixgbevf/queue/queues.js';
import { processArena } from '#dist/memory/arena.js';
import type { Mempool } from '#dist/memory/mempool.js';

const RX_DONE = 0x3;
const TX_RS = 0x0800_0000;
const TX_DONE = 0x1;
const RING = 512;
/** Frames a fill, so that the tx ring always has room: it cleans in blocks of 32. */
const FILL = 448;

/** One queue pair whose device side is two loops over the descriptors. */
export interface StubNic {
  readonly rx: RxQueue;
  readonly tx: TxQueue;
  /** Marks up to `most` (default 448) posted rx descriptors as holding a frame of `length` bytes. @returns how many */
  fill(length: number, most?: number): number;
  /** Reports every tx descriptor that asked for it. */
  drain(): void;
}

/** Makes a queue pair of 512 descriptors each over the mempool. */
export async function makeStubNic(mempool: Mempool): Promise<StubNic> {
  const arena = processArena();
  const make = (kind: 'rx' | 'tx'): { queue: QueueMemory; tail: number; base: number } => {
    const queue = createQueue(arena, kind, 0, RING, mempool, 'stub');
    const tail = arena.allocateControl(64) >>> 2;
    clearDescriptors(queue);
    arena.views.i32[tail] = kind === 'rx' ? armRx(queue, tail) : armTx(queue, tail);
    openGates([queue]);
    return { queue, tail, base: queue.descriptorOffset >>> 2 };
  };
  const rxSide = make('rx');
  const txSide = make('tx');
  const heap = arena.views.i32;
  let rxHead = 0;
  let txHead = 0;
  return {
    rx: await openRxQueue(rxSide.queue.handle),
    tx: await openTxQueue(txSide.queue.handle),
    fill(length, most = FILL) {
      const tail = heap[rxSide.tail];
      let n = 0;
      while (rxHead !== tail && n < most) {
        const d = rxSide.base + rxHead * 4;
        heap[d + 3] = length;
        heap[d + 2] = RX_DONE;
        rxHead = (rxHead + 1) & (RING - 1);
        n++;
      }
      return n;
    },
    drain() {
      const tail = heap[txSide.tail];
      while (txHead !== tail) {
        const d = txSide.base + txHead * 4;
        if ((heap[d + 2] & TX_RS) !== 0) heap[d + 3] |= TX_DONE;
        txHead = (txHead + 1) & (RING - 1);
      }
    },
  };
}
