// The two queue objects that users hold. They are made from a handle, which is
// numbers and shared memory, in the thread that opened the device or in a Worker.
// The loops behind `batch` are rx-ring.ts and tx-ring.ts.

import { at } from '../../hw/define.ts';
import { MIN_FRAME_WITHOUT_CRC } from '../../hw/descriptors.ts';
import { VFRDT, VFTDH, VFTDT } from '../../hw/registers.ts';
import { type ArenaViews, BUF_SHIFT, LENGTH_TABLE, viewsOf } from '../../memory/layout.ts';
import { Mempool } from '../../memory/mempool.ts';
import { type Clock, systemClock } from '../../support/clock.ts';
import { type CodeCopy, freshCopy, loadAhead, releaseCopy } from '../../support/code-copy.ts';
import { VfioError } from '../../support/errors.ts';
import { native } from '../../support/native.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import {
  type Batch,
  CLOSED,
  COUNT_UNIT,
  type Doorbell,
  emptyTx,
  OPEN,
  QUEUE,
  type QueueHandle,
} from './memory.ts';
import * as rxRing from './rx-ring.ts';
import * as txRing from './tx-ring.ts';

/** What a queue counted since it was made. */
export interface QueueCounters {
  readonly packets: number;
  /** Without CRC. */
  readonly bytes: number;
  /** Rx: damaged, or larger than a buffer. Tx: of a length no frame can have. */
  readonly dropped: number;
  /** Frames that lay in the ring when it was stopped: rx, arrived and not taken out; tx, among `packets` and not sent. */
  readonly lost: number;
}

/** What both kinds of queue have: counters, and what is said of a closed one. */
class Queue {
  readonly handle: QueueHandle;
  protected readonly views: ArenaViews;
  protected readonly mempool: Mempool;
  private copy: CodeCopy<unknown> | undefined;

  constructor(handle: QueueHandle, copy: CodeCopy<unknown>) {
    this.handle = handle;
    this.copy = copy;
    this.views = viewsOf(handle.memory);
    this.views.i32[handle.state + QUEUE.USER] = native().threadId();
    const state = this.views.i32[handle.state + QUEUE.MEMPOOL];
    this.mempool = new Mempool({ memory: handle.memory, state }, this.views);
  }

  /** What this queue counted, over all threads that used it. */
  get counters(): QueueCounters {
    const base = this.handle.state >> 1;
    const f64 = this.views.f64;
    return {
      packets: f64[base + QUEUE.PACKETS] / COUNT_UNIT,
      bytes: f64[base + QUEUE.BYTES] / COUNT_UNIT,
      dropped: f64[base + QUEUE.DROPPED],
      lost: f64[base + QUEUE.LOST],
    };
  }

  /** True when the device was closed. */
  get closed(): boolean {
    return this.views.i32[this.handle.state + QUEUE.GATE] === CLOSED;
  }

  /** Lets a later queue use this one's copy of the code. `batch` must not be called afterwards. */
  release(): void {
    if (this.copy !== undefined) releaseCopy(this.copy);
    this.copy = undefined;
  }

  /** The end of a batch that was not let in. */
  protected idle(gate: number): number {
    this.views.i32[this.handle.state + QUEUE.INSIDE] = 0;
    if (gate === CLOSED) {
      throw new VfioError(
        `use ${this.handle.kind} queue ${this.handle.index}`,
        0,
        this.handle.address,
        'expected an open device, got a closed one; open it again',
      );
    }
    return 0;
  }
}

/** A receive queue. One thread at a time may use it. */
export class RxQueue extends Queue {
  /**
   * Takes up to `n` received frames. Never blocks, never throws for traffic.
   * @param bufs receives buffer indices at [from, from + n); the caller owns them until they are sent or given back
   * @returns how many; fewer than n when no more are there, or when the mempool cannot replace them
   * @throws VfioError when the device was closed
   */
  readonly batch: Batch;

  constructor(handle: QueueHandle, copy: CodeCopy<typeof rxRing>, doorbell: Doorbell) {
    super(handle, copy);
    const { mempool } = this;
    const loop = copy.module.makeRxBatch(this.views, handle.state, doorbell, (gate) =>
      this.idle(gate),
    );
    this.batch = mempool.debug
      ? (bufs, from, n) => {
          const k = loop(bufs, from, n);
          mempool.markUser(bufs, from, k);
          return k;
        }
      : loop;
  }
}

/** A transmit queue. One thread at a time may use it. */
export class TxQueue extends Queue {
  /**
   * Posts up to `n` frames whose lengths are in the length table. Never blocks, never throws for traffic.
   * Frames below 17 bytes are padded to 60; a length no frame can have (below 14, above the buffer or 9,724)
   * is counted as dropped and its buffer goes back to the mempool.
   * @returns how many were taken: bufs[from .. from + result) are the ring's, the rest stay the caller's
   * @throws VfioError when the device was closed; RangeError in a debug mempool for a buffer not the caller's
   */
  readonly batch: Batch;
  private readonly loops: txRing.TxLoops;
  private readonly device: VfioDevice | undefined;
  private readonly clock: Clock;

  constructor(
    handle: QueueHandle,
    copy: CodeCopy<typeof txRing>,
    doorbell: Doorbell,
    device: VfioDevice | undefined,
    clock: Clock,
  ) {
    super(handle, copy);
    const { mempool } = this;
    this.device = device;
    this.clock = clock;
    this.loops = copy.module.makeTxBatch(
      this.views,
      handle.state,
      mempool.headroomBytes,
      mempool.bufferBytes,
      doorbell,
      (gate) => this.idle(gate),
      () => emptyTx(this.views.i32, handle.state, mempool),
      (buf, length) => this.pad(buf, length),
    );
    const loop = this.loops.batch;
    this.batch = mempool.debug ? (bufs, from, n) => this.checkedBatch(bufs, from, n) : loop;
  }

  /**
   * Posts `n` frames, waiting for room at most `timeoutMs`.
   * @returns how many were taken; fewer than n only when the time was up
   */
  batchWait(bufs: Int32Array, from: number, n: number, timeoutMs: number): number {
    let sent = this.batch(bufs, from, n);
    if (sent === n) return sent;
    const endUs = this.clock.nowUs() + timeoutMs * 1000;
    while (sent < n && this.clock.nowUs() < endUs) {
      sent += this.batch(bufs, from + sent, n - sent);
    }
    return sent;
  }

  /**
   * Descriptors between head and tail: frames that the device has not taken from the ring yet. Frames that it took
   * may still be on their way.
   * @throws VfioError when the device was closed, or its tail register is trapped and this is another thread
   */
  get pending(): number {
    const { i32: heap } = this.views;
    const { state } = this.handle;
    const size = heap[state + QUEUE.SIZE];
    let head: number;
    let next: number;
    heap[state + QUEUE.INSIDE] = native().threadId();
    const gate = heap[state + QUEUE.GATE];
    if (gate !== OPEN) return this.idle(gate);
    try {
      next = heap[state + QUEUE.NEXT];
      head = this.readHead();
    } finally {
      heap[state + QUEUE.INSIDE] = 0;
    }
    if (next < 0) return 0;
    // A device that is gone reads as all ones: it takes nothing any more.
    return head < size ? (next - head) & (size - 1) : this.clean();
  }

  /** Gives finished frames back to the mempool. @returns frames still in the ring; up to 31 finished ones count */
  clean(): number {
    return this.loops.clean();
  }

  private readHead(): number {
    const tailWord = this.views.i32[this.handle.state + QUEUE.TAIL];
    if (tailWord !== 0) return this.views.i32[tailWord + HEAD_WORDS] >>> 0;
    if (this.device === undefined) throw trapped(this.handle);
    return this.device.read32(at(VFTDH, this.views.i32[this.handle.state + QUEUE.DEVICE_QUEUE]));
  }

  private checkedBatch(bufs: Int32Array, from: number, n: number): number {
    // The ring may take fewer: those it did not take are the caller's again.
    this.mempool.releaseBatch(bufs, from, n);
    const k = this.loops.batch(bufs, from, n);
    this.mempool.markUser(bufs, from + k, n - k);
    return k;
  }

  private pad(buf: number, length: number): void {
    const offset = ((buf << BUF_SHIFT) >>> 0) + this.mempool.headroomBytes;
    new Uint8Array(this.handle.memory.buffer, offset + length, MIN_FRAME_WITHOUT_CRC - length).fill(
      0,
    );
    this.views.u16[(LENGTH_TABLE >>> 1) + buf] = MIN_FRAME_WITHOUT_CRC;
  }
}

/** VFTDH from VFTDT, in words. */
const HEAD_WORDS = (at(VFTDH, 0) - at(VFTDT, 0)) / 4;

function trapped({ kind, index, address }: QueueHandle): VfioError {
  return new VfioError(
    `use ${kind} queue ${index}`,
    0,
    address,
    'expected a mapped tail register, got a trapped one; a Worker can only use a device whose BAR0 is mapped',
  );
}

function doorbellOf(handle: QueueHandle, device: VfioDevice | undefined): Doorbell {
  const register = handle.kind === 'rx' ? VFRDT : VFTDT;
  const { i32 } = viewsOf(handle.memory);
  return (tail) => {
    if (device === undefined) throw trapped(handle);
    device.write32(at(register, i32[handle.state + QUEUE.DEVICE_QUEUE]), tail);
  };
}

/** Loads the code for `pairs` rx and tx queues ahead of the time when their devices are open. */
export function loadQueueCode(pairs: number): void {
  loadAhead('./rx-ring', import.meta.url, rxRing, pairs);
  loadAhead('./tx-ring', import.meta.url, txRing, pairs);
}

/**
 * Takes up a receive queue in this thread, with code of its own.
 * @param device needed only where the tail register is trapped
 */
export async function openRxQueue(handle: QueueHandle, device?: VfioDevice): Promise<RxQueue> {
  const copy = await freshCopy('./rx-ring', import.meta.url, rxRing);
  return new RxQueue(handle, copy, doorbellOf(handle, device));
}

/**
 * Takes up a transmit queue in this thread, with code of its own.
 * @param device needed only where the tail register is trapped
 * @param clock bounds `batchWait`
 */
export async function openTxQueue(
  handle: QueueHandle,
  device?: VfioDevice,
  clock: Clock = systemClock,
): Promise<TxQueue> {
  const copy = await freshCopy('./tx-ring', import.meta.url, txRing);
  return new TxQueue(handle, copy, doorbellOf(handle, device), device, clock);
}
