// The DPDK PF behind the mailbox: no trust, no check of CTS, always a MAC, API
// up to 1.3, replies of one word. 82599-vf sec 4.5, 4.7, 11; DPDK ixgbe_pf.c.
// GET_RETA, GET_RSS_KEY, GET_LINK_STATE and later requests are unknown to it.

import { type ApiVersion, apiAtLeast, MAX_LPE, MESSAGE, REQUEST, XCAST } from '../../hw/mailbox.ts';
import { negotiate } from './linux.ts';
import type { PfPolicy, Verdict } from './policy.ts';
import {
  addMulticastHashes,
  applyXcast,
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

const APIS: readonly ApiVersion[] = ['1.0', '1.1', '1.2', '1.3'];
const STANDARD_FRAME = 1518;
const MIN_FRAME = 64;
const QUEUES_REPLY_WORDS = 5;
const DEFAULT_REPLY_WORDS = 1;

/** The DPDK PF. */
export const dpdkPolicy: PfPolicy = { personality: 'dpdk', needsReset: false, reset, handle };

/**
 * RESET: always ACK and a MAC. DPDK invents one a VF at random when it starts; where the administrator set none
 * the model invents 02:00:00:00:PP:VV, so that runs repeat.
 */
function reset(port: PortContext, record: VfRecord): number[] {
  if (record.mac === 0) record.mac = macNumber(new Uint8Array([2, 0, 0, 0, port.port, record.vf]));
  vfResetMessage(port, record);
  const mac = new Uint8Array(6);
  for (let i = 0; i < 6; i++) mac[i] = Math.floor(record.mac / 256 ** (5 - i)) % 256;
  const word0 = (REQUEST.RESET | MESSAGE.mask.ACK) >>> 0;
  return [word0, ...wordsOfMac(mac), port.tables.multicastFilterType];
}

function handle(port: PortContext, record: VfRecord, words: Uint32Array): Verdict {
  const message = words[0];
  const info = (message & MESSAGE.mask.INFO) >>> MESSAGE.shift.INFO;
  const verdict = (ok: boolean, length = DEFAULT_REPLY_WORDS): Verdict => ({ ok, words: length });
  switch (message & MESSAGE.mask.OPCODE) {
    case REQUEST.SET_MAC_ADDR:
      return verdict(setMac(port, record, macOfWords(words)));
    case REQUEST.SET_MULTICAST:
      addMulticastHashes(port, words, info);
      record.pool.acceptance.rompe = true;
      return verdict(true);
    case REQUEST.SET_VLAN: {
      const vid = words[1] & 0xfff;
      if (info !== 0) return verdict(joinVlan(port, record, vid));
      if (vid !== 0) port.tables.removeVlan(record.vf, vid);
      return verdict(true);
    }
    case REQUEST.SET_LPE:
      return verdict(setMaxFrame(port, record, words[1]));
    case REQUEST.SET_MACVLAN:
      return verdict(setMacVlan(port, record, info, macOfWords(words)));
    case REQUEST.API_NEGOTIATE:
      return verdict(negotiate(record, words[1], APIS));
    case REQUEST.GET_QUEUES:
      return verdict(queues(record, words), QUEUES_REPLY_WORDS);
    case REQUEST.UPDATE_XCAST_MODE:
      return verdict(updateXcast(port, record, words[1]));
    default:
      return verdict(false);
  }
}

function setMac(port: PortContext, record: VfRecord, mac: number): boolean {
  if (!isValidUnicast(mac)) return false;
  record.mac = mac;
  syncFilters(port, record);
  return true;
}

/** The 82599's jumbo rules as Linux has them, but VFRE is left as it is on refusal. */
function setMaxFrame(port: PortContext, record: VfRecord, maxFrame: number): boolean {
  if (maxFrame < MIN_FRAME || maxFrame > MAX_LPE) return false;
  const pfJumbo = port.pfMtu > 1500;
  const ok = pfJumbo ? apiAtLeast(record.api, '1.1') : maxFrame <= STANDARD_FRAME;
  if (!ok) return false;
  record.pool.rxEnable = true;
  port.tables.maxFrame = Math.max(port.tables.maxFrame, maxFrame);
  port.tables.changed();
  return true;
}

/** Index 0 deletes all; any other adds, and deletes nothing before. */
function setMacVlan(port: PortContext, record: VfRecord, index: number, mac: number): boolean {
  if (index === 0) record.macVlans = [];
  else if (!isValidUnicast(mac) || macVlanRoom(port) <= 0) return false;
  else record.macVlans.push(mac);
  syncFilters(port, record);
  return true;
}

/** Word 3 from VMVIR, word 4 an absolute queue number: drivers must not take it for one of theirs. */
function queues(record: VfRecord, words: Uint32Array): boolean {
  if (!apiAtLeast(record.api, '1.1')) return false;
  words[1] = record.pool.queues;
  words[2] = record.pool.queues;
  words[3] = record.portVlan === 0 ? 0 : 1;
  words[4] = record.vf * record.pool.queues;
  return true;
}

/** ALLMULTI needs no trust here; PROMISC is refused on an 82599. The reply's word 1 stays the VF's own. */
function updateXcast(port: PortContext, record: VfRecord, mode: number): boolean {
  if (!apiAtLeast(record.api, '1.2') || mode > XCAST.ALLMULTI) return false;
  if (mode !== record.xcast) applyXcast(port, record, mode);
  return true;
}
