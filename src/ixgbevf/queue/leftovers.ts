// What lies in a ring when it is stopped and is lost with it: frames that arrived and were not taken out, frames that
// were posted and did not leave. They are counted here, so that a queue's counters add up over every restart.

import { RX_STATUS } from '../../hw/descriptors.ts';
import { ALL_ONES, VFTDH } from '../../hw/registers.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { readRegister } from '../access.ts';
import { QUEUE, type QueueMemory } from './memory.ts';

const { DD, EOP } = RX_STATUS.mask;

/** Counts the frames of rx rings that nobody will take out any more. Hardware and threads are out of them. */
export function countUnread(queues: readonly QueueMemory[]): void {
  for (const { arena, handle, size } of queues) {
    const heap = arena.views.i32;
    const { state } = handle;
    if (heap[state + QUEUE.HELD] === 0) continue;
    const next = heap[state + QUEUE.NEXT];
    let slot = next < 0 ? ~next : next;
    let frames = 0;
    for (let seen = 0; seen < size; seen++) {
      const status = heap[state + QUEUE.DESCRIPTORS] + slot * 4 + 2;
      if ((heap[status] & DD) === 0) break;
      if ((heap[status] & EOP) !== 0) frames++;
      // A second look finds it counted.
      heap[status] = 0;
      slot = (slot + 1) & (size - 1);
    }
    heap[state + QUEUE.NEXT] = slot;
    arena.views.f64[(state >> 1) + QUEUE.LOST] += frames;
  }
}

/**
 * Counts the frames of disabled tx rings that did not leave, and marks all they hold as to be given back to the mempool.
 * Where the head cannot be true (a reset of the port cleared it, the device is gone), every frame that was not reported
 * as sent counts as lost, up to 31 too many.
 */
export function countUnsent(device: VfioDevice, queues: readonly QueueMemory[]): void {
  for (const { index, arena, handle, size } of queues) {
    const heap = arena.views.i32;
    const { state } = handle;
    const next = heap[state + QUEUE.NEXT];
    const clean = heap[state + QUEUE.CLEAN];
    if (next < 0 || next === clean) continue;
    const head = headOf(device, index);
    const held = (next - clean) & (size - 1);
    const sent = (head - clean) & (size - 1);
    arena.views.f64[(state >> 1) + QUEUE.LOST] += held - (head < size && sent <= held ? sent : 0);
    heap[state + QUEUE.NEXT] = ~next;
  }
}

/** Head of a tx ring; all ones where the device is gone. */
function headOf(device: VfioDevice, index: number): number {
  try {
    return readRegister(device, VFTDH, index);
  } catch {
    return ALL_ONES;
  }
}
