// HOT. The L2 switch of one port: frames from the wire to the VFs, frames from a VF to the
// wire and to other VFs (VEB). 82599 DS sec 7.10.3; docs/82599-vf.md sec 7.2, 7.3, 7.6. What the PF
// allows comes through lookup.ts. Replication is on, loopback is on, a VF gets no
// copy of its own frames, and there is no default pool: what nobody takes is `filtered`.

import { MIN_FRAME_WITHOUT_CRC, RX_STATUS } from '../../hw/descriptors.ts';
import { copyWords, ETHERTYPE_VLAN, macOfFrame, tagControl } from '../frame.ts';
import {
  C_DISABLED,
  C_SPOOFED,
  C_TX_OCTETS,
  C_TX_PACKETS,
  POOL_MAC_SPOOF,
  POOL_TX,
  POOL_UNTAGGED,
  POOL_VLAN_SPOOF,
  V_POOL,
  V_SOURCE_HIGH,
  V_SOURCE_LOW,
  V_SOURCE_OK,
  VF_WORDS,
} from '../layout.ts';
import type { SwitchTables } from '../tables.ts';
import {
  DELIVERED,
  FAULT,
  type FrameForwarder,
  type Ingress,
  OFFER,
  type RxPath,
  type SwitchMemory,
  type WirePort,
} from '../types.ts';
import { E_CLASS, E_PLAIN, E_POOLS, GROUP, SwitchLookup, UNTAGGED, WIRE } from './lookup.ts';
import { FILTERED, Replication } from './replication.ts';

/** What a switch is made of. */
export interface PortSwitchOptions {
  readonly memory: SwitchMemory;
  readonly rx: RxPath;
  readonly tables: SwitchTables;
  /** Heap byte offset of LOOKUP_BYTES, and of SCRATCH_BYTES, zeroed. */
  readonly lookupOffset: number;
  readonly scratchOffset: number;
  /** Heap word of the port's first VF block. */
  readonly firstVf: number;
  readonly vfs: number;
  /** VF that the PF assigned this MAC to, or -1. */
  readonly assignedTo: (mac: number) => number;
}

/** The L2 switch of one port. */
export class PortSwitch implements Ingress, FrameForwarder {
  /** What is plugged in. */
  wire: WirePort;
  private readonly memory: SwitchMemory;
  private heap: Int32Array;
  private readonly rx: RxPath;
  private readonly tables: SwitchTables;
  private readonly lookup: SwitchLookup;
  private readonly firstVf: number;
  private readonly replication: Replication;
  private readonly scratch: number;
  /** Heap word of the VF block that the last claim was for. */
  private claimed = 0;
  private readonly assignedTo: (mac: number) => number;

  /** @param plug makes what is plugged in, which offers its frames to this switch */
  constructor(options: PortSwitchOptions, plug: (ingress: Ingress) => WirePort) {
    const { memory, tables, lookupOffset, firstVf } = options;
    this.memory = memory;
    this.heap = memory.heap;
    this.rx = options.rx;
    this.tables = tables;
    this.lookup = new SwitchLookup(memory, tables, lookupOffset, firstVf);
    this.firstVf = firstVf;
    this.replication = new Replication(memory, options.rx, firstVf, options.vfs);
    this.scratch = options.scratchOffset >>> 2;
    this.assignedTo = options.assignedTo;
    this.wire = plug(this);
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
    this.lookup.refreshViews();
    this.replication.refreshViews();
  }

  /** Takes the PF's changes to the tables over; `offer` does it by itself. */
  update(): void {
    this.lookup.update();
  }

  /** Offers a frame from the wire. One shorter than 60 bytes is padded; one that MAXFRS forbids, or under 14 bytes, is filtered. */
  offer(offset: number, length: number, closedLoop: boolean): number {
    const lookup = this.lookup;
    lookup.update();
    if ((offset & 3) !== 0 || length < MIN_FRAME_WITHOUT_CRC || length > lookup.limit) {
      return this.offerOdd(offset, length, closedLoop);
    }
    return this.take(offset >>> 2, length, closedLoop);
  }

  private take(w: number, length: number, closedLoop: boolean): number {
    const h = this.heap;
    const typeWord = h[w + 3];
    let tagged = 0;
    let key1 = (h[w + 1] & 0xffff) | UNTAGGED;
    if ((typeWord & 0xffff) === ETHERTYPE_VLAN) {
      tagged = 1;
      key1 = (h[w + 1] & 0xffff) | ((tagControl(typeWord) & 0xfff) << 16);
    }
    const e = this.lookup.find(h[w], key1);
    const v = h[e + E_PLAIN];
    if (v === 0) return this.spread(e, w, length, tagged, closedLoop);
    const { loops, batch } = this.memory;
    if (tagged === 0 && loops.claim(v, length, 1) === 1) {
      copyWords(this.memory.views, batch.targets[0], w, length);
      batch.sizes[0] = length;
      loops.commit(v, 1);
      return OFFER.TAKEN;
    }
    const result = this.rx.deliver(v, w, length, tagged, 0);
    if (result === DELIVERED) return OFFER.TAKEN;
    if (closedLoop && result !== FAULT) return OFFER.LATER;
    this.replication.count(v, result);
    return OFFER.TAKEN;
  }

  /** Where the next frames to one destination may be written without a copy; 0 where `offer` must take them. */
  claim(destination0: number, destination1: number, longest: number, n: number): number {
    const lookup = this.lookup;
    lookup.update();
    if (longest > lookup.limit) return 0;
    const e = lookup.find(destination0, (destination1 & 0xffff) | UNTAGGED);
    this.claimed = this.heap[e + E_PLAIN];
    return this.claimed === 0 ? 0 : this.memory.loops.claim(this.claimed, longest, n);
  }

  /** Hands over the frames written to the first n places of the last claim. */
  commit(n: number): void {
    this.memory.loops.commit(this.claimed, n);
  }

  /**
   * Sends n frames of a VF, which are in the batch as they leave the chip (padded, tagged).
   * @param vf index of the VF on this port
   */
  forward(vf: number, n: number): void {
    const h = this.heap;
    const { memory, lookup } = this;
    const { offsets, lengths } = memory.batch;
    const v = (this.firstVf + Math.imul(vf, VF_WORDS)) | 0;
    const pool = h[v + V_POOL];
    if ((pool & POOL_TX) === 0) {
      h[v + C_DISABLED] = (h[v + C_DISABLED] + n) | 0;
      return;
    }
    let i = 0;
    let toWire = 0;
    let spoofed = 0;
    let octets = 0;
    while (i < n) {
      const offset = offsets[i];
      const length = lengths[i];
      const w = offset >>> 2;
      i = (i + 1) | 0;
      const tagged = (h[w + 3] & 0xffff) === ETHERTYPE_VLAN ? 1 : 0;
      const vlan = tagged === 0 ? UNTAGGED : (tagControl(h[w + 3]) & 0xfff) << 16;
      const key1 = (h[w + 1] & 0xffff) | vlan;
      if (!this.mayPass(pool, v, vf, w, key1)) {
        spoofed = (spoofed + 1) | 0;
        continue;
      }
      octets = (octets + length + 4) | 0;
      const word0 = h[w];
      const e = lookup.find(word0, key1);
      const kind = h[e + E_CLASS];
      if (kind !== WIRE) {
        this.loopBack(e, vf, w, length, tagged);
        if (kind !== GROUP) continue;
      }
      if (toWire + 1 !== i) {
        offsets[toWire] = offset;
        lengths[toWire] = length;
      }
      toWire = (toWire + 1) | 0;
      if (kind !== WIRE || tagged !== 0) continue;
      // Those that follow on the same way, in one go.
      const high = (pool & POOL_MAC_SPOOF) === 0 ? -1 : h[w + 1] >>> 16;
      const end = memory.loops.sameRoute(i, n, high, h[w + 2], word0, key1 & 0xffff);
      octets = (octets + memory.loops.octets[0]) | 0;
      if (toWire !== i) {
        offsets.copyWithin(toWire, i, end);
        lengths.copyWithin(toWire, i, end);
      }
      toWire = (toWire + end - i) | 0;
      i = end;
    }
    h[v + C_SPOOFED] = (h[v + C_SPOOFED] + spoofed) | 0;
    h[v + C_TX_PACKETS] = (h[v + C_TX_PACKETS] + n - spoofed) | 0;
    h[v + C_TX_OCTETS] = (h[v + C_TX_OCTETS] + octets) | 0;
    if (toWire !== 0) this.wire.transmit(offsets, lengths, toWire, vf);
  }

  /** Anti-spoofing, MAC and VLAN. */
  private mayPass(pool: number, v: number, vf: number, w: number, key1: number): boolean {
    const h = this.heap;
    if ((pool & POOL_MAC_SPOOF) !== 0) {
      const known =
        h[v + V_SOURCE_OK] !== 0 &&
        h[v + V_SOURCE_HIGH] === h[w + 1] >>> 16 &&
        h[v + V_SOURCE_LOW] === h[w + 2];
      if (!known && !this.ownSource(v, vf, w)) return false;
    }
    return (pool & POOL_VLAN_SPOOF) === 0 || this.ownVlan(pool, vf, key1);
  }

  /** Frames that have to be copied before they are looked at, or that no MAC would take. */
  private offerOdd(offset: number, length: number, closedLoop: boolean): number {
    const bytes = this.memory.bytes;
    const tagged = length >= 16 && bytes[offset + 12] === 0x81 && bytes[offset + 13] === 0;
    if (length < 14 || length > this.lookup.limit + (tagged ? 4 : 0)) {
      // A MAC drops these before any filter; VF 0's row stands for the port.
      this.replication.count(this.firstVf, FILTERED);
      return OFFER.TAKEN;
    }
    const at = this.scratch << 2;
    bytes.copyWithin(at, offset, offset + length);
    if (length < MIN_FRAME_WITHOUT_CRC) bytes.fill(0, at + length, at + MIN_FRAME_WITHOUT_CRC);
    return this.take(this.scratch, Math.max(length, MIN_FRAME_WITHOUT_CRC), closedLoop);
  }

  /** A frame from the wire for none, several or disabled pools. */
  private spread(
    e: number,
    w: number,
    length: number,
    tagged: number,
    closedLoop: boolean,
  ): number {
    const h = this.heap;
    if (h[e + E_POOLS] === 0 && h[e + E_POOLS + 1] === 0) {
      return this.unclaimed(w, closedLoop);
    }
    if (closedLoop && !this.replication.allReady(e, w, length, tagged)) return OFFER.LATER;
    this.replication.copies(e, -1, w, length, tagged, 0);
    return OFFER.TAKEN;
  }

  /** Copies of a VF's frame to the other pools of its port. */
  private loopBack(e: number, vf: number, w: number, length: number, tagged: number): void {
    if (length > this.lookup.limit + (tagged << 2)) {
      this.replication.count(this.firstVf + vf * VF_WORDS, FILTERED);
      return;
    }
    const sent = this.replication.copies(e, vf, w, length, tagged, RX_STATUS.mask.LB);
    if (sent === 0 && this.heap[e + E_CLASS] !== GROUP) {
      this.replication.count(this.firstVf + vf * VF_WORDS, FILTERED);
    }
  }

  /**
   * A frame from the wire that no pool takes. In closed loop it waits for the VF it is meant for, as long as that
   * one is not up, or for any VF, as long as none is.
   */
  private unclaimed(w: number, closedLoop: boolean): number {
    const h = this.heap;
    const owner = this.assignedTo(macOfFrame(h[w], h[w + 1]));
    if (closedLoop) {
      if (owner >= 0 && this.tables.pools[owner]?.rxEnable !== true) return OFFER.LATER;
      if (!this.lookup.anyEnabled()) return OFFER.LATER;
    }
    this.replication.count(this.firstVf + Math.max(owner, 0) * VF_WORDS, FILTERED);
    return OFFER.TAKEN;
  }

  /** Full check of a source MAC; remembers one that passed. */
  private ownSource(v: number, vf: number, w: number): boolean {
    const h = this.heap;
    const high = h[w + 1] >>> 16;
    const low = h[w + 2];
    if (!this.tables.ownsMac(vf, macOfFrame(high | (low << 16), low >>> 16))) return false;
    h[v + V_SOURCE_HIGH] = high;
    h[v + V_SOURCE_LOW] = low;
    h[v + V_SOURCE_OK] = 1;
    return true;
  }

  /** VLAN anti-spoofing: a tag must be of one of the VF's VLANs; untagged passes with AUPE. */
  private ownVlan(pool: number, vf: number, key1: number): boolean {
    if ((key1 & UNTAGGED) !== 0) return (pool & POOL_UNTAGGED) !== 0;
    return this.tables.inVlan(vf, (key1 >>> 16) & 0xfff);
  }
}
