// HOT (find), cold (fill). Which pools of a port take a frame, by destination and VLAN:
// 82599 DS sec 7.10.3, in the order MAC then VLAN (docs/82599-vf.md sec 7.2). Answers are kept in
// a table in the heap for as long as the switch tables keep their generation. Also copies
// the pools' rows into the VF blocks. Decides nothing about queues, spoofing or the wire.

import { macOfFrame } from '../frame.ts';
import {
  POOL_MAC_SPOOF,
  POOL_RX,
  POOL_TX,
  POOL_UNTAGGED,
  POOL_VLAN_SPOOF,
  V_HIDE_TAG,
  V_POOL,
  V_PORT_VLAN,
  V_SOURCE_OK,
  VF_WORDS,
} from '../layout.ts';
import type { SwitchTables } from '../tables.ts';
import type { SwitchMemory } from '../types.ts';

/** In a key's high half, in place of a VLAN id: the frame carries no tag. */
export const UNTAGGED = 0x1000_0000;

// An answer, at heap word e; bit i of a mask is VF i.
const E_KEY0 = 0;
const E_KEY1 = 1;
const E_GENERATION = 2;
/** WIRE, LOCAL or GROUP. */
export const E_CLASS = 3;
/** Heap word of the VF block of the one pool that takes this unicast and may receive; else 0. */
export const E_PLAIN = 4;
/** Pools that take it, enabled or not: two words. */
export const E_POOLS = 5;
/** Of these, the ones that take it by hash alone: two words. */
export const E_INEXACT = 7;
const ENTRY_SHIFT = 4;
/** 2^8: `find` takes the top 8 bits of its hash. */
const ENTRIES = 256;
export const LOOKUP_BYTES = ENTRIES << (ENTRY_SHIFT + 2);

/** Unicast that no exact filter of the port holds. */
export const WIRE = 0;
/** Unicast that some VF's exact filter holds. */
const LOCAL = 1;
/** Multicast and broadcast. */
export const GROUP = 2;

/** Answers of one port's tables, kept until the tables change. */
export class SwitchLookup {
  private readonly memory: SwitchMemory;
  private heap: Int32Array;
  private readonly tables: SwitchTables;
  /** Heap word of the table. */
  private readonly table: number;
  /** Heap word of the port's first VF block. */
  private readonly firstVf: number;
  private generation = -1;
  /** Longest untagged frame without CRC. */
  limit = 1514;

  /** @param tableOffset heap byte offset of LOOKUP_BYTES zeroed bytes */
  constructor(memory: SwitchMemory, tables: SwitchTables, tableOffset: number, firstVf: number) {
    this.memory = memory;
    this.heap = memory.heap;
    this.tables = tables;
    this.table = tableOffset >>> 2;
    this.firstVf = firstVf;
    this.refresh();
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
  }

  /** Takes the PF's changes over, if there are any. Call before a batch. */
  update(): void {
    if (this.tables.generation !== this.generation) this.refresh();
  }

  /**
   * Heap word of the answer (E_*) for a destination.
   * @param word0 first word of the frame
   * @param key1 bytes 4 and 5 in the low half; VLAN id << 16, or UNTAGGED
   */
  find(word0: number, key1: number): number {
    const h = this.heap;
    const slot = Math.imul(word0 ^ (key1 << 8), 0x9e3779b1) >>> 24;
    const e = (this.table + (slot << ENTRY_SHIFT)) | 0;
    if (
      h[e + E_KEY0] === word0 &&
      h[e + E_KEY1] === key1 &&
      h[e + E_GENERATION] === this.generation
    ) {
      return e;
    }
    return this.fill(e, word0, key1);
  }

  /** True where some pool of the port may receive. */
  anyEnabled(): boolean {
    return this.tables.pools.some((pool) => pool.rxEnable);
  }

  private refresh(): void {
    const h = this.heap;
    const tables = this.tables;
    // A generation of the tables fits an int32 for any session; -1 never matches an answer.
    this.generation = tables.generation | 0;
    this.limit = tables.maxFrame - 4;
    for (let vf = 0; vf < tables.pools.length; vf++) {
      const pool = tables.pools[vf];
      const v = this.firstVf + vf * VF_WORDS;
      h[v + V_POOL] =
        (pool.rxEnable ? POOL_RX : 0) |
        (pool.txEnable ? POOL_TX : 0) |
        (pool.macAntiSpoof ? POOL_MAC_SPOOF : 0) |
        (pool.vlanAntiSpoof ? POOL_VLAN_SPOOF : 0) |
        (pool.acceptance.aupe ? POOL_UNTAGGED : 0);
      h[v + V_PORT_VLAN] = pool.vmvir;
      h[v + V_HIDE_TAG] = tables.hidesPortVlan && (pool.vmvir & 0xfff) !== 0 ? 1 : 0;
      h[v + V_SOURCE_OK] = 0;
    }
    for (let i = 0; i < ENTRIES; i++) h[this.table + (i << ENTRY_SHIFT) + E_GENERATION] = -1;
  }

  private fill(e: number, word0: number, key1: number): number {
    const h = this.heap;
    const tables = this.tables;
    const group = (word0 & 1) !== 0;
    const broadcast = word0 === -1 && (key1 & 0xffff) === 0xffff;
    const vlan = key1 === ((key1 & 0xffff) | UNTAGGED) ? -1 : (key1 >>> 16) & 0xfff;
    const mac = macOfFrame(word0, key1 & 0xffff);
    const hashed = group && !broadcast && this.hashHit(key1);
    const pools = [0, 0];
    const inexact = [0, 0];
    let last = -1;
    let accepted = 0;
    for (let vf = 0; vf < tables.pools.length; vf++) {
      const pool = tables.pools[vf];
      const { aupe, bam, mpe, rompe } = pool.acceptance;
      const exact = (broadcast && bam) || tables.ownsMac(vf, mac);
      const wide = group && !broadcast && mpe;
      const byHash = hashed && rompe;
      if (!exact && !wide && !byHash) continue;
      if (vlan < 0 ? !aupe : !tables.inVlan(vf, vlan)) continue;
      const word = vf >> 5;
      pools[word] = pools[word] | (1 << (vf & 31));
      if (!exact && byHash) inexact[word] = inexact[word] | (1 << (vf & 31));
      accepted++;
      last = vf;
    }
    h[e + E_KEY0] = word0;
    h[e + E_KEY1] = key1;
    h[e + E_GENERATION] = this.generation;
    const plain = !group && accepted === 1 && tables.pools[last].rxEnable;
    h[e + E_PLAIN] = plain ? this.firstVf + last * VF_WORDS : 0;
    h[e + E_CLASS] = group ? GROUP : tables.ownersOf(mac).length > 0 ? LOCAL : WIRE;
    h[e + E_POOLS] = pools[0];
    h[e + E_POOLS + 1] = pools[1];
    h[e + E_INEXACT] = inexact[0];
    h[e + E_INEXACT + 1] = inexact[1];
    return e;
  }

  /** Multicast hash of docs/82599-vf.md sec 7.4. */
  private hashHit(key1: number): boolean {
    const b4 = key1 & 0xff;
    const b5 = (key1 >>> 8) & 0xff;
    const type = this.tables.multicastFilterType;
    const hash =
      (type === 0
        ? (b4 >> 4) | (b5 << 4)
        : type === 1
          ? (b4 >> 3) | (b5 << 5)
          : type === 2
            ? (b4 >> 2) | (b5 << 6)
            : b4 | (b5 << 8)) & 0xfff;
    return ((this.tables.multicastTable[hash >> 5] >>> (hash & 31)) & 1) !== 0;
  }
}
