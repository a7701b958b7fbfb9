// HOT. Rx half of the descriptor engine: takes a frame to a queue of a VF, through
// advanced one-buffer descriptors. 82599 DS sec 7.1.5, 7.1.6. All state is in the heap
// (layout.ts). Checksum status is not calculated (IPCS and L4CS stay 0), there is
// no header split and no receive-side coalescing. Interrupts are only marked here.

import { RX_LENGTH, RX_STATUS } from '../../hw/descriptors.ts';
import { VFRDT } from '../../hw/registers.ts';
import { copyWords, tagControl } from '../frame.ts';
import {
  C_RX_MULTICAST,
  C_RX_OCTETS,
  Q_COUNT,
  Q_HEAD,
  Q_PACKETS,
  Q_READ_ONLY,
  Q_STATE,
  Q_TAIL,
  Q_TAIL_WORD,
  Q_VF,
  QUEUE_WORDS,
  R_BUFFER,
  R_STRIP,
  STATE_RUNNING,
  V_CLASSES,
  V_HIDE_TAG,
  V_MASTER,
  V_PLAIN_RX,
  V_QUEUES,
  V_RX_QUEUES,
  V_SLOT,
} from '../layout.ts';
import { RETA_ENTRIES, RSS_KEY, retaEntry } from '../tables.ts';
import { DELIVERED, DISABLED, FAULT, NO_DESCRIPTOR, type OwnRss, type RxPath } from '../types.ts';
import type { EngineMemory } from './memory.ts';
import { packetType } from './offload/packet-type.ts';
import { PF_TYPES, RssHasher } from './offload/rss.ts';

const { DD, EOP, VP } = RX_STATUS.mask;
/** Entries of an X550 VF's own redirection table. */
const OWN_RETA_ENTRIES = 64;

/** Delivers frames to rx queues. One object a NIC. */
export class RxEngine implements RxPath {
  private readonly memory: EngineMemory;
  private heap: Int32Array;
  /** With the PF's key. */
  private readonly pfHasher = new RssHasher(RSS_KEY);
  /** The hasher that looked at the last frame. */
  private hasher = this.pfHasher;
  /** By VFs with a key of their own, and the key that each was made for. */
  private readonly ownHashers = new Map<OwnRss, { hasher: RssHasher; key: Uint32Array }>();

  constructor(memory: EngineMemory) {
    this.memory = memory;
    this.heap = memory.heap;
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
  }

  /**
   * Delivers one frame to a VF, with its VLAN tag stripped where the queue asks for it, or the port VLAN is hidden.
   * Parameters and result are those of RxPath.
   */
  deliver(v: number, w: number, length: number, tagged: number, status: number): number {
    const h = this.heap;
    let q = (v + V_RX_QUEUES) | 0;
    let info = 0;
    let hash = 0;
    if (h[v + V_QUEUES] !== 1) {
      q = this.select(v, w, length, tagged);
      info = this.hasher.type;
      hash = this.hasher.hash;
    }
    if (h[q + Q_STATE] !== STATE_RUNNING || h[v + V_MASTER] === 0) return DISABLED;
    const hidden = tagged !== 0 && h[v + V_HIDE_TAG] !== 0;
    const strip = tagged !== 0 && (hidden || h[q + R_STRIP] !== 0);
    const bufferBytes = h[q + R_BUFFER];
    const dataLength = strip ? length - 4 : length;
    const pieces = dataLength <= bufferBytes ? 1 : Math.ceil(dataLength / bufferBytes);
    if (this.free(q) < pieces) {
      this.fetchTail(q);
      if (this.free(q) < pieces) return NO_DESCRIPTOR;
    }
    // Every address is checked before the first byte is written.
    if (!this.reachable(q, dataLength, pieces)) return FAULT;
    const tci = strip && !hidden ? tagControl(h[w + 3]) : 0;
    const source = strip ? this.stripTag(w, length) : w;
    info |= packetType(h, w + tagged);
    const vp = tagged !== 0 && !hidden ? VP : 0;
    let head = h[q + Q_HEAD];
    for (let done = 0; done < dataLength; ) {
      const d = this.memory.descriptor(q, head);
      const piece = Math.min(bufferBytes, dataLength - done);
      this.write(q, h[d], h[d + 1], source, done, piece);
      done += piece;
      const last = done === dataLength;
      h[d] = last ? info : 0;
      h[d + 1] = last ? hash : 0;
      h[d + 3] = last ? piece | (tci << RX_LENGTH.shift.VLAN) : piece;
      h[d + 2] = last ? DD | EOP | vp | status : DD;
      head = head + 1 === h[q + Q_COUNT] ? 0 : head + 1;
    }
    h[q + Q_HEAD] = head;
    h[q + Q_PACKETS] = (h[q + Q_PACKETS] + 1) | 0;
    h[v + C_RX_OCTETS] = (h[v + C_RX_OCTETS] + length + 4) | 0;
    if ((h[w] & 1) !== 0) this.countMulticast(v, w, h[w]);
    return DELIVERED;
  }

  /** What `deliver` would say, DELIVERED meaning that there is room; changes nothing. */
  room(v: number, w: number, length: number, tagged: number): number {
    const h = this.heap;
    const q = h[v + V_QUEUES] === 1 ? v + V_RX_QUEUES : this.select(v, w, length, tagged);
    if (h[q + Q_STATE] !== STATE_RUNNING || h[v + V_MASTER] === 0) return DISABLED;
    this.fetchTail(q);
    const needed = Math.ceil(length / h[q + R_BUFFER]);
    return this.free(q) >= needed ? DELIVERED : NO_DESCRIPTOR;
  }

  /** Copies a frame without its VLAN tag. @returns heap word of the copy, good until the next one */
  private stripTag(w: number, length: number): number {
    const { scratch, views } = this.memory;
    copyWords(views, scratch, w, 12);
    copyWords(views, scratch + 3, w + 4, length - 16);
    return scratch;
  }

  /** Rx queue block that RSS or the traffic class chooses; leaves hash and type in the hasher. */
  private select(v: number, w: number, length: number, tagged: number): number {
    const h = this.heap;
    const queues = h[v + V_QUEUES];
    const own = this.memory.vfs[h[v + V_SLOT]].ownRss;
    this.hasher = this.pfHasher;
    let queue = 0;
    if (h[v + V_CLASSES] > 1) {
      this.hasher.skip();
      // Priority n is class n, as far as there are classes.
      queue = tagged === 0 ? 0 : Math.min(tagControl(h[w + 3]) >>> 13, queues - 1);
    } else if (own === undefined) {
      this.hasher.compute(h, w + tagged, length - (tagged << 2), PF_TYPES);
      queue = retaEntry(this.hasher.hash & (RETA_ENTRIES - 1), queues);
    } else {
      this.hasher = this.ownHasher(own);
      this.hasher.compute(h, w + tagged, length - (tagged << 2), own.mrqc);
      const entry = this.hasher.hash & (OWN_RETA_ENTRIES - 1);
      queue = (own.table[entry >> 2] >>> ((entry & 3) * 8)) & (queues - 1);
    }
    return (v + V_RX_QUEUES + queue * QUEUE_WORDS) | 0;
  }

  private ownHasher(own: OwnRss): RssHasher {
    let known = this.ownHashers.get(own);
    if (known === undefined || known.key.some((word, i) => word !== own.key[i])) {
      const key = own.key.slice();
      known = { hasher: new RssHasher(new Uint8Array(key.buffer)), key };
      this.ownHashers.set(own, known);
    }
    return known.hasher;
  }

  /**
   * Reads the tail register.
   * @returns true where the hardware owns a descriptor
   */
  private fetchTail(q: number): boolean {
    const h = this.heap;
    const tail = h[h[q + Q_TAIL_WORD]];
    if (tail >>> 0 >= h[q + Q_COUNT]) {
      this.memory.badTail(q, VFRDT, tail);
      return false;
    }
    h[q + Q_TAIL] = tail;
    return tail !== h[q + Q_HEAD];
  }

  private free(q: number): number {
    const h = this.heap;
    const free = h[q + Q_TAIL] - h[q + Q_HEAD];
    return free < 0 ? free + h[q + Q_COUNT] : free;
  }

  /** True where the next descriptors and what they point to can all be written. */
  private reachable(q: number, length: number, pieces: number): boolean {
    const h = this.heap;
    let head = h[q + Q_HEAD];
    let left = length;
    for (let i = 0; i < pieces; i++) {
      const d = this.memory.descriptor(q, head);
      if (d < 0 || h[q + Q_READ_ONLY] !== 0) {
        this.memory.ringFault(q, head, d >= 0);
        h[h[q + Q_VF] + V_PLAIN_RX] = 0;
        return false;
      }
      const piece = Math.min(h[q + R_BUFFER], left);
      if (!this.memory.writable(q, h[d], h[d + 1], piece)) return false;
      left -= piece;
      head = head + 1 === h[q + Q_COUNT] ? 0 : head + 1;
    }
    return true;
  }

  /** Writes a piece of a frame to a buffer that `reachable` found writable. */
  private write(
    q: number,
    low: number,
    high: number,
    w: number,
    from: number,
    bytes: number,
  ): void {
    const offset = this.memory.locate(q, low, high, bytes, true);
    const source = ((w << 2) >>> 0) + from;
    if (offset < 0 || ((offset | source) & 3) !== 0) {
      this.memory.scatter(q, low, high, source, bytes);
      return;
    }
    copyWords(this.memory.views, offset >>> 2, source >>> 2, bytes);
  }

  /** Broadcast is not counted as multicast. */
  private countMulticast(v: number, w: number, first: number): void {
    const h = this.heap;
    if (first === -1 && (h[w + 1] & 0xffff) === 0xffff) return;
    h[v + C_RX_MULTICAST] = (h[v + C_RX_MULTICAST] + 1) | 0;
  }
}
