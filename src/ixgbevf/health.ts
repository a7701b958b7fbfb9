// What can go wrong while a VF runs, seen without touching the datapath: queues
// that the PF disabled, and tx queues whose head stands still although the tail
// is ahead. Heads say nothing about finished frames (that is DD), but a head that
// moves is progress.

import { VFTDH, VFTDT } from '../hw/registers.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { readRegister } from './access.ts';
import type { LinkState } from './link.ts';
import type { QueueMemory } from './queue/memory.ts';
import { queueEnabled } from './queue/setup.ts';

/** A tx queue that does not move. */
export interface StuckQueue {
  readonly queue: number;
  /** VFTDH and VFTDT as they stand. */
  readonly head: number;
  readonly tail: number;
  /** Descriptors between the two. */
  readonly pending: number;
  /** How long the head has not moved. */
  readonly sinceMs: number;
  /** All of this in one sentence. */
  readonly message: string;
}

/** The state of a VF. */
export interface Health {
  readonly link: LinkState;
  /** True when only restart() brings the VF back. */
  readonly resetNeeded: boolean;
  /** Why; empty while resetNeeded is false. */
  readonly resetReason: string;
  readonly stuck: readonly StuckQueue[];
}

/** Follows the heads of the tx queues. */
export class StuckWatch {
  private readonly device: VfioDevice;
  private readonly tx: readonly Pick<QueueMemory, 'index'>[];
  private readonly stuckAfterMs: number;
  private readonly heads: number[];
  private readonly movedUs: number[];

  /** @param tx queues by number, with the device's number of each */
  constructor(device: VfioDevice, tx: readonly Pick<QueueMemory, 'index'>[], stuckAfterMs: number) {
    this.device = device;
    this.tx = tx;
    this.stuckAfterMs = stuckAfterMs;
    this.heads = tx.map(() => -1);
    this.movedUs = tx.map(() => 0);
  }

  /** Forgets what was seen: the queues start afresh. */
  restart(): void {
    this.heads.fill(-1);
  }

  /**
   * Looks at every tx queue.
   * @param ringSize descriptors of a tx ring
   * @throws DeviceError when the device is gone
   */
  check(nowUs: number, ringSize: number): StuckQueue[] {
    const stuck: StuckQueue[] = [];
    for (const [queue, { index }] of this.tx.entries()) {
      const tail = readRegister(this.device, VFTDT, index);
      const head = readRegister(this.device, VFTDH, index);
      if (head === tail || head !== this.heads[queue]) {
        // An idle queue keeps no time: it starts when there is something to do.
        this.heads[queue] = head === tail ? -1 : head;
        this.movedUs[queue] = nowUs;
        continue;
      }
      const sinceMs = (nowUs - this.movedUs[queue]) / 1000;
      if (sinceMs < this.stuckAfterMs) continue;
      const pending = (tail - head) & (ringSize - 1);
      const message = `tx queue ${queue}: ${pending} descriptors pending, head ${head} and tail ${tail}, no progress for ${Math.round(sinceMs)} ms`;
      stuck.push({ queue, head, tail, pending, sinceMs, message });
    }
    return stuck;
  }
}

/**
 * Names the first queue that is off although it was started; the PF does that when the VF was reset or misbehaved.
 * @param started not those whose ENABLE has never read 1 yet
 * @returns '' while all are on
 * @throws DeviceError when the device is gone
 */
export function disabledQueue(
  device: VfioDevice,
  started: readonly Pick<QueueMemory, 'kind' | 'index'>[],
): string {
  const off = started.find(({ kind, index }) => !queueEnabled(device, kind, index));
  return off === undefined ? '' : `${off.kind} queue ${off.index} was disabled by the PF`;
}
