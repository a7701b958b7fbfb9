// HOT. The thread that generates: sends, takes in what comes back, until it has sent all or the
// stop word is set; then waits, bounded, for what is still under way. The main thread owns signals
// and printing.

import { parentPort, workerData } from 'node:worker_threads';
import type { QueueHandle } from '../../ixgbevf/queue/memory.ts';
import { openRxQueue, openTxQueue, type RxQueue } from '../../ixgbevf/queue/queues.ts';
import { BUF_LIMIT, viewsOf } from '../../memory/layout.ts';
import { Mempool, type MempoolHandle } from '../../memory/mempool.ts';
import { native } from '../../support/native.ts';
import { CaptureInput } from '../../support/pcap/input.ts';
import { PcapReader } from '../../support/pcap/reader.ts';
import { type FrameLoops, makeFrameLoops, makeFrameRun } from '../../traffic/frame-loops.ts';
import type { GeneratorOptions } from '../../traffic/generator.ts';
import { senderPacer } from '../../traffic/pacer.ts';
import { makeCheck } from './check.ts';
import { COUNTS, STOP } from './counts.ts';
import { type FrameSource, makeGenerator } from './generate.ts';
import { makeReplay, type ReplayOptions } from './replay.ts';

/** A receive queue and where its buffers come from. */
export interface ReceiverData {
  readonly queue: QueueHandle;
  readonly mempool: MempoolHandle;
}

/** What a generating thread is started with. */
export interface PktgenData {
  readonly tx: ReceiverData;
  /** Of the sending device. */
  readonly rx: ReceiverData;
  /** Of another device, on which is measured; null: on the sending one. */
  readonly other: ReceiverData | null;
  readonly frames: GeneratedFrames | ReplayedFrames;
  readonly batch: number;
  /** Frames a second; null: as fast as they go, or with a capture's timing. */
  readonly rate: number | null;
  /** Frames to send; null: no end. */
  readonly count: number | null;
  /** Index of COUNTS among the doubles of the arena. */
  readonly counts: number;
  readonly stopWord: number;
}

/** Frames made here. */
export interface GeneratedFrames extends GeneratorOptions {
  readonly kind: 'generated';
  /** Heap word of the generator, as layOutGenerator gives it. */
  readonly state: number;
  /** Heap byte offset of FRAME_CHECK_BYTES for the checker. */
  readonly check: number;
}

/** Frames of a capture. */
export interface ReplayedFrames
  extends Pick<ReplayOptions, 'source' | 'destination' | 'maxLength' | 'pad'> {
  readonly kind: 'replayed';
  readonly path: string;
  /** Open for reading; it stays the main thread's to close. */
  readonly fd: number;
}

/** What the thread says. */
export type PktgenMessage =
  /** The first frame goes now. */
  | { readonly kind: 'started' }
  /** Everything was sent. */
  | { readonly kind: 'sent' }
  | { readonly kind: 'failed'; readonly message: string };

/** Rounds between two looks at the stop word. */
const ROUNDS = 64;
/** Full batches that are taken in before the next one is sent. */
const MAX_RECEIVED = 64;
/** How long nothing must have moved, and how long to wait at all: after a signal, after the last frame. */
const HURRIED = { quietUs: 100_000, limitUs: 300_000 };
const PATIENT = { quietUs: 1_000_000, limitUs: 5_000_000 };
/** How many questions the devices must have answered in either time: a model that has no CPU is quiet, too. */
const QUIET_ANSWERS = 4;

function say(message: PktgenMessage): void {
  parentPort?.postMessage(message);
}

async function run(data: PktgenData): Promise<void> {
  const mempool = new Mempool(data.tx.mempool);
  const views = viewsOf(data.tx.mempool.memory);
  const { i32: heap, f64 } = views;
  const tx = await openTxQueue(data.tx.queue);
  const { batch, counts, stopWord } = data;
  const clock = native().monotonicUs;
  const loops = makeFrameLoops(views, makeFrameRun(batch, BUF_LIMIT));
  const source = makeSource(data, mempool, loops, () => f64[counts + COUNTS.SKIPPED]++);
  const pacer = data.rate === null ? null : senderPacer(clock, data.rate, batch);
  const receive = await makeReceive(data, mempool, source, loops);
  const bufs = new Int32Array(batch);
  // A variable that is no small integer would be boxed anew at every write.
  const left = Float64Array.of(data.count ?? Number.POSITIVE_INFINITY);
  let kept = 0;
  let keptFrom = 0;

  /** @returns false when there is nothing more to send */
  function send(): boolean {
    if (kept === 0) {
      if (left[0] === 0 || source.ended) return false;
      let n = Math.min(batch, left[0]);
      if (pacer !== null) n = pacer.allowance(n);
      if (n === 0) return true;
      kept = source.fill(bufs, n);
      keptFrom = 0;
    }
    const sent = tx.batch(bufs, keptFrom, kept);
    if (sent === 0) return true;
    keptFrom += sent;
    kept -= sent;
    left[0] -= sent;
    pacer?.sent(sent);
    f64[counts + COUNTS.SENT] += sent;
    return true;
  }

  function sendAll(): void {
    let changes = f64[counts + COUNTS.MAC_CHANGES];
    while (Atomics.load(heap, stopWord) === 0) {
      if (f64[counts + COUNTS.MAC_CHANGES] !== changes) {
        changes = f64[counts + COUNTS.MAC_CHANGES];
        source.renew();
      }
      for (let i = 0; i < ROUNDS; i++) {
        if (!send()) return;
        receive();
      }
    }
  }

  /** Takes in what still comes; ended by force by the main thread where a device does not answer. */
  function drain({ quietUs, limitUs }: typeof PATIENT): void {
    const now = new Float64Array(1);
    clock(now);
    const start = { us: now[0], answers: f64[counts + COUNTS.ANSWERS] };
    const moved = { ...start };
    let before = tx.pending;
    while (Atomics.load(heap, stopWord) !== STOP.ALL) {
      const received = receive();
      const ring = tx.pending;
      clock(now);
      const answers = f64[counts + COUNTS.ANSWERS];
      if (received > 0 || ring !== before) {
        moved.us = now[0];
        moved.answers = answers;
      }
      before = ring;
      if (ring === 0 && f64[counts + COUNTS.RECEIVED] >= f64[counts + COUNTS.SENT]) break;
      if (now[0] - moved.us > quietUs && answers - moved.answers >= QUIET_ANSWERS) break;
      if (now[0] - start.us > limitUs && answers - start.answers >= QUIET_ANSWERS) break;
    }
  }

  const times = new Float64Array(1);
  clock(times);
  const startUs = times[0];
  say({ kind: 'started' });
  try {
    sendAll();
    clock(times);
    f64[counts + COUNTS.SENDING_US] = times[0] - startUs;
  } catch (error) {
    say({ kind: 'failed', message: (error as Error).message });
  }
  mempool.giveBatch(bufs, keptFrom, kept);
  if (Atomics.load(heap, stopWord) === 0) {
    say({ kind: 'sent' });
    drain(PATIENT);
  } else drain(HURRIED);
}

function makeSource(
  data: PktgenData,
  mempool: Mempool,
  loops: FrameLoops,
  onSkip: () => void,
): FrameSource {
  const { frames, rate } = data;
  if (frames.kind === 'generated') return makeGenerator(mempool, frames.state, loops);
  const reader = new PcapReader(frames.path, new CaptureInput(frames.path, frames.fd));
  return makeReplay({
    ...frames,
    mempool,
    reader,
    clock: rate === null ? native().monotonicUs : null,
    onSkip,
  });
}

/** Makes what takes in everything that has come. @returns a function that returns how many frames that were */
async function makeReceive(
  data: PktgenData,
  txMempool: Mempool,
  source: FrameSource,
  loops: FrameLoops,
): Promise<() => number> {
  const { f64 } = viewsOf(data.tx.mempool.memory);
  const { counts, frames } = data;
  const received = counts + COUNTS.RECEIVED;
  const bufs = new Int32Array(data.batch);
  const own = await openRxQueue(data.rx.queue);
  const measured = data.other === null ? own : await openRxQueue(data.other.queue);
  const mempool = data.other === null ? txMempool : new Mempool(data.other.mempool);
  const check =
    frames.kind === 'generated'
      ? makeCheck({ ...frames, mempool, loops, counts })
      : (_: Int32Array, n: number) => {
          f64[received] += n;
        };

  /** Takes in from one queue all there is, within reason. */
  function take(queue: RxQueue, from: Mempool, look: typeof check | null): number {
    let all = 0;
    for (let turn = 0; turn < MAX_RECEIVED; turn++) {
      const n = queue.batch(bufs, 0, bufs.length);
      if (n === 0) break;
      if (look !== null) look(bufs, n);
      if (from === txMempool) source.overwritten(bufs, n);
      from.giveBatch(bufs, 0, n);
      all += n;
      if (n < bufs.length) break;
    }
    return all;
  }

  if (measured === own) return () => take(own, txMempool, check);
  // What comes in on the sending device is of no interest, but its ring must not stay full.
  return () => {
    take(own, txMempool, null);
    return take(measured, mempool, check);
  };
}

await run(workerData as PktgenData);
