// What a PF remembers of each VF, and the steps on the switch's tables that the
// PF personalities share: MAC filters, VLANs, multicast hashes, defaults after a
// reset. Facts: linux ixgbe_sriov.c, docs/82599-vf.md sec 4.5, 4.7, 6. No messages here.

import { type ApiVersion, MAX_MULTICAST_HASHES, XCAST } from '../../hw/mailbox.ts';
import type { MacType } from '../silicon.ts';
import { type MacNumber, type PoolTable, type SwitchTables, VMVIR_INSERT } from '../tables.ts';
import type { VfHardware } from '../types.ts';
import type { VfLinkState } from './types.ts';

/** RAR entries of the chip, exact MACs of PF and VFs together. */
const RAR_ENTRIES = 128;
/** RAR entries a Linux PF keeps for itself: 15 macvlans and its own MAC. */
const PF_RAR_ENTRIES = 16;
/** VLVF entries; entry 0 is VID 0's. */
const VLVF_ENTRIES = 64;

/** The PF's memory of one VF (linux struct vf_data_storage). */
export interface VfRecord {
  readonly vf: number;
  readonly hardware: VfHardware;
  readonly pool: PoolTable;
  /** MAC the administrator set, null for none. */
  adminMac: Uint8Array | null;
  /** MAC in force, 0 for none; outlives a VF reset. */
  mac: MacNumber;
  /** Extra filters (SET_MACVLAN). */
  macVlans: MacNumber[];
  /** What the RAR holds of both by now. */
  readonly filters: Set<MacNumber>;
  trusted: boolean;
  portVlan: number;
  /** Priority of the port VLAN (`qos`), 0 to 7. */
  portPriority: number;
  spoofCheck: boolean;
  queryRss: boolean;
  linkState: VfLinkState;
  /** What GET_LINK_STATE says, and VFRE and VFTE follow. */
  linkEnabled: boolean;
  api: ApiVersion;
  /** XCAST mode in force; outlives a VF reset. */
  xcast: number;
  clearToSend: boolean;
}

/** A port as its PF driver knows it. */
export interface PfPort {
  readonly port: number;
  readonly records: readonly VfRecord[];
  readonly tables: SwitchTables;
  pfMtu: number;
  readonly macType: MacType;
  /** Class of the default priority, 0 where there are no traffic classes. */
  defaultClass: number;
}

/** A MAC from message words 1 and 2: byte 0 in bits 7:0 of word 1, bytes 4 and 5 in word 2. */
export function macOfMessage(words: Uint32Array): MacNumber {
  const view = new DataView(words.buffer, words.byteOffset + 4, 6);
  return view.getUint32(0) * 65_536 + view.getUint16(4);
}

/** Words 1 and 2 of a message that carries `mac`. */
export function wordsOfMac(mac: Uint8Array): [number, number] {
  const bytes = new Uint8Array(8);
  bytes.set(mac);
  const view = new DataView(bytes.buffer);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}

/** Neither multicast nor zero (linux is_valid_ether_addr). */
export function isValidUnicast(mac: MacNumber): boolean {
  return mac !== 0 && Math.floor(mac / 2 ** 40) % 2 === 0;
}

/** Brings the RAR in line with `mac` and `macVlans`; `withFilters` false takes all of the VF's filters out. */
export function syncFilters(port: PfPort, record: VfRecord, withFilters = true): void {
  const wanted = new Set(withFilters ? record.macVlans : []);
  if (withFilters && record.mac !== 0) wanted.add(record.mac);
  for (const mac of [...record.filters]) {
    if (wanted.has(mac)) continue;
    port.tables.removeMac(record.vf, mac);
    record.filters.delete(mac);
  }
  for (const mac of wanted) {
    if (record.filters.has(mac)) continue;
    port.tables.addMac(record.vf, mac);
    record.filters.add(mac);
  }
}

/** Extra filters that all VFs may hold together: 128 - (15 + 1 + VFs). */
export function macVlanRoom(port: PfPort): number {
  const used = port.records.reduce((sum, record) => sum + record.macVlans.length, 0);
  return RAR_ENTRIES - PF_RAR_ENTRIES - port.records.length - used;
}

/**
 * Puts a VF into a VLAN.
 * @returns false where VLVF has no entry left
 */
export function joinVlan(port: PfPort, record: VfRecord, vid: number): boolean {
  const othersUse = port.tables.vlanEntries - (anyInVlan(port, 0) ? 1 : 0);
  if (!anyInVlan(port, vid) && vid !== 0 && othersUse >= VLVF_ENTRIES - 1) return false;
  port.tables.addVlan(record.vf, vid);
  return true;
}

function anyInVlan(port: PfPort, vid: number): boolean {
  return port.records.some((record) => port.tables.inVlan(record.vf, vid));
}

/** SET_MULTICAST: sets the MTA bit of each hash; two 16-bit hashes a word from word 1 on. Never clears one. */
export function addMulticastHashes(port: PfPort, words: Uint32Array, count: number): void {
  const table = port.tables.multicastTable;
  for (let i = 0; i < Math.min(count, MAX_MULTICAST_HASHES); i++) {
    const pair = words[1 + (i >> 1)];
    const hash = (pair >>> (16 * (i & 1))) & 0xfff;
    table[hash >> 5] = table[hash >> 5] | (1 << (hash & 31));
  }
  port.tables.changed();
}

/** UPDATE_XCAST_MODE to VMOLR, modes up to ALLMULTI (docs/82599-vf.md sec 7.5); the mode in force changes nothing. */
export function applyXcast(port: PfPort, record: VfRecord, mode: number): void {
  if (mode === record.xcast) return;
  const { acceptance } = record.pool;
  acceptance.bam = true;
  acceptance.rompe = mode >= XCAST.MULTI;
  acceptance.mpe = mode >= XCAST.ALLMULTI;
  record.xcast = mode;
  port.tables.changed();
}

/** What the PF does when it sees VFLRE (docs/82599-vf.md sec 4.7): VLANs, filters, API; never ROMPE, MPE or the XCAST mode. */
export function vfResetEvent(port: PfPort, record: VfRecord): void {
  port.tables.clearVlans(record.vf);
  port.tables.addVlan(record.vf, record.portVlan);
  applyPortVlan(port, record);
  if (record.pool.vmvir !== 0 && record.spoofCheck) armSpoofCheck(record, true);
  record.macVlans = [];
  syncFilters(port, record, false);
  record.api = '1.0';
  record.hardware.stopTxQueues();
  port.tables.changed();
}

/** The rest of what a RESET message does, apart from the reply. */
export function vfResetMessage(port: PfPort, record: VfRecord): void {
  syncFilters(port, record);
  record.pool.queueDrop = true;
  record.hardware.clearHeadWriteBack();
  enablePool(port, record);
  record.clearToSend = true;
}

/** VFRE and VFTE as linux ixgbe_set_vf_rx_tx: on an 82599 a PF with jumbo frames leaves VFRE off until SET_LPE. */
export function enablePool(port: PfPort, record: VfRecord): void {
  record.pool.txEnable = record.linkEnabled;
  const mixed = port.macType === '82599' && port.pfMtu > 1500;
  record.pool.rxEnable = record.linkEnabled && !mixed;
  port.tables.changed();
}

/**
 * VMVIR and VMOLR for the port VLAN that the record names. With traffic classes every frame gets a tag, be it one of
 * VID 0 and the default priority, 0 (linux ixgbe_vf_reset_event).
 */
export function applyPortVlan(port: PfPort, record: VfRecord): void {
  const tci = (record.portPriority << 13) | record.portVlan;
  record.pool.vmvir = tci !== 0 || hasClasses(port) ? VMVIR_INSERT | tci : 0;
  record.pool.acceptance.aupe = record.portVlan === 0;
  record.pool.acceptance.bam = true;
}

/** True where the PF's interface has traffic classes. */
export function hasClasses(port: PfPort): boolean {
  return port.tables.trafficClasses > 1;
}

/** PFVFSPOOF, both checks. */
export function armSpoofCheck(record: VfRecord, on: boolean): void {
  record.pool.macAntiSpoof = on;
  record.pool.vlanAntiSpoof = on;
}

/** Everything of a VF in the tables is lost: CTRL.RST of the port. */
export function wipePool(port: PfPort, record: VfRecord): void {
  port.tables.clearVlans(record.vf);
  record.macVlans = [];
  syncFilters(port, record, false);
  record.pool.rxEnable = false;
  record.pool.txEnable = false;
  record.pool.vmvir = 0;
  record.pool.queueDrop = false;
  armSpoofCheck(record, false);
  Object.assign(record.pool.acceptance, { aupe: false, bam: false, rompe: false, mpe: false });
  record.xcast = XCAST.NONE;
  port.tables.changed();
}

/** What the PF programs when it comes up, before the VF spoke. VFRE and VFTE stay off. */
export function startPool(port: PfPort, record: VfRecord): void {
  port.tables.addVlan(record.vf, record.portVlan);
  applyPortVlan(port, record);
  armSpoofCheck(record, record.spoofCheck);
  record.api = '1.0';
  port.tables.changed();
}
