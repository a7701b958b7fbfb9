// The Linux PF behind the mailbox: which requests linux ixgbe answers with ACK,
// which with NACK, and what each does. Kernels 6.1 and 7.3 differ in the API
// versions they accept and in FEATURES_NEGOTIATE. docs/82599-vf.md sec 4.3 to 4.7, 7.5
// to 7.7. IPsec offload is not modelled: NACK.

import { type ApiVersion, apiAtLeast, MESSAGE, MIN_LPE, REQUEST, XCAST } from '../../hw/mailbox.ts';
import { RETA_ENTRIES, RSS_KEY, retaEntry } from '../tables.ts';
import { COMMON_ANSWERS, infoOf, negotiate, type PfPolicy, setMaxFrame, since } from './policy.ts';
import {
  applyXcast,
  armSpoofCheck,
  hasClasses,
  isValidUnicast,
  macOfMessage,
  macVlanRoom,
  type PfPort,
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

/** The Linux PF of one kernel version. */
export function linuxPolicy(personality: 'linux-6.1' | 'linux-7.3'): PfPolicy {
  return {
    needsReset: true,
    spoofCheck: true,
    replyWords: () => 16,
    reset,
    answers: { ...ANSWERS, [REQUEST.API_NEGOTIATE]: negotiate(APIS[personality]) },
  };
}

/** RESET: four words, never CTS; NACK and no MAC unless the administrator set one. */
function reset(port: PfPort, record: VfRecord): number[] {
  vfResetMessage(port, record);
  const filterType = port.tables.multicastFilterType;
  if (record.adminMac === null) {
    return [(REQUEST.RESET | MESSAGE.mask.NACK) >>> 0, 0, 0, filterType];
  }
  return [(REQUEST.RESET | MESSAGE.mask.ACK) >>> 0, ...wordsOfMac(record.adminMac), filterType];
}

const ANSWERS: PfPolicy['answers'] = {
  ...COMMON_ANSWERS,
  // With an administrator's MAC an untrusted VF may only name that one again.
  [REQUEST.SET_MAC_ADDR](port, record, words) {
    const mac = macOfMessage(words);
    if (!isValidUnicast(mac)) return false;
    if (record.adminMac !== null && !record.trusted && mac !== record.mac) return false;
    record.mac = mac;
    syncFilters(port, record);
    return true;
  },
  [REQUEST.SET_VLAN]: (port, record, words) =>
    record.portVlan === 0 &&
    !hasClasses(port) &&
    COMMON_ANSWERS[REQUEST.SET_VLAN](port, record, words),
  [REQUEST.SET_LPE]: setMaxFrame(MIN_LPE, (record) => {
    record.pool.rxEnable = false;
  }),
  // Index 0 deletes all, 1 deletes all and adds, 2 and up add. A filter switches anti-spoofing off.
  [REQUEST.SET_MACVLAN](port, record, words) {
    const index = infoOf(words);
    const mac = macOfMessage(words);
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
  },
  // 128 entries of 2 bits, 16 a word, entry 0 lowest.
  [REQUEST.GET_RETA]: since('1.2', (_port, record, words) => {
    if (!record.queryRss) return false;
    words.fill(0, 1, 9);
    for (let i = 0; i < RETA_ENTRIES; i++) {
      words[1 + (i >> 4)] |= (retaEntry(i, record.pool.queues) & 3) << (2 * (i & 15));
    }
    return true;
  }),
  [REQUEST.GET_RSS_KEY]: since('1.2', (_port, record, words) => {
    if (!record.queryRss) return false;
    new Uint8Array(words.buffer, words.byteOffset + 4, RSS_KEY.length).set(RSS_KEY);
    return true;
  }),
  // Word 1 becomes the mode in force: an untrusted VF gets MULTI at most, with ACK.
  [REQUEST.UPDATE_XCAST_MODE]: since('1.2', (port, record, words) => {
    if (words[1] === XCAST.PROMISC && !apiAtLeast(record.api, '1.3')) return false;
    if (words[1] > XCAST.MULTI && !record.trusted) words[1] = XCAST.MULTI;
    // PROMISC is refused on an 82599 whatever the PF's own mode; a larger number is no mode.
    if (words[1] > XCAST.ALLMULTI) return false;
    applyXcast(port, record, words[1]);
    return true;
  }),
  [REQUEST.GET_LINK_STATE]: since('1.2', (_port, record, words) => {
    words[1] = record.linkEnabled ? 1 : 0;
    return true;
  }),
  // 1.7 is on offer by 7.3 only, so 6.1 always refuses here.
  [REQUEST.FEATURES_NEGOTIATE]: since('1.7', (_port, _record, words) => {
    words[1] = words[1] & FEATURE_IPSEC;
    return true;
  }),
};
