// HOT. One direction of the l2 forwarder: receive, rewrite both MACs, transmit.
// What the tx ring does not take is kept and retried before anything more is
// received, so that pressure goes back to the NIC; after 100 ms without a place, or at
// once where the link is down, it is given up and counted. An 82599 VF may only send its own source MAC, hence the rewrite.

import type { RxQueue, TxQueue } from '../../ixgbevf/queue/queues.ts';
import { BUF_SHIFT, viewsOf } from '../../memory/layout.ts';
import type { Mempool } from '../../memory/mempool.ts';
import { readUs, systemClock } from '../../support/clock.ts';
import { macToWords } from '../../support/mac.ts';

const BUF_WORD_SHIFT = BUF_SHIFT - 2;

/** Words of the block through which a forwarder and whoever watches it talk. Doubles from word 16 on. */
export const FORWARD = {
  /** Destination of what leaves the far device: bytes 0..3, bytes 4..5; all ones until one was seen. */
  PEER_LOW: 0,
  PEER_HIGH: 1,
  /** 1: the destination was given by the user and is not learnt. */
  PEER_FIXED: 2,
  /** 1: the sending device's link is down. */
  LINK_DOWN: 3,
  /** MAC of the sending device: bytes 0 and 1 in the upper half, bytes 2..5. Its host may change it. */
  SOURCE_HIGH: 4,
  SOURCE_LOW: 5,
  /** Double: frames given up because the tx ring did not take them in time. */
  DROPPED: 8,
  BLOCK_BYTES: 128,
} as const;

/** What a direction needs. */
export interface Direction {
  readonly rx: RxQueue;
  readonly tx: TxQueue;
  readonly mempool: Mempool;
  /** State words of what leaves the sending device (MACs) and the receiving one (learning). */
  readonly outState: number;
  readonly inState: number;
  readonly batch: number;
  /** Drop at once what the ring does not take, as ixy does. */
  readonly dropAtOnce: boolean;
}

/** Writes the MAC of the device that sends into the state block of what leaves by it. */
export function writeSource(heap: Int32Array, state: number, mac: Uint8Array): void {
  const [low, high] = macToWords(mac);
  heap[state + FORWARD.SOURCE_HIGH] = low << 16;
  heap[state + FORWARD.SOURCE_LOW] = (low >>> 16) | (high << 16);
}

/** A NIC that stands still for so long is not going on; a model whose CPU was taken away, or a paused link, may be. */
const GIVE_UP_US = 100_000;
/** Fruitless tries between two looks at the clock. */
const TRIES = 64;

/** One direction at work. */
export interface Forward {
  /** The body of the loop, to be called again and again. @returns frames taken by the tx ring in that call */
  readonly forward: () => number;
  /** The end: gives what is still kept back to the mempool. */
  readonly end: () => void;
}

/** Makes one direction. */
export function makeForward(direction: Direction): Forward {
  const { rx, tx, mempool, outState, inState, batch, dropAtOnce } = direction;
  const { i32: heap, f64 } = viewsOf(mempool.handle.memory);
  const bufs = new Int32Array(batch);
  const headroomWords = mempool.headroomBytes >>> 2;
  let kept = 0;
  let keptFrom = 0;
  const now = new Float64Array(1);
  const keptSince = new Float64Array(1);
  let tries = 0;

  function end(): void {
    mempool.giveBatch(bufs, keptFrom, kept);
    kept = 0;
  }

  function giveUp(): void {
    f64[(outState >> 1) + FORWARD.DROPPED] += kept;
    end();
  }

  function retry(): number {
    const sent = tx.batch(bufs, keptFrom, kept);
    keptFrom += sent;
    kept -= sent;
    if (sent > 0) {
      tries = 0;
      return sent;
    }
    if (heap[outState + FORWARD.LINK_DOWN] !== 0) giveUp();
    else if (tries === 0) readUs(systemClock, keptSince);
    else if (tries % TRIES === 0) {
      readUs(systemClock, now);
      if (now[0] - keptSince[0] > GIVE_UP_US) giveUp();
    }
    tries = kept === 0 ? 0 : (tries + 1) | 0;
    return 0;
  }

  function learn(buf: number): void {
    const w = ((buf << BUF_WORD_SHIFT) + headroomWords) | 0;
    const low = (heap[w + 1] >>> 16) | (heap[w + 2] << 16);
    if ((low & 1) !== 0 || heap[inState + FORWARD.PEER_FIXED] !== 0) return;
    heap[inState + FORWARD.PEER_LOW] = low;
    heap[inState + FORWARD.PEER_HIGH] = heap[w + 2] >>> 16;
  }

  function forward(): number {
    if (kept !== 0) return retry();
    const n = rx.batch(bufs, 0, batch);
    if (n === 0) return 0;
    learn(bufs[n - 1]);
    const word0 = heap[outState + FORWARD.PEER_LOW];
    const word1 = heap[outState + FORWARD.PEER_HIGH] | heap[outState + FORWARD.SOURCE_HIGH];
    const word2 = heap[outState + FORWARD.SOURCE_LOW];
    for (let i = 0; i < n; i = (i + 1) | 0) {
      const w = ((bufs[i] << BUF_WORD_SHIFT) + headroomWords) | 0;
      heap[w] = word0;
      heap[w + 1] = word1;
      heap[w + 2] = word2;
    }
    const sent = tx.batch(bufs, 0, n);
    if (sent !== n) {
      keptFrom = sent;
      kept = n - sent;
      if (dropAtOnce) giveUp();
      tries = 0;
    }
    return sent;
  }

  return { forward, end };
}
