// The generating thread of `ixy pktgen`, seen from the main thread: what it is started with, how it is
// ended, and what it counts. The thread itself: worker.ts.

import { randomInt } from 'node:crypto';
import type { QueueHandle } from '../../ixgbevf/queue/memory.ts';
import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import { processArena } from '../../memory/arena.ts';
import type { Mempool } from '../../memory/mempool.ts';
import type { CaptureInput } from '../../support/pcap/input.ts';
import { FRAME_CHECK_BYTES } from '../../traffic/frame-check.ts';
import { layOutGenerator } from '../../traffic/generator.ts';
import { FIRST_PKTGEN_STREAM, STREAMS } from '../../traffic/test-frame.ts';
import { HotThreads } from '../run/hot-threads.ts';
import type { Session } from '../run/session.ts';
import { COUNTS, COUNTS_BYTES, STOP } from './counts.ts';
import type { PktgenPlan } from './plan.ts';
import type {
  GeneratedFrames,
  PktgenData,
  PktgenMessage,
  ReceiverData,
  ReplayedFrames,
} from './worker.ts';

const WORKER_FILE = new URL('./worker.js', import.meta.url);
/** The thread looks for the last frames for at most 5 s, and opens its queues before. */
const ENDED_MS = 7000;
/** After a signal the thread is done within 0.3 s, unless a device takes longer to answer. */
const LATE_MS = 2000;
/** Between two questions to the devices while the last frames are awaited. */
const ASK_MS = 2;
/** Share of a rate that counts as all of it. */
const REACHED = 0.99;
const BROADCAST = new Uint8Array(6).fill(0xff);

const receiver = (queue: QueueHandle, { handle }: Mempool): ReceiverData => ({
  queue,
  mempool: handle,
});

/** Counts as the JSON report has them. */
export interface GeneratorReport {
  readonly sent: number;
  readonly received: number;
  /** null: a capture has no numbers to tell by. */
  readonly gaps: number | null;
  readonly duplicates: number | null;
  readonly corrupt: number | null;
  /** Frames of the capture that were not played. */
  readonly skipped?: number;
}

/** The generating thread and what it counts. */
export class Generator {
  /** Set when the thread has sent all. */
  complete = false;
  private readonly threads = new HotThreads();
  private readonly counts = processArena().allocateControl(COUNTS_BYTES) >>> 3;
  private readonly plan: PktgenPlan;
  private readonly session: Session;
  private readonly capture: CaptureInput | null;
  private devices: readonly IxgbeVf[] = [];
  private writeMacs = (): void => {};
  /** Of the frames sent: still in the tx ring when the time to wait for the device was over. */
  left = 0;

  /** @param capture that is to be played, open; null: frames are made */
  constructor(plan: PktgenPlan, session: Session, capture: CaptureInput | null) {
    this.plan = plan;
    this.capture = capture;
    this.session = session;
  }

  /** Starts the thread; the session's time counts from its first frame on. */
  async start(vf: IxgbeVf, other: IxgbeVf | undefined): Promise<void> {
    const { plan, session, counts } = this;
    this.devices = other === undefined ? [vf] : [vf, other];
    const data: PktgenData = {
      tx: receiver(vf.tx[0].handle, vf.mempool),
      rx: receiver(vf.rx[0].handle, vf.mempool),
      other: other === undefined ? null : receiver(other.rx[0].handle, other.mempool),
      frames: this.capture === null ? this.generated(vf, other) : this.captured(vf, this.capture),
      batch: plan.batch,
      rate: plan.rate,
      count: plan.count,
      counts,
      stopWord: this.threads.stopWord,
    };
    await new Promise<void>((started) => {
      const onError = (error: Error): void => {
        session.fail(error);
        started();
      };
      const onMessage = (message: PktgenMessage): void => {
        if (message.kind === 'failed') onError(new Error(message.message));
        else if (message.kind === 'started') {
          session.begin();
          started();
        } else {
          this.complete = true;
          session.end();
        }
      };
      this.threads.start(WORKER_FILE, data, { onError, onMessage });
    });
  }

  /** Their host may have given the devices other MACs: the frames to come bear them. */
  renewMacs(): void {
    this.writeMacs();
    processArena().views.f64[this.counts + COUNTS.MAC_CHANGES]++;
  }

  /** Sends no more, waits for what is under way, a moment after a signal and longer after the last frame. */
  async finish(): Promise<void> {
    this.session.onSignalAfterEnd(() => this.threads.tell(STOP.ALL));
    const asking = setInterval(() => this.ask(), ASK_MS);
    if (this.complete) await this.threads.ended(ENDED_MS);
    else await this.threads.stop(LATE_MS);
    clearInterval(asking);
    const left = this.pending();
    this.left = left;
    if (this.complete && left > 0) {
      const { address } = this.plan;
      this.session.fail(
        new Error(
          `${address}: expected the device to take ${this.count(COUNTS.SENT)} frames, got ${left} that stayed in the tx ring; is the link up?`,
        ),
      );
    }
  }

  /** Ends the thread; bounded, idempotent. */
  stop(): Promise<void> {
    this.threads.tell(STOP.ALL);
    return this.threads.ended(ENDED_MS);
  }

  report(): GeneratorReport {
    const played = this.plan.replay !== null;
    const known = (index: number): number | null => (played ? null : this.count(index));
    return {
      sent: this.count(COUNTS.SENT) - this.left,
      received: this.count(COUNTS.RECEIVED),
      gaps: known(COUNTS.GAPS),
      duplicates: known(COUNTS.DUPLICATES),
      corrupt: known(COUNTS.CORRUPT),
      ...(played && { skipped: this.count(COUNTS.SKIPPED) }),
    };
  }

  /** The rate over the whole run, frames a second, where one was asked for and was not reached; undefined otherwise. */
  missedRate(): number | undefined {
    const { rate, batch } = this.plan;
    const seconds = this.count(COUNTS.SENDING_US) / 1e6;
    const sent = this.count(COUNTS.SENT) - this.left;
    // A batch may be due and not yet sent.
    if (rate === null || sent + batch >= rate * seconds * REACHED) return undefined;
    return sent / seconds;
  }

  /** Asks every device something. A device that answers has had the time to move what is under way. */
  private ask(): void {
    try {
      for (const vf of this.devices) vf.link();
    } catch {
      // It is lost, and moves nothing any more.
    }
    processArena().views.f64[this.counts + COUNTS.ANSWERS]++;
  }

  /** Frames in the tx ring; of a device that is lost they are not known. */
  private pending(): number {
    try {
      return this.devices[0]?.tx[0].pending ?? 0;
    } catch {
      return 0;
    }
  }

  private count(index: number): number {
    return processArena().views.f64[this.counts + index];
  }

  private generated(vf: IxgbeVf, other: IxgbeVf | undefined): GeneratedFrames {
    const { lengths, flows, destination } = this.plan;
    const arena = processArena();
    const allocate = (sizeBytes: number): number => arena.allocateControl(sizeBytes);
    // Frames of an earlier run may still be on their way; they are not this one's.
    const stream = randomInt(FIRST_PKTGEN_STREAM, STREAMS);
    const options = { lengths, flows, stream };
    const { state, templates } = layOutGenerator(options, allocate, () => arena.views);
    this.writeMacs = () => {
      for (const word of templates) {
        arena.views.u8.set(destination ?? other?.macBytes ?? BROADCAST, word * 4);
        arena.views.u8.set(vf.macBytes, word * 4 + 6);
      }
    };
    this.writeMacs();
    return { kind: 'generated', ...options, state, check: allocate(FRAME_CHECK_BYTES) };
  }

  private captured(vf: IxgbeVf, { path, fd }: CaptureInput): ReplayedFrames {
    const { destination, lengths, pad } = this.plan;
    const source = new Uint8Array(new SharedArrayBuffer(6));
    this.writeMacs = () => source.set(vf.macBytes);
    this.writeMacs();
    return { kind: 'replayed', path, fd, source, destination, pad, maxLength: lengths[0] };
  }
}
