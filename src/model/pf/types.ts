// What a PF of the model is to the rest: the operations a host's administrator
// can do, and how it is made. Behaviours: linux.ts, dpdk.ts; machinery:
// pf.ts. Types only.

import type { SwitchTables } from '../tables.ts';
import type { PfPersonality, VfHardware } from '../types.ts';

/** One mailbox message as it passed, for tests and logs. Words are copies. */
export interface MailboxTrace {
  readonly vf: number;
  /** 'request' VF to PF, 'reply' PF to VF in answer, 'ping' PF to VF unasked, 'reset' the VF's reset event. */
  readonly kind: 'request' | 'reply' | 'ping' | 'reset';
  /** The words that the sender wrote; a request is all 16 words of the buffer. */
  readonly words: readonly number[];
}

/** How a port's PF is set up before any VF speaks. Arrays are indexed by VF; left out means the default for all. */
export interface PfOptions {
  readonly port: number;
  /** The port's VFs in order; a VfDevice is one. */
  readonly functions: readonly VfHardware[];
  readonly tables: SwitchTables;
  /** 6 bytes each, as `ip link set PF vf N mac`; null: assigned none. Default 02:09:c0:00:PP:VV. */
  readonly macs?: readonly (Uint8Array | null)[];
  /** MTU of the PF's own interface, 1500 (default) to 9710; above 1500 the jumbo rules for SET_LPE hold. */
  readonly pfMtu?: number;
  /** `ip link set PF vf N trust on`; default off. */
  readonly trusted?: readonly boolean[];
  /** `ip link set PF vf N vlan V`; 0 (default) is none. */
  readonly portVlans?: readonly number[];
  /** `ip link set PF vf N spoofchk`; default on. */
  readonly spoofChecks?: readonly boolean[];
  /** `ip link set PF vf N query_rss on`; default off. */
  readonly queryRss?: readonly boolean[];
  /** Sees every message. */
  readonly trace?: (message: MailboxTrace) => void;
}

/** The PF driver of one port, and its administrator. Moves only by `step`. */
export interface Pf {
  readonly personality: PfPersonality;
  /** False between goDown and comeUp. */
  readonly up: boolean;
  /**
   * Handles VF resets and mailbox messages that are pending.
   * @returns messages and events handled
   */
  step(): number;
  /** MAC the PF assigned to the VF by now, null for none. */
  adminMac(vf: number): Uint8Array | null;
  /** True after a successful RESET, until the registration is lost. */
  clearToSend(vf: number): boolean;
  /** `ip link set PF vf N mac`; null takes the assignment back. The VF hears of it through its next RESET. */
  setAdminMac(vf: number, mac: Uint8Array | null): void;
  /** `ip link set PF vf N trust on|off`: withdraws CTS and pings. */
  setTrust(vf: number, trusted: boolean): void;
  /** `ip link set PF vf N vlan V`; 0 takes it off. */
  setPortVlan(vf: number, vid: number): void;
  /** `ip link set PF vf N spoofchk on|off`. */
  setSpoofCheck(vf: number, on: boolean): void;
  /** `ip link set PF vf N state auto|enable|disable`: VFRE and VFTE, withdraws CTS and pings. */
  setLinkEnabled(vf: number, enabled: boolean): void;
  /** Pings one VF, or all: PF_CONTROL, with CTS where the VF has it. */
  ping(vf?: number): void;
  /** The PF interface goes down: CTS withdrawn, VFRE and VFTE cleared, ping, port reset (RSTI). */
  goDown(): void;
  /** It comes up again: RSTI drops, RSTD sets, ping without CTS. */
  comeUp(): void;
  /** goDown and comeUp at once: an adapter reset (Tx hang, ethtool). */
  reset(): void;
}
