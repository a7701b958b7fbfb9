// The Linux PF behind the mailbox: which requests linux ixgbe answers with ACK,
// which with NACK, and what each does. Kernels 6.1 and 7.3 differ in the API
// versions they accept and in FEATURES_NEGOTIATE. 82599-vf sec 4.3 to 4.7, 7.5
// to 7.7. IPsec offload and traffic classes are not modelled: NACK.

import {
  API_CODE,
  type ApiVersion,
  apiAtLeast,
  MAX_LPE,
  MESSAGE,
  MIN_LPE,
  REQUEST,
  XCAST,
} from '../../hw/mailbox.ts';
import { RETA_ENTRIES, RSS_KEY, retaEntry } from '../engine/offload/rss.ts';
import type { PfPolicy, Verdict } from './policy.ts';
import {
  addMulticastHashes,
  applyXcast,
  armSpoofCheck,
  isValidUnicast,
  joinVlan,
  macNumber,
  macOfWords,
  macVlanRoom,
  type PortContext,
  syncFilters,
  type VfRecord,
  vfResetMessage,
  wordsOfMac,
} from './records.ts';

const APIS: Readonly<Record<'linux-6.1' | 'linux-7.3', readonly ApiVersion[]>> = {
  'linux-6.1': ['1.0', '1.1', '1.2', '1.3', '1.4'],
  'linux-7.3': ['1.0', '1.1', '1.2', '1.3', '1.4', '1.6', '1.7'],
};
/** The only feature bit of FEATURES_NEGOTIATE that a Linux PF grants. */
const FEATURE_IPSEC = 1;
/** Largest standard frame, CRC included. */
const STANDARD_FRAME = 1518;
/** Linux writes all 16 words back. */
const ALL_WORDS = 16;

/** The Linux PF of one kernel version. */
export function linuxPolicy(personality: 'linux-6.1' | 'linux-7.3'): PfPolicy {
  const apis = APIS[personality];
  return {
    personality,
    needsReset: true,
    reset,
    handle: (port, record, words) => handle(port, record, words, apis),
  };
}

/** RESET: four words, never CTS; NACK and no MAC unless the administrator set one. */
function reset(port: PortContext, record: VfRecord): number[] {
  vfResetMessage(port, record);
  const filterType = port.tables.multicastFilterType;
  if (record.adminMac === null) {
    return [(REQUEST.RESET | MESSAGE.mask.NACK) >>> 0, 0, 0, filterType];
  }
  return [(REQUEST.RESET | MESSAGE.mask.ACK) >>> 0, ...wordsOfMac(record.adminMac), filterType];
}

function handle(
  port: PortContext,
  record: VfRecord,
  words: Uint32Array,
  apis: readonly ApiVersion[],
): Verdict {
  const message = words[0];
  const info = (message & MESSAGE.mask.INFO) >>> MESSAGE.shift.INFO;
  const verdict = (ok: boolean): Verdict => ({ ok, words: ALL_WORDS });
  switch (message & MESSAGE.mask.OPCODE) {
    case REQUEST.SET_MAC_ADDR:
      return verdict(setMac(port, record, macOfWords(words)));
    case REQUEST.SET_MULTICAST:
      addMulticastHashes(port, words, info);
      record.pool.acceptance.rompe = true;
      return verdict(true);
    case REQUEST.SET_VLAN:
      return verdict(setVlan(port, record, words[1] & 0xfff, info !== 0));
    case REQUEST.SET_LPE:
      return verdict(setMaxFrame(port, record, words[1]));
    case REQUEST.SET_MACVLAN:
      return verdict(setMacVlan(port, record, info, macOfWords(words)));
    case REQUEST.API_NEGOTIATE:
      return verdict(negotiate(record, words[1], apis));
    case REQUEST.GET_QUEUES:
      return verdict(queues(record, words));
    case REQUEST.GET_RETA:
      return verdict(redirectionTable(record, words));
    case REQUEST.GET_RSS_KEY:
      return verdict(rssKey(record, words));
    case REQUEST.UPDATE_XCAST_MODE:
      return verdict(updateXcast(port, record, words));
    case REQUEST.GET_LINK_STATE:
      if (!apiAtLeast(record.api, '1.2')) return verdict(false);
      words[1] = record.linkEnabled ? 1 : 0;
      return verdict(true);
    case REQUEST.FEATURES_NEGOTIATE:
      // 1.7 is on offer by 7.3 only, so 6.1 always refuses here.
      if (!apiAtLeast(record.api, '1.7')) return verdict(false);
      words[1] = words[1] & FEATURE_IPSEC;
      return verdict(true);
    default:
      return verdict(false);
  }
}

/** Accepts the version if the PF knows it. Shared with the DPDK PF. */
export function negotiate(record: VfRecord, code: number, apis: readonly ApiVersion[]): boolean {
  const version = apis.find((known) => API_CODE[known] === code);
  if (version === undefined) return false;
  record.api = version;
  return true;
}

/** With an administrator's MAC an untrusted VF may only name that one again. */
function setMac(port: PortContext, record: VfRecord, mac: number): boolean {
  if (!isValidUnicast(mac)) return false;
  if (record.adminMac !== null && !record.trusted && mac !== record.mac) return false;
  record.mac = mac;
  syncFilters(port, record);
  return true;
}

function setVlan(port: PortContext, record: VfRecord, vid: number, add: boolean): boolean {
  if (record.portVlan !== 0) return false;
  if (add) return joinVlan(port, record, vid);
  // VID 0 stays: without it untagged traffic would end.
  if (vid !== 0) port.tables.removeVlan(record.vf, vid);
  return true;
}

/** SET_LPE as an 82599 PF takes it; the verdict also switches VFRE. */
function setMaxFrame(port: PortContext, record: VfRecord, maxFrame: number): boolean {
  if (maxFrame < MIN_LPE || maxFrame > MAX_LPE) return false;
  const pfJumbo = port.pfMtu > 1500;
  const ok = pfJumbo ? apiAtLeast(record.api, '1.1') : maxFrame <= STANDARD_FRAME;
  record.pool.rxEnable = ok;
  if (ok) port.tables.maxFrame = Math.max(port.tables.maxFrame, maxFrame);
  port.tables.changed();
  return ok;
}

/** Index 0 deletes all, 1 deletes all and adds, 2 and up add. A filter switches anti-spoofing off. */
function setMacVlan(port: PortContext, record: VfRecord, index: number, mac: number): boolean {
  if (index > 0) {
    if (record.adminMac !== null && !record.trusted) return false;
    if (!isValidUnicast(mac)) return false;
    if (record.spoofCheck) armSpoofCheck(record, false);
  }
  if (index <= 1) record.macVlans = [];
  const full = index > 0 && macVlanRoom(port) <= 0;
  if (index > 0 && !full) record.macVlans.push(mac);
  syncFilters(port, record);
  port.tables.changed();
  return !full;
}

function queues(record: VfRecord, words: Uint32Array): boolean {
  if (!apiAtLeast(record.api, '1.1')) return false;
  words[1] = record.pool.queues;
  words[2] = record.pool.queues;
  words[3] = record.portVlan === 0 ? 0 : 1;
  words[4] = 0; // traffic class of the default priority
  return true;
}

/** 128 entries of 2 bits, 16 a word, entry 0 lowest. */
function redirectionTable(record: VfRecord, words: Uint32Array): boolean {
  if (!record.queryRss || !apiAtLeast(record.api, '1.2')) return false;
  words.fill(0, 1, 9);
  for (let i = 0; i < RETA_ENTRIES; i++) {
    const at = 1 + (i >> 4);
    const entry = (retaEntry(i, record.pool.queues) & 3) << (2 * (i & 15));
    words[at] = words[at] | entry;
  }
  return true;
}

function rssKey(record: VfRecord, words: Uint32Array): boolean {
  if (!record.queryRss || !apiAtLeast(record.api, '1.2')) return false;
  new Uint8Array(words.buffer, words.byteOffset + 4, RSS_KEY.length).set(RSS_KEY);
  return true;
}

/** Word 1 becomes the mode in force: an untrusted VF gets MULTI at most, with ACK. */
function updateXcast(port: PortContext, record: VfRecord, words: Uint32Array): boolean {
  if (!apiAtLeast(record.api, '1.2')) return false;
  let mode = words[1];
  if (mode === XCAST.PROMISC && !apiAtLeast(record.api, '1.3')) return false;
  if (mode > XCAST.MULTI && !record.trusted) mode = XCAST.MULTI;
  // PROMISC is refused on an 82599 whatever the PF's own mode; a larger number is no mode.
  if (mode > XCAST.ALLMULTI) return false;
  if (mode !== record.xcast) applyXcast(port, record, mode);
  words[1] = mode;
  return true;
}

/** The MAC filter that `ip link set PF vf N mac` installs at once. */
export function installAdminMac(port: PortContext, record: VfRecord, mac: Uint8Array | null): void {
  record.adminMac = mac === null ? null : mac.slice();
  record.mac = mac === null ? 0 : macNumber(mac);
  syncFilters(port, record);
}
