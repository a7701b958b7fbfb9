// The tables of one port's L2 switch that the PF programs: exact MAC filters,
// VLAN membership, multicast hashes, per-VF acceptance, enables, anti-spoofing,
// port VLAN. 82599 DS sec 7.10.3; register names in 82599-vf sec 7.1 terms:
// RAR/MPSAR, VLVF/VLVFB, MTA, VMOLR, VFRE, VFTE, PFVFSPOOF, VMVIR.
// Written by the model's PF, read by the switch. Holds no policy.

/** What a VF's pool accepts beside its exact MACs: bits of VMOLR. */
export interface PoolAcceptance {
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
  /** Port VLAN the PF forces (VMVIR), 0 for none. */
  portVlan: number;
  /** Frames of this VF's queues are dropped, not held back, when there is no descriptor (QDE). */
  queueDrop: boolean;
  /** Queues that hardware gives the pool: 2 with more than 32 pools, else 4 (8 in 16-pool mode). */
  queues: number;
}

/** A MAC as a number: byte 0 (first on the wire) in the highest of 48 bits. Exact in a double. */
export type MacNumber = number;

/** The switch of one port. Each change increments `generation`, so that look-ups may be cached. */
export class SwitchTables {
  readonly pools: readonly PoolTable[];
  /** MAC -> VFs, several for a MAC that several own. */
  private readonly macs = new Map<MacNumber, Set<number>>();
  private readonly vlans = new Map<number, Set<number>>();
  /** MTA: 4,096 hash bits. */
  readonly multicastTable = new Uint32Array(128);
  /** Which bits of the destination make the multicast hash: mc_filter_type 0..3. */
  multicastFilterType = 0;
  /** Largest frame the port takes, CRC included (MAXFRS). */
  maxFrame = 1518;
  generation = 0;

  constructor(vfs: number, queuesPerPool: number) {
    this.pools = Array.from({ length: vfs }, () => ({
      acceptance: { aupe: false, bam: false, rompe: false, mpe: false },
      rxEnable: false,
      txEnable: false,
      macAntiSpoof: false,
      vlanAntiSpoof: false,
      portVlan: 0,
      queueDrop: false,
      queues: queuesPerPool,
    }));
  }

  /** Call after any change to `pools`, `multicastTable`, `maxFrame` or the filter type. */
  changed(): void {
    this.generation++;
  }

  addMac(vf: number, mac: MacNumber): void {
    const owners = this.macs.get(mac);
    if (owners === undefined) this.macs.set(mac, new Set([vf]));
    else owners.add(vf);
    this.changed();
  }

  removeMac(vf: number, mac: MacNumber): void {
    const owners = this.macs.get(mac);
    owners?.delete(vf);
    if (owners?.size === 0) this.macs.delete(mac);
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
    const members = this.vlans.get(vid);
    if (members === undefined) this.vlans.set(vid, new Set([vf]));
    else members.add(vf);
    this.changed();
  }

  removeVlan(vf: number, vid: number): void {
    const members = this.vlans.get(vid);
    members?.delete(vf);
    if (members?.size === 0) this.vlans.delete(vid);
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
