// What an administrator may set on a PF: the checks, which are those of linux ixgbe (ixgbe_ndo_set_vf_*,
// ixgbe_setup_tc, ixgbe_change_mtu), and the record of a VF before anybody spoke to it.

import { XCAST } from '../../hw/mailbox.ts';
import { macNumber } from '../tables.ts';
import type { VfHardware } from '../types.ts';
import type { PfPort, VfRecord } from './records.ts';
import type { PfOptions } from './types.ts';

/** Largest MTU of the PF's interface: 9728 bytes a frame. */
const MAX_PF_MTU = 9710;

/**
 * The record of VF `vf` as the options have it.
 * @param spoofCheck anti-spoofing where the options do not say
 * @throws RangeError for what cannot be set
 */
export function newRecord(
  options: PfOptions,
  hardware: VfHardware,
  vf: number,
  spoofCheck: boolean,
): VfRecord {
  const given = options.macs?.[vf];
  const portVlan = options.portVlans?.[vf] ?? 0;
  const portPriority = options.portPriorities?.[vf] ?? 0;
  checkPortVlan(portVlan, portPriority);
  const adminMac = given === null ? null : checkedMac(given ?? defaultMac(options.port, vf));
  return {
    vf,
    hardware,
    pool: options.tables.pools[vf],
    adminMac,
    mac: adminMac === null ? 0 : macNumber(adminMac),
    macVlans: [],
    filters: new Set(),
    trusted: options.trusted?.[vf] ?? false,
    portVlan,
    portPriority,
    spoofCheck: options.spoofChecks?.[vf] ?? spoofCheck,
    queryRss: options.queryRss?.[vf] ?? false,
    linkState: 'auto',
    linkEnabled: true,
    api: '1.0',
    xcast: XCAST.NONE,
    clearToSend: false,
  };
}

/** @throws RangeError for an MTU that the PF's interface cannot have */
export function checkMtu(mtu: number): void {
  checkNumber('pfMtu', mtu, 68, MAX_PF_MTU);
}

/** @throws RangeError for a tx rate that ixgbe does not take: Mbit/s above 10 up to the link's, or 0 for no limit */
export function checkRate(mbit: number): void {
  if (mbit !== 0) checkNumber('tx rate of a VF, Mbit/s (0: no limit)', mbit, 11, 10_000);
}

/** @throws RangeError for a VID or a priority that a port VLAN cannot have */
export function checkPortVlan(vid: number, priority: number): void {
  checkNumber('port VLAN: VID', vid, 0, 4094);
  checkNumber('port VLAN: priority', priority, 0, 7);
}

/** @throws RangeError for more classes than the port's queues allow, or a default class that is none of them */
export function checkClasses(
  { records, macType }: Pick<PfPort, 'records' | 'macType'>,
  classes: number,
  defaultClass: number,
): void {
  const vfs = records.length;
  const most = macType === '82599' && vfs < 16 ? 8 : vfs < 32 ? 4 : 1;
  checkNumber(`traffic classes with ${vfs} VFs`, classes, 0, most);
  checkNumber('class of the default priority', defaultClass, 0, Math.max(classes, 1) - 1);
}

/** A copy of a MAC. @throws RangeError for one that is not 6 bytes of unicast */
export function checkedMac(mac: Uint8Array): Uint8Array {
  if (mac.length !== 6 || (mac[0] & 1) !== 0 || mac.every((byte) => byte === 0)) {
    const got = [...mac].map((byte) => byte.toString(16)).join(':');
    throw new RangeError(`MAC of a VF: expected 6 bytes of a unicast address, got ${got}`);
  }
  return mac.slice();
}

/** MAC that the model's PF gives VF `vf` of port `port`: 02:09:c0:00:PP:VV. */
function defaultMac(port: number, vf: number): Uint8Array {
  return new Uint8Array([0x02, 0x09, 0xc0, 0x00, port, vf]);
}

function checkNumber(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${what}: expected ${least} to ${most}, got ${value}`);
}
