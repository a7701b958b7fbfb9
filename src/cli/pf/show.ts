// What `ixy pf show` prints for a person: lines in the style of `ip link show`.

import type { PortState, VfState } from '../../model/host/state.ts';

/** Lines for one port and its VFs. */
export function portLines(port: PortState): string[] {
  return [
    `${port.port}: <${flags(port)}> mtu ${port.mtu} pf ${port.pf} cable ${port.cable} wire ${port.wire}${classes(port)}`,
    ...port.vfs.flatMap(vfLines),
  ];
}

function flags({ up, link }: PortState): string {
  if (!up) return 'DOWN';
  return link ? 'UP,LOWER_UP' : 'NO-CARRIER,UP';
}

function classes({ tc, defaultClass }: PortState): string {
  return tc === 1 ? '' : ` tc ${tc} default ${defaultClass}`;
}

function vfLines(vf: VfState): string[] {
  const parts = [
    `link/ether ${vf.mac ?? '00:00:00:00:00:00'}`,
    ...(vf.vlan !== 0 || vf.qos !== 0 ? [`vlan ${vf.vlan}`] : []),
    ...(vf.qos !== 0 ? [`qos ${vf.qos}`] : []),
    ...(vf.rate !== 0 ? [`tx rate ${vf.rate} (Mbps)`] : []),
    `spoof checking ${onOff(vf.spoofchk)}`,
    `link-state ${vf.state}`,
    `trust ${onOff(vf.trust)}`,
    `query_rss ${onOff(vf.queryRss)}`,
  ];
  const { counters } = vf;
  const missed = counters.missedNoDescriptor + counters.missedDisabled;
  const holder = vf.presence === 'plugged' ? (vf.attached ? 'attached' : 'free') : vf.presence;
  const registered = vf.registered ? `registered (API ${vf.api})` : 'not registered';
  return [
    `    vf ${`${vf.vf}`.padEnd(5)} ${parts.join(', ')}`,
    `             ${holder}, ${registered}; delivered ${counters.delivered}, missed ${missed}, filtered ${counters.filtered}, spoofed ${counters.spoofed}`,
  ];
}

function onOff(on: boolean): string {
  return on ? 'on' : 'off';
}
