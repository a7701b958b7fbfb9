// The PF of one port: serves the VFs' mailboxes (mailboxes.ts) and does what a host's administrator
// asks. docs/82599-vf.md sec 4.6, 4.7. Moves only by `step`.

import { macBytes, macNumber } from '../tables.ts';
import type { PfPersonality } from '../types.ts';
import { dpdkPolicy } from './dpdk.ts';
import { linuxPolicy } from './linux.ts';
import { Mailboxes } from './mailboxes.ts';
import {
  applyPortVlan,
  armSpoofCheck,
  enablePool,
  type PfPort,
  startPool,
  syncFilters,
  type VfRecord,
  wipePool,
} from './records.ts';
import {
  checkClasses,
  checkedMac,
  checkMtu,
  checkPortVlan,
  checkRate,
  newRecord,
} from './settings.ts';
import type { PfOptions, VfLinkState, VfSettings } from './types.ts';

/** Ethernet header and CRC around an MTU. */
const FRAME_OVERHEAD = 18;
/** The PF driver of one port, and its administrator. Moves only by `step`. */
export class Pf {
  readonly personality: PfPersonality;
  private isUp = false;
  private readonly port: PfPort;
  private readonly mailboxes: Mailboxes;
  /** Queues of a VF without traffic classes. */
  private readonly plainQueues: number;
  private readonly linkUp: () => boolean;
  /** Link of the wire as the VFs were last told. */
  private toldLink = true;

  /**
   * Starts the PF of a port: programs the tables and releases the VFs (RSTD).
   * @throws RangeError for a setting out of range
   */
  constructor(personality: PfPersonality, options: PfOptions) {
    const pfMtu = options.pfMtu ?? 1500;
    checkMtu(pfMtu);
    this.personality = personality;
    const policy = personality === 'dpdk' ? dpdkPolicy : linuxPolicy(personality);
    this.port = {
      port: options.port,
      tables: options.tables,
      pfMtu,
      macType: options.macType ?? '82599',
      defaultClass: 0,
      records: options.functions.map((hardware, vf) =>
        newRecord(options, hardware, vf, policy.spoofCheck),
      ),
    };
    this.mailboxes = new Mailboxes(this.port, policy, options.trace ?? (() => {}));
    this.linkUp = options.linkUp ?? (() => true);
    this.plainQueues = options.tables.pools[0]?.queues ?? 0;
    const { trafficClasses = 0, defaultClass = 0 } = options;
    checkClasses(this.port, trafficClasses, defaultClass);
    this.applyClasses(trafficClasses, defaultClass);
    this.start();
    for (const record of this.port.records) record.hardware.portResetDone();
  }

  /** False between goDown and comeUp. */
  get up(): boolean {
    return this.isUp;
  }

  /**
   * Handles VF resets and mailbox messages that are pending, and a change of the wire's link.
   * @returns messages and events handled
   */
  step(): number {
    if (!this.isUp) return 0;
    if (this.linkUp() !== this.toldLink) {
      this.toldLink = !this.toldLink;
      this.ping();
    }
    return this.mailboxes.step();
  }

  /** MTU of the PF's interface, bytes. */
  get mtu(): number {
    return this.port.pfMtu;
  }

  /** Traffic classes, 1 for none, and the class of the default priority. */
  get trafficClasses(): { readonly classes: number; readonly defaultClass: number } {
    return {
      classes: this.port.tables.trafficClasses,
      defaultClass: this.port.defaultClass,
    };
  }

  /** What is set for each VF. */
  settings(): VfSettings[] {
    return this.port.records.map((record) => ({
      vf: record.vf,
      mac: macBytes(record.mac),
      portVlan: record.portVlan,
      portPriority: record.portPriority,
      trusted: record.trusted,
      spoofCheck: record.spoofCheck,
      linkState: record.linkState,
      txRate: record.pool.txRate,
      queryRss: record.queryRss,
      registered: record.clearToSend,
      api: record.api,
    }));
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

  /**
   * `ip link set PF vf N vlan ID qos P`; 0 and 0 take it off. The VF learns of it through its next GET_QUEUES.
   * @param vid 0 to 4094; @param priority 0 to 7
   */
  setPortVlan(vf: number, vid: number, priority = 0): void {
    checkPortVlan(vid, priority);
    const record = this.record(vf);
    const { tables } = this.port;
    tables.removeVlan(vf, record.portVlan);
    record.portVlan = vid;
    record.portPriority = priority;
    applyPortVlan(this.port, record);
    // Untagged access goes with VID 0; VLANs the VF joined before stay until its reset. A priority alone takes it
    // too, and the VF's next reset gives it back (linux ixgbe_enable_port_vlan, ixgbe_vf_reset_event).
    tables.removeVlan(vf, 0);
    const off = vid === 0 && priority === 0;
    if (vid !== 0 || off) tables.addVlan(vf, vid);
    record.pool.acceptance.aupe = off;
    if (vid !== 0 && record.spoofCheck) record.pool.vlanAntiSpoof = true;
    tables.changed();
  }

  /**
   * `tc qdisc add dev PF root mqprio num_tc N`: the port is reset, and each VF has one queue a class from then on.
   * @param classes 0 or 1: none; up to 8 with fewer than 16 VFs of an 82599, up to 4 with fewer than 32
   *   (linux __ixgbe_enable_sriov, ixgbe_setup_tc)
   * @param defaultClass class of the default priority, whose queue a VF is to send on
   * @throws RangeError for more than the port can have
   */
  setTrafficClasses(classes: number, defaultClass = 0): void {
    checkClasses(this.port, classes, defaultClass);
    const { up } = this;
    this.goDown();
    this.applyClasses(classes, defaultClass);
    if (up) this.comeUp();
  }

  /** `ip link set PF vf N spoofchk on|off`. */
  setSpoofCheck(vf: number, on: boolean): void {
    const record = this.record(vf);
    record.spoofCheck = on;
    armSpoofCheck(record, on);
    this.port.tables.changed();
  }

  /**
   * `ip link set PF vf N state auto|enable|disable`: VFRE and VFTE, withdraws CTS and pings. Linux's own ixgbe takes
   * `enable` and then does nothing, though the rest of it knows that state.
   */
  setLinkState(vf: number, state: VfLinkState): void {
    const record = this.record(vf);
    record.linkState = state;
    record.linkEnabled = state !== 'disable';
    if (this.isUp) enablePool(this.port, record);
    this.withdraw(record);
  }

  /**
   * `ip link set PF vf N max_tx_rate MBIT`: Mbit/s on the wire, preamble and gap counted; 0 for no limit.
   * @throws RangeError for 1 to 10 or above 10,000, or while the port has no link, as linux ixgbe_ndo_set_vf_bw
   */
  setRate(vf: number, mbit: number): void {
    checkRate(mbit);
    const record = this.record(vf);
    if (!this.isUp || !this.linkUp()) {
      throw new RangeError('tx rate of a VF: expected a port with a link, got one without');
    }
    record.pool.txRate = mbit;
  }

  /**
   * `ip link set PF vf N query_rss on|off`: whether the VF may read the RSS key and table.
   * @throws RangeError on an X550, whose VFs have their own
   */
  setQueryRss(vf: number, on: boolean): void {
    if (this.port.macType === 'x550') {
      throw new RangeError('query_rss: expected an 82599 or an X540, got an X550');
    }
    this.record(vf).queryRss = on;
  }

  /**
   * `ip link set PF mtu N`: an interface that is up resets its port (linux ixgbe_change_mtu), so that every VF has to
   * register again.
   * @throws RangeError for less than 68 or more than 9710
   */
  setMtu(mtu: number): void {
    checkMtu(mtu);
    this.port.pfMtu = mtu;
    if (this.isUp) this.reset();
  }

  /** Pings one VF, or all: PF_CONTROL, with CTS where the VF has it. */
  ping(vf?: number): void {
    const targets = vf === undefined ? this.port.records : [this.record(vf)];
    for (const record of targets) this.mailboxes.ping(record);
  }

  /** The PF interface goes down: CTS withdrawn, VFRE and VFTE cleared, ping, port reset (RSTI). */
  goDown(): void {
    if (!this.isUp) return;
    this.isUp = false;
    for (const record of this.port.records) {
      record.clearToSend = false;
      this.mailboxes.ping(record);
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

  private applyClasses(classes: number, defaultClass: number): void {
    const { records, tables } = this.port;
    tables.trafficClasses = Math.max(classes, 1);
    this.port.defaultClass = defaultClass;
    const queues = classes > 4 ? 8 : classes > 1 ? 4 : this.plainQueues;
    for (const { pool } of records) pool.queues = queues;
    tables.changed();
  }

  private start(): void {
    this.isUp = true;
    this.toldLink = this.linkUp();
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
}
