// What an rx queue may still write after its ENABLE reads 0: frames that were under way go into buffers
// whose descriptors the chip had fetched, for about 100 us (82599 DS sec 4.6.7.1.2; docs/82599-vf.md
// sec 5.8). The mode `late-dma` of the model. Such a frame was counted nowhere and is of no use to
// anybody: it shows who takes memory back too early. VFCTRL.RST neither begins nor ends it, VFLR does end it.

import { DESCRIPTOR_SIZE, MIN_FRAME_WITHOUT_CRC, RX_STATUS } from '../../hw/descriptors.ts';
import type { Clock } from '../../support/clock.ts';
import { Q_BASE_HIGH, Q_BASE_LOW, Q_COUNT, Q_HEAD, Q_TAIL, Q_TAIL_WORD } from '../layout.ts';
import type { EngineMemory } from './memory.ts';

/** Descriptors that a queue is taken to have fetched ahead; no source says how many. */
const FETCHED = 64;
/** Where in the scratch area the descriptor is put together, in words; the frame is before it. */
const DESCRIPTOR_WORD = MIN_FRAME_WITHOUT_CRC / 4 + 1;

/** A stopped queue whose last frames are under way. */
interface StoppedQueue {
  /** Heap word of its block, which may be another ring's by now. */
  readonly q: number;
  readonly untilUs: number;
  /** When its next frame is due: they are spread over the time. */
  dueUs: number;
  /** Addresses that were in the descriptors when the queue stopped, and of the descriptors, as low and high words. */
  readonly buffers: number[];
  readonly descriptors: number[];
}

/** The late writes of one VF's rx queues. */
export class LateDma {
  private readonly memory: EngineMemory;
  private readonly clock: Clock;
  private readonly forUs: number;
  private stopped: StoppedQueue[] = [];

  /** @param forUs how long a queue goes on writing, microseconds */
  constructor(memory: EngineMemory, clock: Clock, forUs: number) {
    this.memory = memory;
    this.clock = clock;
    this.forUs = forUs;
  }

  /** A running rx queue, whose block is at heap word q, stops now. */
  begin(q: number): void {
    const h = this.memory.heap;
    const { iommu } = this.memory.vfOf(q);
    const count = h[q + Q_COUNT];
    const posted = h[h[q + Q_TAIL_WORD]];
    const tail = posted >>> 0 < count ? posted : h[q + Q_TAIL];
    const buffers: number[] = [];
    const descriptors: number[] = [];
    for (let i = h[q + Q_HEAD]; i !== tail && buffers.length < 2 * FETCHED; i = (i + 1) % count) {
      const d = this.memory.descriptor(q, i);
      // What cannot be written is a fault of the frame that comes there, and none is on its way to it.
      if (d < 0 || iommu.translate(h[d], h[d + 1], MIN_FRAME_WITHOUT_CRC, true) < 0) break;
      buffers.push(h[d], h[d + 1]);
      descriptors.push(h[q + Q_BASE_LOW] + i * DESCRIPTOR_SIZE, h[q + Q_BASE_HIGH]);
    }
    const nowUs = this.clock.nowUs();
    this.stopped.push({ q, untilUs: nowUs + this.forUs, dueUs: nowUs, buffers, descriptors });
  }

  /** Writes the frame that is due of each queue whose time is not over. */
  poll(): void {
    if (this.stopped.length === 0) return;
    const nowUs = this.clock.nowUs();
    this.stopped = this.stopped.filter((queue) => {
      if (nowUs >= queue.untilUs) return false;
      if (nowUs < queue.dueUs) return true;
      queue.dueUs = nowUs + this.forUs / FETCHED;
      return this.write(queue);
    });
  }

  /** The function was reset, or lost bus mastering: no DMA any more. */
  end(): void {
    this.stopped.length = 0;
  }

  /** @returns false where the queue has no descriptor left, or may not write */
  private write({ q, buffers, descriptors }: StoppedQueue): boolean {
    if (buffers.length === 0) return false;
    const { memory } = this;
    const [low, high] = buffers.splice(0, 2);
    const [ringLow, ringHigh] = descriptors.splice(0, 2);
    const frame = (memory.scratch << 2) >>> 0;
    const done = memory.scratch + DESCRIPTOR_WORD;
    memory.bytes.fill(0xff, frame, frame + MIN_FRAME_WITHOUT_CRC);
    memory.heap.set([0, 0, RX_STATUS.mask.DD | RX_STATUS.mask.EOP, MIN_FRAME_WITHOUT_CRC], done);
    return (
      memory.scatter(q, low, high, frame, MIN_FRAME_WITHOUT_CRC) &&
      memory.scatter(q, ringLow, ringHigh, (done << 2) >>> 0, DESCRIPTOR_SIZE)
    );
  }
}
