// How a VF comes to life: the reset handshake, and the requests that give it its
// MAC, API version and queues. linux ixgbevf_reset_hw_vf and ixgbevf_negotiate_api,
// in nine numbered steps. What is configured afterwards, and its order, is ../lifecycle.ts.

import { type ApiVersion, apiAtLeast } from '../../hw/mailbox.ts';
import {
  ALL_ONES,
  MAX_QUEUES,
  VFCTRL,
  VFSTATUS,
  VTEIAC,
  VTEIAM,
  VTEICR,
  VTEIMC,
} from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { Log } from '../../support/log.ts';
import { formatMac, isStationMac, type MacBytes, randomMac } from '../../support/mac.ts';
import { pollSteps } from '../../support/poll.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { goneAdvice, readRegister, writeRegister } from '../access.ts';
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

const RESET_POLL_US = 100;
/** As long as a function may take to answer after a reset (PCI Express), and longer than a port takes to come back. */
const RESET_TIMEOUT_US = 1_000_000;
/** DPDK and ixy.rs wait as long after a reset; how soon RSTD shows, if it does, sources leave open. */
const SETTLE_US = 50_000;
/** Queues that every VF has. Of the others registers may read as anything until the PF granted them. */
const FEWEST_QUEUES = 2;

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
 * Stops everything and resets the VF's side. Afterwards the VF does no DMA and the PF has forgotten it. May be left for
 * a while wherever it yields.
 * @throws DeviceError when the device is gone, its port stays in reset, or a queue does not stop
 */
export function* resetVf(device: VfioDevice, mailbox: Mailbox, clock: Clock): Generator<void> {
  // 1: stop.
  disableQueues(device, MAX_QUEUES, MAX_QUEUES);
  maskInterrupts(device);
  // 2: what was known is void.
  mailbox.restart();
  // 3: reset. The PF sees the same event as at a function level reset.
  writeRegister(device, VFCTRL, VFCTRL.mask.RST);
  yield* awaitAnswer(device, clock);
  // 4: until no reset is under way or freshly done; a message sent before is lost.
  const startUs = clock.nowUs();
  let indicated = false;
  yield* pollSteps(
    clock,
    {
      what: 'VFMAILBOX.RSTI and RSTD',
      wanted: '0',
      intervalUs: RESET_POLL_US,
      timeoutUs: RESET_TIMEOUT_US,
      advice:
        "the PF is being reset or is down: restart the VF when the PF's interface is up again",
    },
    () => {
      if (!mailbox.resetIndicated()) return 0;
      indicated = true;
      return 1;
    },
    (value) => value === 0 && (indicated || clock.nowUs() - startUs >= SETTLE_US),
  );
  // 5: what the reset leaves alone.
  writeQueueDefaults(device);
  awaitStopped(device, clock, FEWEST_QUEUES, FEWEST_QUEUES);
}

/**
 * Waits for the function to answer after a reset; until then it may read as all ones.
 * @throws DeviceError "device gone" where it does not within 1 s
 */
function* awaitAnswer(device: VfioDevice, clock: Clock): Generator<void> {
  yield* pollSteps(
    clock,
    {
      what: VFSTATUS.name,
      wanted: 'a register value',
      intervalUs: RESET_POLL_US,
      timeoutUs: RESET_TIMEOUT_US,
      advice: goneAdvice(device),
    },
    () => device.read32(VFSTATUS.offset),
    (value) => value !== ALL_ONES,
  );
}

/**
 * Registers with the PF. After `resetVf`. May be left for a while wherever it yields.
 * @param known API version that the PF took before; undefined at the first time
 * @returns what was agreed; only now may queues beyond the first two be judged, up to those granted
 * @throws MailboxError reset where the PF was reset meanwhile, nack where it refuses the MAC, timeout; DeviceError
 */
export function* register(
  mailbox: Mailbox,
  macs: MacChoice,
  log: Log,
  known?: ApiVersion,
): Generator<void, Registration> {
  // 6, 7: RESET first: the PF refuses everything else from a VF that did not send it.
  const { mac: assigned, filterType } = yield* resetRequest(mailbox);
  // 8: the newest protocol first.
  const apiVersion = yield* negotiateApi(mailbox, known);
  // 9: before API 1.1 nobody says, so one queue.
  const grant = apiAtLeast(apiVersion, '1.1') ? yield* queueGrant(mailbox) : ONE_QUEUE;
  const macAssigned = assigned !== undefined && isStationMac(assigned);
  const mac = macs.chosen ?? (macAssigned ? assigned : (macs.fallback ?? randomMac()));
  if (!macAssigned || formatMac(mac) !== formatMac(assigned)) {
    yield* requestMac(mailbox, mac);
    if (macs.chosen === undefined) log.info(`PF assigned no MAC, took ${formatMac(mac)}`);
  }
  return { ...grant, mac, macAssigned, apiVersion, filterType };
}
