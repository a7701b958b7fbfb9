// How a VF comes to life: the reset handshake, and the requests that give it its
// MAC, API version and queues. linux ixgbevf_reset_hw_vf and ixgbevf_negotiate_api,
// in nine numbered steps. What is configured afterwards, and its order, is ../lifecycle.ts.

import { type ApiVersion, apiAtLeast } from '../../hw/mailbox.ts';
import { MAX_QUEUES, VFCTRL, VTEIAC, VTEIAM, VTEICR, VTEIMC } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { Log } from '../../support/log.ts';
import { formatMac, isStationMac, type MacBytes, randomMac } from '../../support/mac.ts';
import { pollUntil } from '../../support/poll.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { flush, readRegister, writeRegister } from '../access.ts';
import { awaitStopped, disableQueues, writeQueueDefaults } from '../queue/setup.ts';
import type { Mailbox } from './mailbox.ts';
import {
  negotiateApi,
  ONE_QUEUE,
  type QueueGrant,
  queueGrant,
  requestMac,
  resetRequest,
} from './requests.ts';

/** linux waits 1 ms, DPDK 50 + 50 ms; a port that comes back may take longer. */
const RESET_POLL_US = 100;
const RESET_TIMEOUT_US = 1_000_000;

/** What the PF and the VF agreed on. */
export interface Registration extends QueueGrant {
  readonly mac: MacBytes;
  /** True where the host assigned the MAC. */
  readonly macAssigned: boolean;
  readonly apiVersion: ApiVersion;
  /** Multicast hash type, 0..3. */
  readonly filterType: number;
}

/** Which MAC a VF asks for. */
export interface MacChoice {
  /** The user's choice: the PF must take it. */
  readonly chosen: MacBytes | undefined;
  /** Used where neither user nor host chose; kept over restarts. */
  readonly fallback: MacBytes | undefined;
}

/** Masks every vector and drops causes that wait. This driver polls. */
export function maskInterrupts(device: VfioDevice): void {
  writeRegister(device, VTEIMC, VTEIMC.mask.CAUSE);
  writeRegister(device, VTEIAM, 0);
  writeRegister(device, VTEIAC, 0);
  // A read clears.
  readRegister(device, VTEICR);
}

/**
 * Stops everything and resets the VF's side. Afterwards the VF does no DMA and the PF has forgotten it.
 * @throws DeviceError when the device is gone, its port stays in reset, or a queue does not stop
 */
export function resetVf(device: VfioDevice, mailbox: Mailbox, clock: Clock): void {
  // 1: stop.
  disableQueues(device, MAX_QUEUES, MAX_QUEUES);
  maskInterrupts(device);
  // 2: what was known is void.
  mailbox.restart();
  // 3: reset. The PF sees the same event as at a function level reset.
  writeRegister(device, VFCTRL, VFCTRL.mask.RST);
  flush(device);
  // 4: until no reset is under way or freshly done; a message sent before is lost.
  pollUntil(
    clock,
    {
      what: 'VFMAILBOX.RSTI and RSTD',
      wanted: '0',
      intervalUs: RESET_POLL_US,
      timeoutUs: RESET_TIMEOUT_US,
      advice:
        "the PF is being reset or is down: restart the VF when the PF's interface is up again",
    },
    () => (mailbox.resetIndicated() ? 1 : 0),
    (value) => value === 0,
  );
  // 5: what the reset leaves alone.
  writeQueueDefaults(device);
  awaitStopped(device, clock, MAX_QUEUES, MAX_QUEUES);
}

/**
 * Registers with the PF. After `resetVf`.
 * @throws MailboxError reset where the PF was reset meanwhile, nack where it refuses the MAC, timeout; DeviceError
 */
export function register(mailbox: Mailbox, macs: MacChoice, log: Log): Registration {
  // 6, 7: RESET first: the PF refuses everything else from a VF that did not send it.
  const { mac: assigned, filterType } = resetRequest(mailbox);
  // 8: the newest protocol first.
  const apiVersion = negotiateApi(mailbox);
  // 9: before API 1.1 nobody says, so one queue.
  const grant = apiAtLeast(apiVersion, '1.1') ? queueGrant(mailbox) : ONE_QUEUE;
  const macAssigned = assigned !== undefined && isStationMac(assigned);
  const mac = macs.chosen ?? (macAssigned ? assigned : (macs.fallback ?? randomMac()));
  if (!macAssigned || formatMac(mac) !== formatMac(assigned)) {
    requestMac(mailbox, mac);
    if (macs.chosen === undefined) log.info(`PF assigned no MAC, took ${formatMac(mac)}`);
  }
  return { ...grant, mac, macAssigned, apiVersion, filterType };
}
