// What a VF holds of the arena: its queues, and the mempools it made itself.
// Made before the hardware is touched, freed after it is known to have stopped.

import type { Arena } from '../memory/arena.ts';
import { createMempool, destroyMempool, type Mempool } from '../memory/mempool.ts';
import type { Log } from '../support/log.ts';
import { ownBufferBytes, type VfSettings } from './options.ts';
import { ownsMempool } from './queue/gate.ts';
import { createQueue, destroyQueue, disarm, type QueueMemory } from './queue/memory.ts';

/** Queues and mempools of one VF. */
export interface VfMemory {
  readonly arena: Arena;
  readonly rx: QueueMemory[];
  readonly tx: QueueMemory[];
  /** By queue index, modulo the length. */
  readonly mempools: readonly Mempool[];
  readonly ownMempools: Mempool[];
}

/**
 * Makes queues, and mempools where none were given: twice what the rings of a queue index can hold.
 * @throws RangeError or VfioError where the arena has no room; then nothing is left behind
 */
export function createVfMemory(arena: Arena, address: string, settings: VfSettings): VfMemory {
  const { rxQueues, txQueues, rxRingSize, txRingSize, maxFrame, features, log } = settings;
  const own: Mempool[] = [];
  const mempools = settings.mempools.length > 0 ? settings.mempools : own;
  const txMempools = settings.txMempools.length > 0 ? settings.txMempools : mempools;
  const memory: VfMemory = { arena, rx: [], tx: [], mempools, ownMempools: own };
  try {
    if (mempools === own) {
      const count = 2 * (rxRingSize + txRingSize);
      const bufferBytes = ownBufferBytes(maxFrame);
      for (let q = 0; q < Math.max(rxQueues, txQueues); q++) {
        own.push(createMempool(arena, { count, bufferBytes }));
      }
    }
    for (let q = 0; q < rxQueues; q++) {
      const mempool = mempools[q % mempools.length];
      memory.rx.push(createQueue(arena, 'rx', q, rxRingSize, mempool, address, features));
    }
    for (let q = 0; q < txQueues; q++) {
      const mempool = txMempools[q % txMempools.length];
      memory.tx.push(createQueue(arena, 'tx', q, txRingSize, mempool, address));
    }
    return memory;
  } catch (error) {
    freeVfMemory(memory, log);
    throw error;
  }
}

/**
 * Empties every ring into its mempool, where this thread may: the rings of a queue that another thread uses keep their
 * buffers. The hardware has stopped and nobody is inside a batch.
 */
export function disarmAll(memory: VfMemory): void {
  for (const queue of [...memory.rx, ...memory.tx]) if (ownsMempool(queue)) disarm(queue);
}

/** Gives everything back to the arena; a mempool whose buffers are still in use stays. The hardware has stopped. */
export function freeVfMemory(memory: VfMemory, log: Log): void {
  for (const queue of [...memory.rx, ...memory.tx]) {
    disarm(queue);
    destroyQueue(memory.arena, queue);
  }
  for (const mempool of memory.ownMempools.splice(0)) {
    const out = mempool.count - mempool.available;
    if (out === 0) destroyMempool(memory.arena, mempool);
    else log.warn(`mempool not freed: ${out} of its ${mempool.count} buffers were not given back`);
  }
}
