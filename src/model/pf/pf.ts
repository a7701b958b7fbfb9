// The PF of one port: takes VF resets and requests out of the mailboxes, has a
// policy (linux.ts, dpdk.ts) answer them, and does what a host's
// administrator asks. docs/82599-vf.md sec 4.2, 4.6, 4.7. Moves only by `step`.

import { MESSAGE, PF_CONTROL_PING, REQUEST, XCAST } from '../../hw/mailbox.ts';
import { macNumber } from '../tables.ts';
import type { PfPersonality, VfHardware } from '../types.ts';
import { dpdkPolicy } from './dpdk.ts';
import { linuxPolicy } from './linux.ts';
import type { PfPolicy } from './policy.ts';
import {
  applyPortVlan,
  armSpoofCheck,
  enablePool,
  type PfPort,
  startPool,
  syncFilters,
  type VfRecord,
  vfResetEvent,
  wipePool,
} from './records.ts';
import type { MailboxTrace, PfOptions } from './types.ts';

const { ACK, NACK, CTS } = MESSAGE.mask;
/** Ethernet header and CRC around an MTU. */
const FRAME_OVERHEAD = 18;
/** Largest MTU of the PF's interface: 9728 bytes a frame. */
const MAX_PF_MTU = 9710;

/** MAC that the model's PF gives VF `vf` of port `port`: 02:09:c0:00:PP:VV. */
function defaultMac(port: number, vf: number): Uint8Array {
  return new Uint8Array([0x02, 0x09, 0xc0, 0x00, port, vf]);
}

/** The PF driver of one port, and its administrator. Moves only by `step`. */
export class Pf {
  private isUp = false;
  private readonly policy: PfPolicy;
  private readonly port: PfPort;
  private readonly trace: (message: MailboxTrace) => void;

  /**
   * Starts the PF of a port: programs the tables and releases the VFs (RSTD).
   * @throws RangeError for a pfMtu outside 68..9710 or a MAC that is not 6 bytes of unicast
   */
  constructor(personality: PfPersonality, options: PfOptions) {
    const pfMtu = options.pfMtu ?? 1500;
    if (!Number.isInteger(pfMtu) || pfMtu < 68 || pfMtu > MAX_PF_MTU) {
      throw new RangeError(`pfMtu: expected 68 to ${MAX_PF_MTU}, got ${pfMtu}`);
    }
    this.policy = personality === 'dpdk' ? dpdkPolicy : linuxPolicy(personality);
    this.trace = options.trace ?? (() => {});
    this.port = {
      port: options.port,
      tables: options.tables,
      pfMtu,
      records: options.functions.map((hardware, vf) => newRecord(options, hardware, vf)),
    };
    this.start();
    for (const record of this.port.records) record.hardware.portResetDone();
  }

  /** False between goDown and comeUp. */
  get up(): boolean {
    return this.isUp;
  }

  /**
   * Handles VF resets and mailbox messages that are pending.
   * @returns messages and events handled
   */
  step(): number {
    let handled = 0;
    if (!this.isUp) return 0;
    const { records } = this.port;
    for (let i = 0; i < records.length; i++) {
      const record = records[i];
      // In the order of linux ixgbe_msg_task: reset events, then requests, then ACKs.
      if (record.hardware.takeResetEvent()) {
        this.trace({ vf: record.vf, kind: 'reset', words: [] });
        vfResetEvent(this.port, record);
        handled++;
      }
      if (record.hardware.mailbox.hasRequest) {
        this.answer(record);
        handled++;
      }
      if (record.hardware.mailbox.takeAck()) {
        if (!record.clearToSend) this.post(record, 'reply', [NACK]);
        handled++;
      }
    }
    return handled;
  }

  /** MAC the PF assigned to the VF by now, null for none. */
  adminMac(vf: number): Uint8Array | null {
    return this.record(vf).adminMac?.slice() ?? null;
  }

  /** True after a successful RESET, until the registration is lost. */
  clearToSend(vf: number): boolean {
    return this.record(vf).clearToSend;
  }

  /** `ip link set PF vf N mac`; null takes the assignment back. The VF hears of it through its next RESET. */
  setAdminMac(vf: number, mac: Uint8Array | null): void {
    const record = this.record(vf);
    record.adminMac = mac === null ? null : checkedMac(mac);
    record.mac = mac === null ? 0 : macNumber(mac);
    syncFilters(this.port, record);
  }

  /** `ip link set PF vf N trust on|off`: withdraws CTS and pings. */
  setTrust(vf: number, trusted: boolean): void {
    const record = this.record(vf);
    if (record.trusted === trusted) return;
    record.trusted = trusted;
    this.withdraw(record);
  }

  /** `ip link set PF vf N vlan V`; 0 takes it off. */
  setPortVlan(vf: number, vid: number): void {
    if (!Number.isInteger(vid) || vid < 0 || vid > 4094) {
      throw new RangeError(`setPortVlan: expected a VID from 0 to 4094, got ${vid}`);
    }
    const record = this.record(vf);
    this.port.tables.removeVlan(vf, record.portVlan);
    record.portVlan = vid;
    // Untagged access goes with VID 0; VLANs the VF joined before stay until its reset.
    this.port.tables.removeVlan(vf, 0);
    this.port.tables.addVlan(vf, vid);
    applyPortVlan(record);
    if (vid !== 0 && record.spoofCheck) record.pool.vlanAntiSpoof = true;
    this.port.tables.changed();
  }

  /** `ip link set PF vf N spoofchk on|off`. */
  setSpoofCheck(vf: number, on: boolean): void {
    const record = this.record(vf);
    record.spoofCheck = on;
    armSpoofCheck(record, on);
    this.port.tables.changed();
  }

  /** `ip link set PF vf N state auto|enable|disable`: VFRE and VFTE, withdraws CTS and pings. */
  setLinkEnabled(vf: number, enabled: boolean): void {
    const record = this.record(vf);
    record.linkEnabled = enabled;
    if (this.isUp) enablePool(this.port, record);
    this.withdraw(record);
  }

  /** Pings one VF, or all: PF_CONTROL, with CTS where the VF has it. */
  ping(vf?: number): void {
    const targets = vf === undefined ? this.port.records : [this.record(vf)];
    for (const record of targets) {
      const cts = record.clearToSend ? CTS : 0;
      this.post(record, 'ping', [PF_CONTROL_PING | cts]);
    }
  }

  /** The PF interface goes down: CTS withdrawn, VFRE and VFTE cleared, ping, port reset (RSTI). */
  goDown(): void {
    if (!this.isUp) return;
    this.isUp = false;
    for (const record of this.port.records) {
      record.clearToSend = false;
      this.post(record, 'ping', [PF_CONTROL_PING]);
      record.hardware.portReset();
      wipePool(this.port, record);
    }
    this.port.tables.multicastTable.fill(0);
    this.port.tables.changed();
  }

  /** It comes up again: RSTI drops, RSTD sets, ping without CTS. */
  comeUp(): void {
    if (this.isUp) return;
    this.start();
    for (const record of this.port.records) {
      enablePool(this.port, record);
      record.hardware.portResetDone();
    }
    this.ping();
  }

  /** goDown and comeUp at once: an adapter reset (Tx hang, ethtool). */
  reset(): void {
    this.goDown();
    this.comeUp();
  }

  private start(): void {
    this.isUp = true;
    this.port.tables.maxFrame = this.port.pfMtu + FRAME_OVERHEAD;
    for (const record of this.port.records) startPool(this.port, record);
  }

  private record(vf: number): VfRecord {
    const record = this.port.records[vf];
    if (record === undefined) {
      const last = this.port.records.length - 1;
      throw new RangeError(`PF: expected a VF from 0 to ${last}, got ${vf}`);
    }
    return record;
  }

  /** Takes the registration back: the VF must reset itself. */
  private withdraw(record: VfRecord): void {
    record.clearToSend = false;
    if (this.isUp) this.ping(record.vf);
  }

  private answer(record: VfRecord): void {
    const words = record.hardware.mailbox.takeRequest();
    this.trace({ vf: record.vf, kind: 'request', words: [...words] });
    const message = words[0];
    // Already an answer, the VF's or a stale one of ours: nothing to do.
    if ((message & (ACK | NACK)) !== 0) return;
    if (message === REQUEST.RESET) {
      vfResetEvent(this.port, record);
      this.post(record, 'reply', this.policy.reset(this.port, record));
      return;
    }
    if (this.policy.needsReset && !record.clearToSend) {
      this.post(record, 'reply', [(message | NACK) >>> 0]);
      return;
    }
    const opcode = message & MESSAGE.mask.OPCODE;
    const ok = this.policy.answers[opcode]?.(this.port, record, words) ?? false;
    words[0] = message | (ok ? ACK : NACK) | CTS;
    this.post(record, 'reply', [...words.subarray(0, this.policy.replyWords(opcode))]);
  }

  /** A message that finds the buffer held by the VF is lost, as in linux, which tries once. */
  private post(record: VfRecord, kind: 'reply' | 'ping', words: number[]): void {
    const message = words.map((word) => word >>> 0);
    if (record.hardware.mailbox.post(message)) this.trace({ vf: record.vf, kind, words: message });
  }
}

function newRecord(options: PfOptions, hardware: VfHardware, vf: number): VfRecord {
  const given = options.macs?.[vf];
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
    portVlan: options.portVlans?.[vf] ?? 0,
    spoofCheck: options.spoofChecks?.[vf] ?? true,
    queryRss: options.queryRss?.[vf] ?? false,
    linkEnabled: true,
    api: '1.0',
    xcast: XCAST.NONE,
    clearToSend: false,
  };
}

function checkedMac(mac: Uint8Array): Uint8Array {
  if (mac.length !== 6 || (mac[0] & 1) !== 0 || mac.every((byte) => byte === 0)) {
    const got = [...mac].map((byte) => byte.toString(16)).join(':');
    throw new RangeError(`MAC of a VF: expected 6 bytes of a unicast address, got ${got}`);
  }
  return mac.slice();
}
