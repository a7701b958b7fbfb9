// The memory of one rx or tx queue: its descriptors, a table of the buffer in each
// slot, and a state block that threads share. All of it is numbers in the arena, so
// that a queue can be posted to a Worker. Rings are filled and emptied here; frames
// are moved by rx-ring.ts and tx-ring.ts, and registers are written by setup.ts.

import {
  DESCRIPTOR_SIZE,
  DTYP_CONTEXT,
  ETHER_HEADER,
  L4T_NONE,
  RING_ALIGN,
  TX_CONTEXT_COMMAND,
  TX_CONTEXT_LENGTHS,
} from '../../hw/descriptors.ts';
import type { Arena } from '../../memory/arena.ts';
import { IOVA_HIGH, type Iova, iovaOf } from '../../memory/iova.ts';
import { type ArenaViews, BUF_SHIFT } from '../../memory/layout.ts';
import { type Mempool, POOL } from '../../memory/mempool.ts';
import type { SharedMemory } from '../../memory/shared-memory.ts';

/**
 * The unit that PACKETS and BYTES count in. From version 14 on, V8 adds doubles that have always been whole numbers as
 * integers, with checks and conversions; it adds fractions as doubles. Both are exact up to 2^53.
 * On Node 26 a forwarder that counts whole numbers takes 1.02 times as long at batch 32 and 1.14 times at batch 1; on
 * Node 20 and 24 one that counts fractions takes 1.04 times as long at batch 1.
 */
export const COUNT_UNIT = Number.parseInt(process.versions.v8, 10) >= 14 ? 2 ** -40 : 1;

/** Words of a queue's state block. Counters are doubles, at (state >> 1) + index. */
export const QUEUE = {
  /**
   * Rx: the next slot to look at; ~slot while the rest of a frame that is dropped is skipped.
   * Tx: the next slot to fill; ~slot where the slots from CLEAN to it are to be given back before anything is sent.
   */
  NEXT: 0,
  /** Tx: the first slot whose buffer was not given back to the mempool yet. */
  CLEAN: 1,
  /** Heap word of the mapped tail register; 0 where the register is trapped. */
  TAIL: 2,
  /** First word of the descriptors. */
  DESCRIPTORS: 3,
  /** First word of the table of buffers. Rx: the buffer of descriptor i is at i. Tx: it is at (i - 1) & mask, for the reason given at TX_BLOCK. */
  SLOTS: 4,
  SIZE: 5,
  /** State word of the mempool. */
  MEMPOOL: 6,
  /**
   * Rx: METADATA where flags, VLAN and hash of each frame go to the side tables, STRIP_VLAN where tags are stripped,
   * HOST_TAG where the tags are the host's.
   */
  FEATURES: 7,
  /** Doubles, in COUNT_UNIT. */
  PACKETS: 4,
  BYTES: 5,
  /** A double. Rx: frames that were damaged or larger than a buffer. Tx: frames of a length that no frame can have. */
  DROPPED: 6,
  /** OPEN, STOPPED or CLOSED. Only the thread that owns the device writes it. */
  GATE: 14,
  /** Kernel's id of the thread that is inside a batch, 0 while nobody is. */
  INSIDE: 15,
  /** Kernel's id of the thread that took the queue up last: whoever uses it, and so owns its mempool. */
  USER: 16,
  /** Rx: how many buffers lie in the slots: SIZE or 0. */
  HELD: 17,
  /** A double: frames that lay in the ring when it was stopped. Written while nobody is inside. */
  LOST: 9,
  /** Which queue of the device this one is: whose registers it has. */
  DEVICE_QUEUE: 20,
  BLOCK_BYTES: 128,
} as const;

/** Tells the device the new tail, once a batch, where the tail register is not mapped. */
export type Doorbell = (tail: number) => void;
/** What RxQueue.batch and TxQueue.batch do: `n` entries of `bufs` from index `from` on; returns how many frames moved. */
export type Batch = (bufs: Int32Array, from: number, n: number) => number;

/** Bits of FEATURES. */
export const METADATA = 1;
export const STRIP_VLAN = 2;
/** Frames carry a tag of the host's (port VLAN, priority, traffic classes): it is stripped and shown nowhere. */
export const HOST_TAG = 4;

/** What GATE holds for a queue that runs, one that moves nothing for now, and one that never will again. One comparison tells a negative GATE or NEXT. */
export const OPEN = 0;
export const STOPPED = -1;
export const CLOSED = -2;

/**
 * Tx buffers are given back in blocks of 32 slots, and the last descriptor of each block asks for a report (RS).
 * Blocks are the slots 1 to 32, 33 to 64 and so on, because slot 0 of a fresh ring is the context descriptor.
 * The table of buffers is turned by one, so that the buffers of a block never wrap and begin on an even word.
 */
export const TX_BLOCK = 32;

/** Everything a Worker needs to use a queue. */
export interface QueueHandle {
  readonly kind: 'rx' | 'tx';
  readonly index: number;
  /** Address of the device, for messages. */
  readonly address: string;
  readonly memory: SharedMemory;
  /** Word index of the state block. */
  readonly state: number;
}

/** One queue's memory, on the side of the thread that owns the device. */
export interface QueueMemory {
  readonly kind: 'rx' | 'tx';
  /** Which queue of the device it is: as a rule that of its number, `handle.index`. */
  index: number;
  /** Descriptors. */
  readonly size: number;
  /** Where the device finds the descriptors. */
  readonly iova: Iova;
  readonly sizeBytes: number;
  /** METADATA, STRIP_VLAN. */
  readonly features: number;
  readonly handle: QueueHandle;
  readonly bufferBytes: number;
  readonly headroomBytes: number;
  readonly arena: Arena;
  readonly mempool: Mempool;
  readonly descriptorOffset: number;
  readonly slotOffset: number;
}

/**
 * Takes memory for a queue; descriptors are zeroed, the queue is stopped.
 * @param size descriptors, a power of two from 64 to 4,096 (checked when the device is opened)
 * @param features METADATA, STRIP_VLAN: of an rx queue
 */
export function createQueue(
  arena: Arena,
  kind: 'rx' | 'tx',
  index: number,
  size: number,
  mempool: Mempool,
  address = '',
  features = 0,
): QueueMemory {
  const sizeBytes = size * DESCRIPTOR_SIZE;
  const descriptorOffset = arena.allocateDma(sizeBytes, RING_ALIGN);
  const slotOffset = arena.allocateControl(size * 4);
  const state = arena.allocateControl(QUEUE.BLOCK_BYTES) >>> 2;
  const heap = arena.views.i32;
  heap[state + QUEUE.GATE] = STOPPED;
  heap[state + QUEUE.DESCRIPTORS] = descriptorOffset >>> 2;
  heap[state + QUEUE.SLOTS] = slotOffset >>> 2;
  heap[state + QUEUE.SIZE] = size;
  heap[state + QUEUE.MEMPOOL] = mempool.handle.state;
  heap[mempool.handle.state + POOL.QUEUES]++;
  heap[state + QUEUE.FEATURES] = features;
  heap[state + QUEUE.DEVICE_QUEUE] = index;
  return {
    kind,
    index,
    size,
    iova: iovaOf(descriptorOffset),
    sizeBytes,
    features,
    handle: { kind, index, address, memory: arena.memory, state },
    bufferBytes: mempool.bufferBytes,
    headroomBytes: mempool.headroomBytes,
    arena,
    mempool,
    descriptorOffset,
    slotOffset,
  };
}

/** Makes a queue that is stopped another queue of the device. */
export function placeQueue(queue: QueueMemory, index: number): void {
  queue.index = index;
  queue.arena.views.i32[queue.handle.state + QUEUE.DEVICE_QUEUE] = index;
}

/** Two views of the arena for the loops: `heapPlus2[i]` is `heap[i + 2]`. */
export interface HeapPair {
  readonly heap: Int32Array;
  readonly heapPlus2: Int32Array;
}

/**
 * Makes the views of the loops. Both have the same length, so that V8 checks an index that is used with both only once:
 * two checks for a descriptor instead of four. With one view a forwarder takes 1.00, 1.02 and 1.05 times as long on Node 20,
 * 24 and 26 at batch 32 (1.00, 0.99 and 0.98 at batch 1).
 */
export function pairOf(views: ArenaViews): HeapPair {
  const { buffer, length } = views.i32;
  return {
    heap: new Int32Array(buffer, 0, length - 2),
    heapPlus2: new Int32Array(buffer, 8, length - 2),
  };
}

/** Zeroes the descriptors, before the hardware is pointed at them (82599 DS sec 4.6.7). */
export function clearDescriptors(queue: QueueMemory): void {
  const start = queue.descriptorOffset >>> 2;
  queue.arena.views.i32.fill(0, start, start + (queue.sizeBytes >>> 2));
}

/**
 * Fills an rx ring with buffers, or writes descriptors for those that it still holds. Call it when RXDCTL.ENABLE reads 1.
 * @param tailWord heap word of the mapped tail register, 0 where it is trapped
 * @returns what to write to VFRDT: the last slot, so that one filled slot stays with the driver and
 *   RDT never equals RDH while the device has descriptors
 * @throws RangeError when the mempool has fewer buffers than the ring has slots
 */
export function armRx(queue: QueueMemory, tailWord: number): number {
  const { mempool, size, handle, headroomBytes } = queue;
  const heap = queue.arena.views.i32;
  const slots = queue.slotOffset >>> 2;
  const words = queue.descriptorOffset >>> 2;
  if (heap[handle.state + QUEUE.HELD] === 0) {
    if (mempool.available < size) {
      throw new RangeError(
        `rx queue ${queue.index}: expected a mempool with at least ${size} free buffers for its ring, got ${mempool.available}; use a larger mempool or a smaller ring`,
      );
    }
    mempool.takeForRing(heap, slots, size);
    heap[handle.state + QUEUE.HELD] = size;
  }
  for (let i = 0; i < size; i++) {
    const buf = heap[slots + i];
    heap[words + i * 4] = (buf << BUF_SHIFT) + headroomBytes;
    heap[words + i * 4 + 1] = IOVA_HIGH;
    heap[words + i * 4 + 2] = 0;
    heap[words + i * 4 + 3] = 0;
  }
  heap[handle.state + QUEUE.TAIL] = tailWord;
  heap[handle.state + QUEUE.NEXT] = 0;
  return size - 1;
}

/**
 * Readies a tx ring. Call it when TXDCTL.ENABLE reads 1. Slot 0 becomes the context descriptor that CC=1 in
 * every data descriptor refers to: 14 bytes of MAC header, no L4 work (as DPDK posts it for VFs).
 * @returns what to write to VFTDT
 */
export function armTx(queue: QueueMemory, tailWord: number): number {
  const heap = queue.arena.views.i32;
  const words = queue.descriptorOffset >>> 2;
  const { state } = queue.handle;
  const command = TX_CONTEXT_COMMAND;
  heap[words] = ETHER_HEADER << TX_CONTEXT_LENGTHS.shift.MACLEN;
  heap[words + 1] = 0;
  heap[words + 2] =
    command.mask.DEXT | (DTYP_CONTEXT << command.shift.DTYP) | (L4T_NONE << command.shift.L4T);
  heap[words + 3] = 0;
  heap[state + QUEUE.TAIL] = tailWord;
  // What it still holds is given back by the thread that uses it.
  if (heap[state + QUEUE.NEXT] >= 0) restartTx(heap, state);
  return 1;
}

/** The ring is empty and begins anew, behind the context descriptor. */
function restartTx(heap: Int32Array, state: number): void {
  heap[state + QUEUE.CLEAN] = 1;
  heap[state + QUEUE.NEXT] = 1;
}

/**
 * Gives what a tx ring holds back to the mempool, of which this thread is the owner.
 * @param heap words of the arena
 * @param state word index of the queue's state block
 */
export function emptyTx(heap: Int32Array, state: number, mempool: Mempool): void {
  const slots = heap[state + QUEUE.SLOTS];
  const mask = heap[state + QUEUE.SIZE] - 1;
  const next = heap[state + QUEUE.NEXT];
  const end = next < 0 ? ~next : next;
  for (let i = heap[state + QUEUE.CLEAN]; i !== end; i = (i + 1) & mask) {
    mempool.giveFromRing(heap, slots + ((i - 1) & mask), 1);
  }
  restartTx(heap, state);
}

/**
 * Takes every buffer out of a ring and gives it back to the mempool, of which this thread must be the owner. Call it
 * only when the hardware is known to have stopped and nobody is inside the queue's batch.
 */
export function disarm(queue: QueueMemory): void {
  const heap = queue.arena.views.i32;
  const { handle, mempool } = queue;
  const { state } = handle;
  if (heap[state + QUEUE.GATE] === CLOSED) return;
  heap[state + QUEUE.GATE] = STOPPED;
  if (queue.kind === 'tx') {
    emptyTx(heap, state, mempool);
    return;
  }
  mempool.giveFromRing(heap, queue.slotOffset >>> 2, heap[state + QUEUE.HELD]);
  heap[state + QUEUE.HELD] = 0;
}

/** Ends a queue for ever, after `disarm`: later batches throw, and the descriptors and slots are freed. */
export function destroyQueue(arena: Arena, queue: QueueMemory): void {
  const heap = arena.views.i32;
  if (heap[queue.handle.state + QUEUE.GATE] === CLOSED) return;
  heap[queue.handle.state + QUEUE.GATE] = CLOSED;
  heap[queue.mempool.handle.state + POOL.QUEUES]--;
  arena.releaseDma(queue.descriptorOffset);
  arena.releaseControl(queue.slotOffset);
  // Handles elsewhere must go on reading CLOSED.
  arena.retireControl(queue.handle.state << 2);
}

/**
 * Holds a caller to a batch that lies inside its array: a buffer written past the end would be lost.
 * The loops test that themselves and come here when it does not hold.
 * @throws RangeError
 */
export function refuseBatch(bufs: Int32Array, from: number, n: number): never {
  throw new RangeError(
    `batch: expected integers 0 <= from, 0 <= n and from + n <= ${bufs.length} (the array's length), got from ${from}, n ${n}`,
  );
}
