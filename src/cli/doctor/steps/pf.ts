// What the host has set for a VF, for step 1: its PF's driver and interface by sysfs, and the settings of
// `ip link`, which only the host's own network tools know.

import { linkName, namesIn, pciFolder, textOf } from '../../../vfio/kernel/sysfs.ts';
import { docs, type Finding, judged, skipped } from '../finding.ts';
import type { Surroundings } from '../patient.ts';

const IP = 'ip-link(8)';
/** Linux IFF_UP, in net/IF/flags. */
const INTERFACE_UP = 0x1;

/** A VF in what `ip -j -d link show` says of its PF; names as iproute2 has them. */
interface VfInfo {
  readonly vf?: number;
  readonly mac?: string;
  readonly address?: string;
  readonly vlan?: number;
  readonly vlan_list?: readonly { readonly vlan?: number }[];
  readonly spoofchk?: boolean;
  readonly link_state?: string;
  readonly trust?: boolean;
  readonly query_rss_en?: boolean;
  readonly rate?: { readonly max_tx?: number };
}

/** The PF of a VF, and what it has for that VF. */
export function* pfOf(pci: string, machine: Surroundings): Generator<Finding> {
  const { sysfs } = machine;
  const pf = linkName(`${pciFolder(sysfs, pci)}/physfn`);
  if (pf === '') {
    const why = 'not seen from here: this machine has the VF, but not its PF';
    yield skipped('PF', 'ixgbe, up', docs('4.7'), why);
    return;
  }
  const driver = linkName(`${pciFolder(sysfs, pf)}/driver`);
  const version = textOf(`${sysfs}/module/${driver}/version`);
  yield judged(
    driver === 'ixgbe',
    'PF driver',
    'ixgbe, of the kernel (no version of its own) or of Intel',
    docs('4.7'),
    `${pf}: ${driver || 'none'}, version ${version || 'of the kernel'}`,
  );
  const [name] = namesIn(`${pciFolder(sysfs, pf)}/net`);
  if (name === undefined) {
    yield skipped(
      'PF interface',
      'up',
      docs('4.7'),
      'not seen from here: in another network namespace',
    );
    return;
  }
  const net = `${pciFolder(sysfs, pf)}/net/${name}`;
  yield judged(
    (Number(textOf(`${net}/flags`)) & INTERFACE_UP) !== 0,
    'PF interface',
    'up: a PF that is down answers no VF',
    docs('4.7'),
    `${name}: flags ${textOf(`${net}/flags`)}, ${textOf(`${net}/operstate`) || 'state not seen'}`,
  );
  const mtu = textOf(`${net}/mtu`);
  yield judged(
    Number(mtu) === 1500,
    'PF MTU',
    '1500, above it an 82599 VF needs SET_LPE',
    docs('7.7'),
    mtu || 'not seen',
  );
  yield* settings(pf, pci, name, machine);
}

function* settings(
  pf: string,
  pci: string,
  name: string,
  machine: Surroundings,
): Generator<Finding> {
  const folder = pciFolder(machine.sysfs, pf);
  const entry = namesIn(folder).find(
    (link) => /^virtfn\d+$/.test(link) && linkName(`${folder}/${link}`) === pci,
  );
  const index = Number(entry?.slice('virtfn'.length) ?? -1);
  const info = vfInfo(machine.ipLink(name), index);
  const raw = { raw: info };
  if (info === undefined) {
    const why = `not seen from here: no answer of \`ip -j -d link show ${name}\` names VF ${index}`;
    yield skipped('VF settings on the host', 'trust, spoof check, port VLAN', IP, why);
    return;
  }
  const vlan = info.vlan_list?.[0]?.vlan ?? info.vlan ?? 0;
  yield judged(vlan === 0, 'port VLAN', 'none', docs('4.7'), vlan === 0 ? 'none' : `${vlan}`, raw);
  const said = (value: unknown): string => (value === undefined ? 'not said' : String(value));
  yield judged(
    info.spoofchk !== false,
    'spoof check',
    'on, the default',
    docs('7.6'),
    said(info.spoofchk),
  );
  yield judged(info.trust !== true, 'trust', 'off, the default', docs('4.7'), said(info.trust));
  yield judged(
    !['disable', 'enable'].includes(info.link_state ?? ''),
    'VF link state',
    'auto, the default',
    docs('4.7'),
    said(info.link_state),
  );
}

/** What `ip` says of one VF. @param json of `ip -j -d link show` */
function vfInfo(json: string | undefined, index: number): VfInfo | undefined {
  try {
    const [link] = JSON.parse(json ?? '[]') as readonly { vfinfo_list?: readonly VfInfo[] }[];
    return link?.vfinfo_list?.find((one) => one.vf === index);
  } catch {
    return undefined;
  }
}
