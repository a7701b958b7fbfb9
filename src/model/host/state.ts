// What `ixy pf show` tells of a running model: each port and VF with all that was set, whether the VF is registered
// and held, and its counters. Numbers and words only, so that it can go over the control socket as JSON.

import { formatMac } from '../../support/mac.ts';
import type { NicCounters } from '../nic.ts';
import type { VfSettings } from '../pf/types.ts';
import type { PfPersonality } from '../types.ts';
import type { ModelHost, VfPresence } from './host.ts';

/** One VF. Names are those of `ixy pf`. */
export interface VfState {
  readonly vf: number;
  /** null: none. */
  readonly mac: string | null;
  /** VID, 0 for none. */
  readonly vlan: number;
  readonly qos: number;
  readonly trust: boolean;
  readonly spoofchk: boolean;
  readonly state: VfSettings['linkState'];
  /** Mbit/s, 0 for no limit. */
  readonly rate: number;
  readonly queryRss: boolean;
  /** The PF counts it as started: it went through a reset since trust, state or the port last changed. */
  readonly registered: boolean;
  readonly api: string;
  /** A program holds it. */
  readonly attached: boolean;
  readonly presence: VfPresence;
  readonly counters: Omit<NicCounters, 'port' | 'vf'>;
}

/** One port. */
export interface PortState {
  readonly port: number;
  readonly pf: PfPersonality;
  /** The PF's interface. */
  readonly up: boolean;
  readonly mtu: number;
  /** What VFLINKS says of the port. */
  readonly link: boolean;
  readonly cable: 'in' | 'out';
  /** SPEC of what is plugged in. */
  readonly wire: string;
  /** Traffic classes, 1 for none. */
  readonly tc: number;
  readonly defaultClass: number;
  readonly vfs: readonly VfState[];
}

/** The state of all ports of a model. */
export function hostState(host: ModelHost): PortState[] {
  const { nic } = host;
  const rows = nic.counters();
  return Array.from({ length: host.ports }, (_, port) => {
    const pf = nic.pf(port);
    const { cableIn, linkUp } = nic.link(port);
    const { classes, defaultClass } = pf.trafficClasses;
    return {
      port,
      pf: pf.personality,
      up: pf.up,
      mtu: pf.mtu,
      link: linkUp,
      cable: cableIn ? 'in' : 'out',
      wire: nic.wirePort(port).spec,
      tc: classes,
      defaultClass,
      vfs: pf.settings().map((settings) => vfState(host, port, settings, rows)),
    };
  });
}

function vfState(
  host: ModelHost,
  port: number,
  settings: VfSettings,
  rows: readonly NicCounters[],
): VfState {
  const { vf, mac } = settings;
  const row = rows.find((one) => one.port === port && one.vf === vf);
  if (row === undefined) throw new Error(`no counters of VF ${port}.${vf}`);
  const { port: _port, vf: _vf, ...counters } = row;
  return {
    vf,
    mac: mac.some((byte) => byte !== 0) ? formatMac(mac) : null,
    vlan: settings.portVlan,
    qos: settings.portPriority,
    trust: settings.trusted,
    spoofchk: settings.spoofCheck,
    state: settings.linkState,
    rate: settings.txRate,
    queryRss: settings.queryRss,
    registered: settings.registered,
    api: settings.api,
    attached: host.taken(port, vf),
    presence: host.presence(port, vf),
    counters,
  };
}
