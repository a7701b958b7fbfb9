// HOT. A mempool: packet buffers, which are integers, on a free stack in shared
// memory. One thread owns it, takes from it and gives back to it; the rings of that
// thread work on the same stack directly. Metadata of packets lies in the arena's
// side tables (layout.ts). A mempool does not grow: when it is empty it gives fewer
// buffers than it was asked for, and counts that.

import { refuseUnknown } from '../support/errors.ts';
import type { Arena } from './arena.ts';
import { type ArenaViews, BUF_LIMIT, BUF_SHIFT, BUF_UNIT, OWNER_TABLE, viewsOf } from './layout.ts';
import type { SharedMemory } from './shared-memory.ts';

/** Words of a mempool's state block, from its state word on. */
export const POOL = {
  /** Free buffers now: the height of the stack. */
  AVAILABLE: 0,
  /** Word index of the stack's bottom. */
  STACK: 1,
  COUNT: 2,
  /** Lowest buffer index, and the distance between two. */
  FIRST: 3,
  STEP: 4,
  BUFFER_BYTES: 5,
  HEADROOM: 6,
  DEBUG: 7,
  /** Times a taker got fewer buffers than it asked for. */
  EXHAUSTED: 8,
  /** Queues that take buffers from here or give them back, running or not. */
  QUEUES: 9,
  WORDS: 16,
} as const;

/** Everything a Worker needs to use a mempool: numbers and shared memory. */
export interface MempoolHandle {
  readonly memory: SharedMemory;
  /** Word index of the state block. */
  readonly state: number;
}

/** How to make a mempool. */
export interface MempoolOptions {
  /** Buffers, 1 up. */
  readonly count: number;
  /** Bytes of a buffer: a multiple of 2,048 up to 16,384. Default 2,048. */
  readonly bufferBytes?: number;
  /** Bytes left free before received data: a multiple of 4, less than bufferBytes - 1,024. Default 0. */
  readonly headroomBytes?: number;
  /** Catches double frees and foreign buffers, at a cost per buffer. Default false. */
  readonly debug?: boolean;
}

const MAX_BUFFER_BYTES = 16_384;
const USER = 1;

/** Packet buffers of one thread. Buffer indices are arena-wide: offset = buf * 2,048 for every mempool. */
export class Mempool {
  readonly handle: MempoolHandle;
  readonly count: number;
  readonly bufferBytes: number;
  readonly headroomBytes: number;
  readonly debug: boolean;
  private readonly heap: Int32Array;
  private readonly owner: Uint8Array;
  private readonly state: number;
  private readonly stack: number;
  private readonly first: number;
  private readonly step: number;
  /** Only where it was made: a handle is no claim to the memory. */
  private readonly arena: Arena | undefined;
  private freed = false;

  /** Takes up a mempool made by `mempool()`, in the thread that owns it from now on. */
  constructor(handle: MempoolHandle, views: ArenaViews = viewsOf(handle.memory), arena?: Arena) {
    this.handle = handle;
    this.arena = arena;
    this.heap = views.i32;
    this.owner = new Uint8Array(handle.memory.buffer, OWNER_TABLE, BUF_LIMIT);
    this.state = handle.state;
    const word = (index: number): number => this.heap[handle.state + index];
    this.stack = word(POOL.STACK);
    this.count = word(POOL.COUNT);
    this.first = word(POOL.FIRST);
    this.step = word(POOL.STEP);
    this.bufferBytes = word(POOL.BUFFER_BYTES);
    this.headroomBytes = word(POOL.HEADROOM);
    this.debug = word(POOL.DEBUG) !== 0;
  }

  /** Free buffers now. */
  get available(): number {
    return this.heap[this.state + POOL.AVAILABLE];
  }

  /** Times a taker got fewer buffers than it asked for. */
  get exhausted(): number {
    return this.heap[this.state + POOL.EXHAUSTED] >>> 0;
  }

  /**
   * Gives the memory back. Idempotent; buffers and other threads' objects of this mempool must not be used afterwards.
   * @throws RangeError while buffers are out or a queue uses it, and on an object made from a handle
   */
  free(): void {
    if (this.freed) return;
    if (this.arena === undefined) {
      throw new RangeError(
        'free mempool: expected the object that mempool() returned, got one made from its handle; free it where it was made',
      );
    }
    destroyMempool(this.arena, this);
    this.freed = true;
  }

  /** As `free`. */
  [Symbol.dispose](): void {
    this.free();
  }

  /** Arena byte offset of a buffer's data, headroom skipped. */
  offset(buf: number): number {
    return ((buf << BUF_SHIFT) >>> 0) + this.headroomBytes;
  }

  /** Takes one buffer; 0 when there is none. */
  take(): number {
    const heap = this.heap;
    const top = heap[this.state + POOL.AVAILABLE] - 1;
    if (top < 0) {
      heap[this.state + POOL.EXHAUSTED]++;
      return 0;
    }
    heap[this.state + POOL.AVAILABLE] = top;
    const buf = heap[this.stack + top];
    if (this.debug) this.owner[buf] = USER;
    return buf;
  }

  /**
   * Takes up to `n` buffers into bufs[from..].
   * @returns how many there were
   */
  takeBatch(bufs: Int32Array, from: number, n: number): number {
    const heap = this.heap;
    const available = heap[this.state + POOL.AVAILABLE];
    let k = n;
    if (available < n) {
      k = available;
      heap[this.state + POOL.EXHAUSTED]++;
    }
    const bottom = (this.stack + available - k) | 0;
    for (let i = 0; i < k; i = (i + 1) | 0) bufs[from + i] = heap[bottom + i];
    heap[this.state + POOL.AVAILABLE] = available - k;
    if (this.debug) this.markUser(bufs, from, k);
    return k;
  }

  /**
   * Gives one buffer back.
   * @throws RangeError in debug mode for a buffer that is not of this mempool, or is not the caller's
   */
  give(buf: number): void {
    if (this.debug) this.release(buf);
    const heap = this.heap;
    const top = heap[this.state + POOL.AVAILABLE];
    heap[this.stack + top] = buf;
    heap[this.state + POOL.AVAILABLE] = top + 1;
  }

  /** Gives bufs[from .. from + n) back. In debug mode throws as `give` does. */
  giveBatch(bufs: Int32Array, from: number, n: number): void {
    const heap = this.heap;
    if (this.debug) this.releaseBatch(bufs, from, n);
    const top = heap[this.state + POOL.AVAILABLE];
    const bottom = (this.stack + top) | 0;
    for (let i = 0; i < n; i = (i + 1) | 0) heap[bottom + i] = bufs[from + i];
    heap[this.state + POOL.AVAILABLE] = top + n;
  }

  /** For rings: takes n buffers, which must be there, into heap[slots..]. They belong to the ring alone. */
  takeForRing(heap: Int32Array, slots: number, n: number): void {
    const left = this.available - n;
    for (let i = 0; i < n; i++) heap[slots + i] = heap[this.stack + left + i];
    heap[this.state + POOL.AVAILABLE] = left;
  }

  /** For rings: gives back n buffers that only the ring held, from heap[slots..]. */
  giveFromRing(heap: Int32Array, slots: number, n: number): void {
    const top = this.available;
    for (let i = 0; i < n; i++) heap[this.stack + top + i] = heap[slots + i];
    heap[this.state + POOL.AVAILABLE] = top + n;
  }

  /** Debug mode: bufs[from .. from + n) came out of a ring and are the caller's now. */
  markUser(bufs: Int32Array, from: number, n: number): void {
    for (let i = 0; i < n; i++) this.owner[bufs[from + i]] = USER;
  }

  /** Debug mode: as `release` for each of bufs[from .. from + n); where one is refused, all stay the caller's. */
  releaseBatch(bufs: Int32Array, from: number, n: number): void {
    let done = 0;
    try {
      for (; done < n; done++) this.release(bufs[from + done]);
    } catch (error) {
      this.markUser(bufs, from, done);
      throw error;
    }
  }

  /**
   * Debug mode: the caller hands `buf` to the mempool or a ring.
   * @throws RangeError for a buffer that is not of this mempool, or is not the caller's
   */
  release(buf: number): void {
    const from = buf - this.first;
    if (!(from >= 0 && from < this.count * this.step && from % this.step === 0)) {
      throw new RangeError(
        `buffer: expected one of this mempool (${this.first} to ${this.first + (this.count - 1) * this.step}), got ${buf}`,
      );
    }
    if (this.owner[buf] !== USER) {
      throw new RangeError(
        `buffer ${buf}: expected one the caller owns, got one that was given back or sent before`,
      );
    }
    this.owner[buf] = 0;
  }
}

/**
 * Makes a mempool in the arena, visible to every attached device.
 * @throws RangeError for options out of range; VfioError when the arena cannot grow
 */
export function createMempool(arena: Arena, options: MempoolOptions): Mempool {
  const { count, bufferBytes = BUF_UNIT, headroomBytes = 0, debug = false, ...unknown } = options;
  refuseUnknown('mempool', unknown, 'count, bufferBytes, headroomBytes, debug');
  checkOption('count', count, 1, BUF_LIMIT, 1);
  checkOption('bufferBytes', bufferBytes, BUF_UNIT, MAX_BUFFER_BYTES, BUF_UNIT);
  checkOption('headroomBytes', headroomBytes, 0, bufferBytes - 1024, 4);
  const state = arena.allocateControl(POOL.WORDS * 4) >>> 2;
  let stack = 0;
  let base: number;
  try {
    stack = arena.allocateControl(count * 4) >>> 2;
    base = arena.allocateDma(count * bufferBytes, BUF_UNIT);
  } catch (error) {
    if (stack !== 0) arena.releaseControl(stack << 2);
    arena.releaseControl(state << 2);
    throw error;
  }
  const heap = arena.views.i32;
  const step = bufferBytes / BUF_UNIT;
  const first = base / BUF_UNIT;
  heap[state + POOL.AVAILABLE] = count;
  heap[state + POOL.STACK] = stack;
  heap[state + POOL.COUNT] = count;
  heap[state + POOL.FIRST] = first;
  heap[state + POOL.STEP] = step;
  heap[state + POOL.BUFFER_BYTES] = bufferBytes;
  heap[state + POOL.HEADROOM] = headroomBytes;
  heap[state + POOL.DEBUG] = debug ? 1 : 0;
  // Highest index at the bottom: the first takers get ascending memory.
  for (let i = 0; i < count; i++) {
    heap[stack + i] = first + (count - 1 - i) * step;
  }
  return new Mempool({ memory: arena.memory, state }, arena.views, arena);
}

/**
 * Gives a mempool's memory back to the arena.
 * @throws RangeError when buffers are still out, since a device may be using them, or a queue is still on it
 */
export function destroyMempool(arena: Arena, mempool: Mempool): void {
  const heap = arena.views.i32;
  const { state } = mempool.handle;
  const queues = heap[state + POOL.QUEUES];
  if (queues !== 0) {
    throw new RangeError(
      `free mempool: expected no queue on it, got ${queues}; close the devices that use it first`,
    );
  }
  const out = mempool.count - mempool.available;
  if (out !== 0) {
    throw new RangeError(
      `free mempool: expected all ${mempool.count} buffers back, got ${mempool.available}; give back the ${out} that were taken or received`,
    );
  }
  arena.releaseDma(heap[state + POOL.FIRST] * BUF_UNIT);
  arena.releaseControl(heap[state + POOL.STACK] << 2);
  // Whoever still has a handle finds it empty.
  heap[state + POOL.AVAILABLE] = 0;
  arena.retireControl(state << 2);
}

function checkOption(name: string, value: number, low: number, high: number, step: number): void {
  if (!Number.isInteger(value) || value < low || value > high || value % step !== 0) {
    const multiple = step === 1 ? '' : `, a multiple of ${step}`;
    throw new RangeError(
      `mempool ${name}: expected an integer from ${low} to ${high}${multiple}, got ${value}`,
    );
  }
}
