// How a PF of the model is made, and what it tells of its mailboxes. Types only.

import type { ApiVersion } from '../../hw/mailbox.ts';
import type { MacType } from '../silicon.ts';
import type { SwitchTables } from '../tables.ts';
import type { VfHardware } from '../types.ts';

/** `ip link set PF vf N state`: with auto the VF's link follows the PF's interface. */
export type VfLinkState = 'auto' | 'enable' | 'disable';

/** What is set for a VF, and whether it is registered. */
export interface VfSettings {
  readonly vf: number;
  /** 6 bytes: the MAC in force, zeros for none. */
  readonly mac: Uint8Array;
  readonly portVlan: number;
  readonly portPriority: number;
  readonly trusted: boolean;
  readonly spoofCheck: boolean;
  readonly linkState: VfLinkState;
  /** Mbit/s, 0 for no limit. */
  readonly txRate: number;
  readonly queryRss: boolean;
  /** CTS: it has been through a RESET, and the PF has not withdrawn that since. */
  readonly registered: boolean;
  readonly api: ApiVersion;
}

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
  /** Link of the port's wire: the PF pings its VFs when it changes. Default: always up. */
  readonly linkUp?: () => boolean;
  /** The chip, whose successors of the 82599 have other limits; default 82599. */
  readonly macType?: MacType;
  /** 6 bytes each, as `ip link set PF vf N mac`; null: assigned none. Default 02:09:c0:00:PP:VV. */
  readonly macs?: readonly (Uint8Array | null)[];
  /** MTU of the PF's own interface, 1500 (default) to 9710; above 1500 the jumbo rules for SET_LPE hold. */
  readonly pfMtu?: number;
  /** `ip link set PF vf N trust on`; default off. */
  readonly trusted?: readonly boolean[];
  /** `ip link set PF vf N vlan V`; 0 (default) is none. */
  readonly portVlans?: readonly number[];
  /** The `qos` of that port VLAN, 0 (default) to 7: the priority in the tags that the PF has inserted. */
  readonly portPriorities?: readonly number[];
  /** Traffic classes of the PF's interface, as `setTrafficClasses` takes them; default none. */
  readonly trafficClasses?: number;
  readonly defaultClass?: number;
  /** `ip link set PF vf N spoofchk`; default on with a Linux PF, off with a DPDK PF. */
  readonly spoofChecks?: readonly boolean[];
  /** `ip link set PF vf N query_rss on`; default off. */
  readonly queryRss?: readonly boolean[];
  /** Sees every message. */
  readonly trace?: (message: MailboxTrace) => void;
}
