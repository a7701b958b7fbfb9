// How a queue is taken from the thread that uses it. A batch stores its thread's id in INSIDE and then looks at GATE;
// its last store clears INSIDE. Whoever stops the queue sets GATE, runs a fence and waits until INSIDE is 0: from then
// on every batch returns at once, and ring, counters and tail register stand still. A thread that ended inside a batch
// counts as out. The mempool stays the user's all the time.

import { POOL } from '../../memory/mempool.ts';
import type { Clock } from '../../support/clock.ts';
import { native } from '../../support/native.ts';
import { pollUntil } from '../../support/poll.ts';
import { fenceThreads } from '../../support/thread-fence.ts';
import { CLOSED, OPEN, QUEUE, type QueueMemory, STOPPED } from './memory.ts';

const LOOK_US = 20;

/** Lets batches in. Everything that a batch reads has been written before. */
export function openGates(queues: readonly QueueMemory[]): void {
  for (const { arena, handle } of queues) {
    Atomics.store(arena.views.i32, handle.state + QUEUE.GATE, OPEN);
  }
}

/** Lets no more batches in. One that is under way goes on. */
export function shutGates(queues: readonly QueueMemory[]): void {
  for (const { arena, handle } of queues) {
    const heap = arena.views.i32;
    const gate = handle.state + QUEUE.GATE;
    if (heap[gate] !== CLOSED) Atomics.store(heap, gate, STOPPED);
  }
}

/**
 * Lets no more batches in and waits until none is under way. Where it throws, the gates stay closed: call it again.
 * @param timeoutUs bound of the wait; a thread that has a CPU needs well under a millisecond
 * @throws DeviceError naming the queue and the thread that does not leave
 */
export function closeGates(queues: readonly QueueMemory[], clock: Clock, timeoutUs: number): void {
  shutGates(queues);
  fenceThreads(clock);
  for (const queue of queues) {
    pollUntil(
      clock,
      {
        what: `thread inside ${queue.kind} queue ${queue.index}`,
        wanted: '0',
        intervalUs: LOOK_US,
        timeoutUs,
        advice:
          'that thread is held up, by a debugger or for want of a CPU: try again when it runs',
      },
      () => threadInside(queue),
      (user) => user === 0,
    );
  }
}

/**
 * True where this thread may give the queue's buffers back to their mempool: it took the queue up last, or the thread
 * that did has ended. Otherwise the mempool belongs to that thread.
 */
export function ownsMempool({ arena, handle }: QueueMemory): boolean {
  const user = arena.views.i32[handle.state + QUEUE.USER];
  const shim = native();
  return user === 0 || user === shim.threadId() || shim.probeThread(user) < 0;
}

/** @returns id of the thread that is inside a batch of the queue, 0 where none is */
function threadInside(queue: QueueMemory): number {
  const heap = queue.arena.views.i32;
  const inside = queue.handle.state + QUEUE.INSIDE;
  const user = Atomics.load(heap, inside);
  // This thread is here, so it is not there: an exception took it out.
  if (user === 0 || user === native().threadId()) return 0;
  if (native().probeThread(user) === 0) return user;
  mend(queue);
  heap[inside] = 0;
  return 0;
}

/**
 * Ends what a thread that died inside a batch of the queue began. A Worker can only be ended between two frames. An rx
 * batch has then put buffers from the top of the free stack into slots and not yet taken them off the stack; the frames
 * that it took out of those slots are lost with the thread, their buffers too. A tx batch has posted nothing yet.
 */
function mend({ kind, arena, handle, mempool, size }: QueueMemory): void {
  if (kind === 'tx') return;
  const heap = arena.views.i32;
  const slots = heap[handle.state + QUEUE.SLOTS];
  const available = mempool.handle.state + POOL.AVAILABLE;
  const stack = heap[mempool.handle.state + POOL.STACK];
  const next = heap[handle.state + QUEUE.NEXT];
  let slot = next < 0 ? ~next : next;
  while (heap[available] > 0 && heap[slots + slot] === heap[stack + heap[available] - 1]) {
    heap[available]--;
    slot = (slot + 1) & (size - 1);
  }
}
