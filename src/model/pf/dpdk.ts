// The DPDK PF behind the mailbox: no trust, no check of CTS, always a MAC, API
// up to 1.3, replies of one word. docs/82599-vf.md sec 4.5, 4.7, 11; DPDK ixgbe_pf.c.
// GET_RETA, GET_RSS_KEY, GET_LINK_STATE and later requests are unknown to it.

import { MESSAGE, REQUEST, XCAST } from '../../hw/mailbox.ts';
import { macBytes, macNumber } from '../tables.ts';
import { COMMON_ANSWERS, infoOf, negotiate, type PfPolicy, setMaxFrame, since } from './policy.ts';
import {
  applyXcast,
  isValidUnicast,
  macOfMessage,
  macVlanRoom,
  syncFilters,
  vfResetMessage,
  wordsOfMac,
} from './records.ts';

const SHORTEST_LPE = 64;

/** The DPDK PF. */
export const dpdkPolicy: PfPolicy = {
  needsReset: false,
  // ixgbe_pf_host_configure switches MAC anti-spoofing off, and nothing switches it on but the application.
  spoofCheck: false,
  replyWords: (opcode) => (opcode === REQUEST.GET_QUEUES ? 5 : 1),
  /**
   * Always ACK and a MAC. DPDK invents one a VF at random when it starts; where the administrator set none
   * the model invents 02:00:00:00:PP:VV, so that runs repeat.
   */
  reset(port, record) {
    if (record.mac === 0) {
      record.mac = macNumber(new Uint8Array([2, 0, 0, 0, port.port, record.vf]));
    }
    vfResetMessage(port, record);
    const word0 = (REQUEST.RESET | MESSAGE.mask.ACK) >>> 0;
    return [word0, ...wordsOfMac(macBytes(record.mac)), port.tables.multicastFilterType];
  },
  answers: {
    ...COMMON_ANSWERS,
    [REQUEST.API_NEGOTIATE]: negotiate(['1.0', '1.1', '1.2', '1.3']),
    [REQUEST.SET_MAC_ADDR](port, record, words) {
      const mac = macOfMessage(words);
      if (!isValidUnicast(mac)) return false;
      record.mac = mac;
      syncFilters(port, record);
      return true;
    },
    // VFRE is left as it is on refusal.
    [REQUEST.SET_LPE]: setMaxFrame(SHORTEST_LPE, () => {}),
    // Index 0 deletes all; any other adds, and deletes nothing before.
    [REQUEST.SET_MACVLAN](port, record, words) {
      const mac = macOfMessage(words);
      if (infoOf(words) === 0) record.macVlans = [];
      else if (!isValidUnicast(mac) || macVlanRoom(port) <= 0) return false;
      else record.macVlans.push(mac);
      syncFilters(port, record);
      return true;
    },
    // Word 4 is an absolute queue number: drivers must not take it for one of theirs.
    [REQUEST.GET_QUEUES](port, record, words) {
      const ok = COMMON_ANSWERS[REQUEST.GET_QUEUES](port, record, words);
      if (ok) words[4] = record.vf * record.pool.queues;
      return ok;
    },
    // ALLMULTI needs no trust here; PROMISC is refused on an 82599. The reply's word 1 stays the VF's own.
    [REQUEST.UPDATE_XCAST_MODE]: since('1.2', (port, record, words) => {
      if (words[1] > XCAST.ALLMULTI) return false;
      applyXcast(port, record, words[1]);
      return true;
    }),
  },
};
