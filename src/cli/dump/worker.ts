// The thread that captures: receives and writes each frame as a pcap record or as a line. When
// nothing comes it flushes, naps, and looks whether anybody still reads. The main thread owns
// signals and reports.

import { parentPort, workerData } from 'node:worker_threads';
import type { QueueHandle } from '../../ixgbevf/queue/memory.ts';
import { openRxQueue } from '../../ixgbevf/queue/queues.ts';
import { viewsOf } from '../../memory/layout.ts';
import { Mempool, type MempoolHandle } from '../../memory/mempool.ts';
import { type PacketViews, packetViews } from '../../memory/packet-views.ts';
import { systemClock } from '../../support/clock.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { Output } from '../../support/pcap/output.ts';
import { PcapWriter } from '../../support/pcap/writer.ts';
import { frameLine } from './frame-line.ts';
import { WallClock } from './wall-clock.ts';

/** What frames become: pcap records, lines, or nothing but counts. */
export type DumpFormat = 'pcap' | 'lines' | 'none';

/** What a capturing thread is started with. */
export interface DumpData {
  readonly queue: QueueHandle;
  readonly mempool: MempoolHandle;
  readonly format: DumpFormat;
  /** Open for writing; it stays the main thread's to close. -1 for format none. */
  readonly fd: number;
  /** What errors call it. */
  readonly path: string;
  /** Frames to capture; null: no end. */
  readonly count: number | null;
  /** Word of the counts. */
  readonly block: number;
  readonly stopWord: number;
}

/** What the thread says. */
export type DumpMessage =
  | { readonly kind: 'started' }
  | { readonly kind: 'warning'; readonly text: string }
  /** It has all it was to capture. */
  | { readonly kind: 'done' }
  /** Nobody reads the output any more. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly message: string };

const BATCH = 32;
/** Without a frame for so long, the thread naps; a nap is shorter than the ring takes to fill at line rate. */
const IDLE_US = 1000;
const NAP_MS = 0.05;
/** How long written frames may wait in our buffer. */
const FLUSH_US = 100_000;
/** How long a reader that is slow may hold up the end. */
const LAST_US = 400_000;
const LINES_BYTES = 65_536;
/** Longer than any line. */
const LINE_BYTES = 512;

/** Takes frames. */
interface Writer {
  append(frame: Uint8Array, timeUs: number): void;
  /** Writes out what waits. */
  flush(): void;
}

class PcapFrames implements Writer {
  private readonly writer: PcapWriter;

  constructor(path: string, output: Output) {
    this.writer = new PcapWriter(path, {
      write: (bytes, from, length) => output.write(bytes, from, length),
    });
  }

  append(frame: Uint8Array, timeUs: number): void {
    const seconds = Math.floor(timeUs / 1e6);
    this.writer.append(frame, seconds, Math.floor(timeUs - seconds * 1e6) * 1000);
  }

  flush(): void {
    this.writer.flush();
  }
}

class Lines implements Writer {
  private readonly path: string;
  private readonly output: Output;
  private readonly bytes = new Uint8Array(LINES_BYTES);
  private readonly encoder = new TextEncoder();
  private used = 0;

  constructor(path: string, output: Output) {
    this.path = path;
    this.output = output;
  }

  append(frame: Uint8Array, timeUs: number): void {
    if (this.used + LINE_BYTES > this.bytes.length) this.flush();
    const line = `${frameLine(frame, timeUs)}\n`;
    this.used += this.encoder.encodeInto(line, this.bytes.subarray(this.used)).written;
  }

  flush(): void {
    const { used } = this;
    this.used = 0;
    let done = 0;
    while (done < used) {
      let taken: number;
      try {
        taken = this.output.write(this.bytes, done, used - done);
      } catch (error) {
        const errno = Math.abs((error as NodeJS.ErrnoException).errno ?? 0);
        throw new VfioError('write', errno, this.path);
      }
      if (taken === 0) return;
      done += taken;
    }
  }
}

function makeWriter(data: DumpData, output: Output | null): Writer {
  if (output === null) return { append: () => {}, flush: () => {} };
  return data.format === 'pcap' ? new PcapFrames(data.path, output) : new Lines(data.path, output);
}

function say(message: DumpMessage): void {
  parentPort?.postMessage(message);
}

function jumpText(jumpUs: number): string {
  const seconds = `${jumpUs > 0 ? '+' : ''}${(jumpUs / 1e6).toFixed(3)}`;
  return `the system's clock jumped by ${seconds} s; stamps follow it from here on`;
}

async function run(data: DumpData): Promise<void> {
  const mempool = new Mempool(data.mempool);
  const views: PacketViews = packetViews(mempool);
  const { i32: heap, f64 } = viewsOf(data.mempool.memory);
  const rx = await openRxQueue(data.queue);
  const stopped = (): boolean => Atomics.load(heap, data.stopWord) !== 0;
  let giveUpUs = 0;
  const proceed = (): boolean => {
    if (!stopped()) return true;
    if (giveUpUs === 0) giveUpUs = systemClock.nowUs() + LAST_US;
    return systemClock.nowUs() < giveUpUs;
  };
  const output = data.format === 'none' ? null : new Output(data.fd, proceed);
  const writer = makeWriter(data, output);
  const bufs = new Int32Array(BATCH);
  const wall = new WallClock(() => systemClock.nowUs());
  let left = data.count ?? Number.POSITIVE_INFINITY;
  let lastFrameUs = systemClock.nowUs();
  let flushUs = lastFrameUs;

  function capture(n: number, nowUs: number): void {
    let i = 0;
    try {
      for (; i < n; i++) writer.append(views.frame(bufs[i]), wall.at(nowUs));
    } finally {
      f64[data.block >> 1] += i;
      mempool.giveBatch(bufs, 0, n);
    }
    left -= n;
    lastFrameUs = nowUs;
  }

  /** @returns false where nobody reads the output */
  function idle(nowUs: number): boolean {
    if (data.format === 'lines') writer.flush();
    if (nowUs - lastFrameUs > IDLE_US) Atomics.wait(heap, data.stopWord, 0, NAP_MS);
    return nowUs - flushUs < FLUSH_US || output?.abandoned !== true;
  }

  say({ kind: 'started' });
  while (left > 0 && !stopped()) {
    const n = rx.batch(bufs, 0, Math.min(BATCH, left));
    const nowUs = systemClock.nowUs();
    if (n > 0) capture(n, nowUs);
    else if (!idle(nowUs)) throw new VfioError('write', ERRNO.EPIPE, data.path);
    if (nowUs - flushUs > FLUSH_US) {
      writer.flush();
      flushUs = nowUs;
      const jumpUs = wall.anchor();
      if (jumpUs !== 0) say({ kind: 'warning', text: jumpText(jumpUs) });
    }
  }
  writer.flush();
  if (left === 0) say({ kind: 'done' });
}

try {
  await run(workerData as DumpData);
} catch (error) {
  const closed = error instanceof VfioError && error.errno === ERRNO.EPIPE;
  say(closed ? { kind: 'closed' } : { kind: 'failed', message: (error as Error).message });
}
