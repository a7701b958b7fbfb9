// The requests of a VF to its PF, one function each: linux ixgbevf/vf.c for the
// words, linux ixgbe_sriov.c for what a PF does with them. A request that the VF
// can live without tells by its return value that the PF refused it; the others
// throw, with what a person can do about it. Each may be left for a while wherever it yields.

import {
  API_CODE,
  API_ORDER,
  type ApiVersion,
  apiAtLeast,
  MAX_MULTICAST_HASHES,
  MESSAGE,
  REQUEST,
} from '../../hw/mailbox.ts';
import { MAX_QUEUES } from '../../hw/registers.ts';
import { MailboxError } from '../../support/errors.ts';
import { formatMac, type MacBytes, macFromWords, macToWords } from '../../support/mac.ts';
import type { Mailbox } from './mailbox.ts';

const { ACK, NACK } = MESSAGE.mask;

/** What the PF tells a VF that registers. */
export interface ResetReply {
  /** The MAC the host assigned; undefined where it left the choice to the VF. */
  readonly mac: MacBytes | undefined;
  /** Which destination bits the multicast hash takes, 0..3. */
  readonly filterType: number;
}

/**
 * RESET: registers the VF anew; the PF forgets its VLANs, filters and API version.
 * @throws MailboxError for any reply but the two a PF gives (neither carries CTS)
 */
export function* resetRequest(mailbox: Mailbox): Generator<void, ResetReply> {
  const reply = yield* mailbox.exchange([REQUEST.RESET], 4);
  const granted = reply[0] === (REQUEST.RESET | ACK) >>> 0;
  if (!granted && reply[0] !== (REQUEST.RESET | NACK) >>> 0) {
    throw new MailboxError(
      'RESET',
      'nack',
      `expected 0x80000001 or 0x40000001, got 0x${(reply[0] >>> 0).toString(16)}; is this an ixgbe PF?`,
    );
  }
  return {
    mac: granted ? macFromWords(reply[1], reply[2]) : undefined,
    filterType: reply[3] & 3,
  };
}

/**
 * API_NEGOTIATE: the newest 1.x version that the PF takes. 1.5 is not offered: it means another mailbox transport.
 * A PF that refuses every version behaves as 1.0.
 * @param newest where to begin: what the PF took before, so that a restart does not ask for what was refused
 */
export function* negotiateApi(
  mailbox: Mailbox,
  newest: ApiVersion = '1.7',
): Generator<void, ApiVersion> {
  for (const version of API_ORDER.toReversed()) {
    if (version === '1.5' || !apiAtLeast(newest, version)) continue;
    // Three words, as linux ixgbevf sends it.
    if ((yield* optional(mailbox, [REQUEST.API_NEGOTIATE, API_CODE[version], 0], 1)) !== undefined)
      return version;
  }
  return '1.0';
}

/** What GET_QUEUES says. */
export interface QueueGrant {
  /** Queues of each kind this VF may use, 1..8. */
  readonly rxQueues: number;
  readonly txQueues: number;
  /**
   * Traffic classes where there are several; 1 where the host tags the VF's frames for another reason, a port VLAN or
   * a priority; 0 where frames are as the wire has them.
   */
  readonly trafficClasses: number;
  readonly defaultQueue: number;
}

/** What a VF may assume where the PF does not know GET_QUEUES (before API 1.1), as DPDK does. */
export const ONE_QUEUE: QueueGrant = {
  rxQueues: 1,
  txQueues: 1,
  trafficClasses: 0,
  defaultQueue: 0,
};

/** GET_QUEUES, API 1.1 on; clamped as linux ixgbevf does: 0 or too many queues mean all 8. */
export function* queueGrant(mailbox: Mailbox): Generator<void, QueueGrant> {
  const reply = yield* optional(mailbox, [REQUEST.GET_QUEUES, 0, 0, 0, 0], 5);
  if (reply === undefined) return ONE_QUEUE;
  const [, txWord, rxWord, trafficClasses, defaultWord] = reply;
  const txQueues = txWord === 0 || txWord > MAX_QUEUES ? MAX_QUEUES : txWord;
  const rxQueues = rxWord === 0 || rxWord > MAX_QUEUES ? MAX_QUEUES : rxWord;
  // A DPDK PF gives an absolute queue number here.
  const defaultQueue = defaultWord >= txQueues ? 0 : defaultWord;
  return { rxQueues, txQueues, trafficClasses, defaultQueue };
}

/**
 * SET_MAC_ADDR: the VF's own address.
 * @throws MailboxError
 */
export function* requestMac(mailbox: Mailbox, mac: MacBytes): Generator<void> {
  yield* mailbox.request(
    [REQUEST.SET_MAC_ADDR, ...macToWords(mac)],
    1,
    `PF refused ${formatMac(mac)}: the host assigned this VF another address; use that one, or on the host: ip link set PF vf N mac ${formatMac(mac)} (or trust on)`,
  );
}

/**
 * SET_LPE: the longest frame, and on an 82599 what makes the PF enable receive at all, even for the default size.
 * @param maxFrame bytes with CRC
 * @throws MailboxError
 */
export function* requestMaxFrame(mailbox: Mailbox, maxFrame: number): Generator<void> {
  yield* mailbox.request(
    [REQUEST.SET_LPE, maxFrame],
    1,
    `PF refused frames of ${maxFrame} bytes and keeps receive off: on the host raise the PF's MTU to at least ${maxFrame - 18}, or use a smaller maxFrame; a PF with MTU above 1500 needs API 1.1`,
  );
}

/**
 * UPDATE_XCAST_MODE, API 1.2 on.
 * @param mode one of XCAST
 * @returns the mode that now holds, which may be less than asked for; undefined where the PF refused
 */
export function* requestXcastMode(
  mailbox: Mailbox,
  mode: number,
): Generator<void, number | undefined> {
  const reply = yield* optional(mailbox, [REQUEST.UPDATE_XCAST_MODE, mode], 2);
  // A DPDK PF answers with one word; then the buffer still holds what was asked for.
  return reply?.[1];
}

/** SET_VLAN. @returns false where the PF refused: port VLAN on the host, traffic classes, or no filter left */
export function* requestVlan(
  mailbox: Mailbox,
  vlan: number,
  member: boolean,
): Generator<void, boolean> {
  const info = (member ? 1 : 0) << MESSAGE.shift.INFO;
  return (yield* optional(mailbox, [REQUEST.SET_VLAN | info, vlan], 1)) !== undefined;
}

/**
 * SET_MULTICAST: replaces the list of multicast hashes. PFs acknowledge it always, and forget hashes only when
 * they rebuild their table.
 * @param groups at most 30
 * @param filterType from ResetReply
 */
export function* requestMulticast(
  mailbox: Mailbox,
  groups: readonly MacBytes[],
  filterType: number,
): Generator<void, boolean> {
  const words = new Array<number>(1 + MAX_MULTICAST_HASHES / 2).fill(0);
  words[0] = REQUEST.SET_MULTICAST | (groups.length << MESSAGE.shift.INFO);
  groups.forEach((group, i) => {
    words[1 + (i >> 1)] |= multicastHash(group, filterType) << (i % 2 === 0 ? 0 : 16);
  });
  return (yield* optional(mailbox, words, 1)) !== undefined;
}

/** How far the last two MAC bytes are shifted for each filter type (linux ixgbe_mta_vector). */
const HASH_SHIFT: readonly number[] = [4, 3, 2, 0];

/** Twelve bits of a group address; filterType 0..3. */
export function multicastHash(mac: MacBytes, filterType: number): number {
  return ((mac[4] | (mac[5] << 8)) >>> HASH_SHIFT[filterType]) & 0xfff;
}

/** GET_LINK_STATE, API 1.2 on. @returns false where the host disabled the VF's link; true where the PF cannot say */
export function* linkEnabled(mailbox: Mailbox): Generator<void, boolean> {
  const reply = yield* optional(mailbox, [REQUEST.GET_LINK_STATE, 0], 2);
  return reply === undefined || reply[1] !== 0;
}

/** The reply, or undefined for a NACK. Other failures throw. */
function* optional(
  mailbox: Mailbox,
  words: readonly number[],
  replyWords: number,
): Generator<void, number[] | undefined> {
  const reply = yield* mailbox.exchange(words, replyWords);
  return (reply[0] & NACK) === 0 ? reply : undefined;
}
