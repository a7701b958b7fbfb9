// What the PF programs and the datapath reads, of one port. For the switch: exact MAC filters, VLAN
// membership, multicast hashes, per-VF acceptance, enables, anti-spoofing, port VLAN (82599 DS sec 7.10.3;
// registers RAR and MPSAR, VLVF and VLVFB, MTA, VMOLR, VFRE, VFTE, PFVFSPOOF, VMVIR, see docs/82599-vf.md
// sec 7.1). For RSS: key and redirection table. Holds no policy.

/** Bit 30 of VMVIR: the default tag, bits 15:0, goes into every frame. */
export const VMVIR_INSERT = 1 << 30;

/** What a VF's pool accepts beside its exact MACs: bits of VMOLR. */
interface PoolAcceptance {
  /** Untagged frames. */
  aupe: boolean;
  /** Broadcast. */
  bam: boolean;
  /** Multicast whose hash bit is set. */
  rompe: boolean;
  /** All multicast. */
  mpe: boolean;
}

/** One VF's row. */
export interface PoolTable {
  readonly acceptance: PoolAcceptance;
  /** VFRE and VFTE: may receive, may send. Cleared by a VF reset, set by the PF's answer to RESET. */
  rxEnable: boolean;
  txEnable: boolean;
  /** Drop frames whose source MAC (VLAN) is not this VF's. */
  macAntiSpoof: boolean;
  vlanAntiSpoof: boolean;
  /** VMVIR: the tag the PF has put into every frame of this VF, as VMVIR_INSERT and the TCI; 0 for none. */
  vmvir: number;
  /** Frames of this VF's queues are dropped, not held back, when there is no descriptor (QDE). */
  queueDrop: boolean;
  /** Mbit/s that the VF may send, 0 for no limit (RTTBCNRC of its tx queues). */
  txRate: number;
  /** Queues that hardware gives the pool: 2 with more than 32 pools, else 4 (8 in 16-pool mode). */
  queues: number;
}

/** A MAC as a number: byte 0 (first on the wire) in the highest of 48 bits. Exact in a double. */
export type MacNumber = number;

/** @param mac 6 bytes */
export function macNumber(mac: Uint8Array): MacNumber {
  return mac.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** The 6 bytes of a MAC. */
export function macBytes(mac: MacNumber): Uint8Array {
  return Uint8Array.from({ length: 6 }, (_, i) => Math.floor(mac / 256 ** (5 - i)));
}

/** The 40 bytes of the RSS key, as mailbox GET_RSS_KEY tells them: the default of Microsoft's verification suite. */
export const RSS_KEY: readonly number[] = [
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
  0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
  0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
/** Entries of the RSS redirection table (RETA). */
export const RETA_ENTRIES = 128;

/** The queue that entry `i` of the redirection table names where a pool has `queues` queues. */
export function retaEntry(i: number, queues: number): number {
  return i % queues;
}

/** The VFs that share a MAC or a VLAN. */
type Members = Map<number, Set<number>>;

function join(members: Members, key: number, vf: number): void {
  members.set(key, (members.get(key) ?? new Set()).add(vf));
}

function leave(members: Members, key: number, vf: number): void {
  const vfs = members.get(key);
  vfs?.delete(vf);
  if (vfs?.size === 0) members.delete(key);
}

/** The switch of one port. Each change increments `generation`, so that look-ups may be cached. */
export class SwitchTables {
  readonly pools: readonly PoolTable[];
  /** MAC -> VFs, several for a MAC that several own. */
  private readonly macs: Members = new Map();
  private readonly vlans: Members = new Map();
  /** MTA: 4,096 hash bits. */
  readonly multicastTable = new Uint32Array(128);
  /** Which bits of the destination make the multicast hash: mc_filter_type 0..3. */
  multicastFilterType = 0;
  /** Traffic classes of the port, 2 to 8: queue n of each VF is that of class n, and RSS is off (MRQC); 1: none. */
  trafficClasses = 1;
  /** Largest frame the port takes, CRC included (MAXFRS). */
  maxFrame = 1518;
  generation = 0;
  /** The chip takes the tag of a port VLAN from received frames (QDE.HIDE_VLAN): X550 and later. */
  readonly hidesPortVlan: boolean;

  constructor(vfs: number, queuesPerPool: number, hidesPortVlan = false) {
    this.hidesPortVlan = hidesPortVlan;
    this.pools = Array.from({ length: vfs }, () => ({
      acceptance: { aupe: false, bam: false, rompe: false, mpe: false },
      rxEnable: false,
      txEnable: false,
      macAntiSpoof: false,
      vlanAntiSpoof: false,
      vmvir: 0,
      txRate: 0,
      queueDrop: false,
      queues: queuesPerPool,
    }));
  }

  /** Call after any change to `pools`, `multicastTable`, `maxFrame`, the classes or the filter type. */
  changed(): void {
    this.generation++;
  }

  addMac(vf: number, mac: MacNumber): void {
    join(this.macs, mac, vf);
    this.changed();
  }

  removeMac(vf: number, mac: MacNumber): void {
    leave(this.macs, mac, vf);
    this.changed();
  }

  /** VFs whose exact filters hold this MAC, lowest first. */
  ownersOf(mac: MacNumber): readonly number[] {
    return [...(this.macs.get(mac) ?? [])].sort((a, b) => a - b);
  }

  ownsMac(vf: number, mac: MacNumber): boolean {
    return this.macs.get(mac)?.has(vf) ?? false;
  }

  /** Exact filters of one VF, in the order they came. */
  macsOf(vf: number): readonly MacNumber[] {
    return [...this.macs].filter(([, owners]) => owners.has(vf)).map(([mac]) => mac);
  }

  /** Exact filters in use, of all VFs. */
  get macFilters(): number {
    return this.macs.size;
  }

  addVlan(vf: number, vid: number): void {
    join(this.vlans, vid, vf);
    this.changed();
  }

  removeVlan(vf: number, vid: number): void {
    leave(this.vlans, vid, vf);
    this.changed();
  }

  /** Takes a VF out of every VLAN. */
  clearVlans(vf: number): void {
    for (const vid of [...this.vlans.keys()]) this.removeVlan(vf, vid);
  }

  inVlan(vf: number, vid: number): boolean {
    return this.vlans.get(vid)?.has(vf) ?? false;
  }

  /** VLVF entries in use, of 64. */
  get vlanEntries(): number {
    return this.vlans.size;
  }
}
