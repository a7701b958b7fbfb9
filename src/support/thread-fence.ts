// The half of a handshake between threads that must cost the other half nothing. A hot thread says by a plain store
// that it is at work and then looks, by a plain load, whether it may be; x86 may carry out the load first. The rare
// side sets its word and then runs this fence, after which one of the two has seen the other: membarrier(2) makes every
// running thread of the process pass a full memory barrier.

import type { Clock } from './clock.ts';
import { MEMBARRIER } from './linux.ts';
import { native } from './native.ts';

/**
 * Without membarrier(2), before Linux 4.14 or behind a filter of system calls: a store leaves the store buffer of its
 * CPU within nanoseconds, though no manual gives a bound, so the fence waits a million times as long.
 */
const DRAINED_US = 10_000;

/** Makes every other thread of the process pass a full memory barrier between this call's beginning and its end. */
export function fenceThreads(clock: Clock): void {
  const shim = native();
  if (shim.membarrier(MEMBARRIER.PRIVATE_EXPEDITED) === 0) return;
  // A process has to register first, once.
  shim.membarrier(MEMBARRIER.REGISTER_PRIVATE_EXPEDITED);
  if (shim.membarrier(MEMBARRIER.PRIVATE_EXPEDITED) < 0) clock.sleepUs(DRAINED_US);
}
