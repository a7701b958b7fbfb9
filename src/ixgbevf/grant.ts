// Whether the queues that a user asks for can be had with what the PF grants, and which queues of the device
// they are. Facts: linux ixgbevf_configure_dcb.

import type { Log } from '../support/log.ts';
import type { QueueGrant } from './mailbox/requests.ts';
import type { VfSettings } from './options.ts';
import { placeQueue } from './queue/memory.ts';
import { expectHostTag } from './queue/setup.ts';
import type { VfMemory } from './vf-memory.ts';

/**
 * Holds the numbers of queues against a grant. With traffic classes on the PF, rx queue n gets the frames of class n
 * alone and RSS is off, and the VF is to send on one queue, that of the default class.
 * @throws RangeError where they cannot be had
 */
export function checkGrant(
  settings: Pick<VfSettings, 'rxQueues' | 'txQueues'>,
  grant: QueueGrant,
  address: string,
  log: Log,
): void {
  for (const kind of ['rxQueues', 'txQueues'] as const) {
    if (settings[kind] <= grant[kind]) continue;
    throw new RangeError(
      `${kind}: expected at most ${grant[kind]}, which is what the PF grants ${address}, got ${settings[kind]}`,
    );
  }
  const { rxQueues, txQueues } = settings;
  const { trafficClasses: classes, defaultQueue } = grant;
  if (classes < 2) return;
  const why = `the PF of ${address} has ${classes} traffic classes`;
  if (txQueues > 1) {
    throw new RangeError(
      `txQueues: expected 1, since ${why} and wants the VF to send on the queue of its default class, ${defaultQueue}; got ${txQueues}`,
    );
  }
  if (rxQueues > 1 && rxQueues < classes) {
    throw new RangeError(
      `rxQueues: expected ${classes} or more, a queue for each class in the place of RSS, since ${why}; or 1 for class 0 alone; got ${rxQueues}`,
    );
  }
  if (rxQueues === 1) {
    log.warn(`${why}: with one rx queue only frames of class 0 arrive`);
  }
}

/** Readies queues that are stopped for what the PF granted. */
export function placeQueues(memory: VfMemory, grant: QueueGrant): void {
  for (const queue of memory.rx) expectHostTag(queue, grant.trafficClasses !== 0);
  // With traffic classes there is one tx queue, and a VF sends on that of the default class.
  placeQueue(memory.tx[0], grant.trafficClasses > 1 ? grant.defaultQueue : 0);
}

/** Tx queues of the device up to the last that a VF has. */
export function txReach(memory: VfMemory): number {
  return Math.max(...memory.tx.map(({ index }) => index + 1));
}
