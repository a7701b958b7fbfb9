// Receive-side scaling: the Toeplitz hash ("Microsoft RSS hashing types"; 82599 DS sec 7.1.2.8) over IPv4
// and IPv6 addresses, with ports for TCP only, as drivers of this family ask for it. The hash is a table
// look-up a byte, with a table for each key. Where a pool uses one queue the model computes no hash,
// and says NONE in the descriptor.

import { RSS_TYPE } from '../../../hw/descriptors.ts';
import { VFMRQC } from '../../../hw/registers.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../frame.ts';

/** Longest input: two IPv6 addresses and two ports. */
const INPUT_BYTES = 36;
const { IPV4, IPV4_TCP, IPV6, IPV6_TCP } = VFMRQC.mask;
/** What a Linux PF has hashed for its VFs. */
export const PF_TYPES = IPV4 | IPV4_TCP | IPV6 | IPV6_TCP;

/** table[position * 256 + byte]: what this byte at this position of the input adds to the hash. */
function tableOf(key: ArrayLike<number>): Int32Array {
  const table = new Int32Array(INPUT_BYTES * 256);
  for (let position = 0; position < INPUT_BYTES; position++) {
    for (let bit = 0; bit < 8; bit++) {
      const window = keyWindow(key, position * 8 + bit);
      for (let byte = 0; byte < 256; byte++) {
        if ((byte & (0x80 >> bit)) !== 0) {
          const at = position * 256 + byte;
          table[at] = table[at] ^ window;
        }
      }
    }
  }
  return table;
}

function keyWindow(key: ArrayLike<number>, bit: number): number {
  let window = 0;
  for (let i = 0; i < 32; i++) {
    const at = bit + i;
    const keyBit = (key[at >> 3] >> (7 - (at & 7))) & 1;
    window = (window << 1) | keyBit;
  }
  return window;
}

function add(table: Int32Array, hash: number, position: number, word: number): number {
  const at = position << 8;
  return (
    hash ^
    table[at + (word & 0xff)] ^
    table[at + 256 + ((word >>> 8) & 0xff)] ^
    table[at + 512 + ((word >>> 16) & 0xff)] ^
    table[at + 768 + (word >>> 24)]
  );
}

/** A word of the frame that starts two bytes into heap word `w`. */
function unaligned(heap: Int32Array, w: number): number {
  return (heap[w] >>> 16) | (heap[w + 1] << 16);
}

/** Toeplitz hash of a frame; `hash` and `type` (RSS_TYPE) hold the last result. */
export class RssHasher {
  hash = 0;
  type: number = RSS_TYPE.NONE;
  private readonly table: Int32Array;

  /** @param key 40 bytes */
  constructor(key: ArrayLike<number>) {
    this.table = tableOf(key);
  }

  /** A frame that is not hashed. */
  skip(): void {
    this.hash = 0;
    this.type = RSS_TYPE.NONE;
  }

  /**
   * @param heap the frame lies in it
   * @param w heap word of the frame's first byte; 1 more where it carries a VLAN tag
   * @param length bytes, tag not counted
   * @param types bits of VFMRQC: what is hashed
   */
  compute(heap: Int32Array, w: number, length: number, types: number): void {
    this.skip();
    const typeWord = heap[w + 3];
    const ethertype = typeWord & 0xffff;
    if (ethertype === ETHERTYPE_IPV4 && length >= 34) this.ipv4(heap, w, length, types);
    else if (ethertype === ETHERTYPE_IPV6 && length >= 54) this.ipv6(heap, w, length, types);
  }

  private ipv4(heap: Int32Array, w: number, length: number, types: number): void {
    const { table } = this;
    // Source address at byte 26, destination at 30: two bytes into words 6 and 7.
    let hash = add(table, 0, 0, unaligned(heap, w + 6));
    hash = add(table, hash, 4, unaligned(heap, w + 7));
    const protocolWord = heap[w + 5];
    const headerBytes = ((heap[w + 3] >>> 16) & 0x0f) * 4;
    const fragment = (protocolWord & 0xff3f) !== 0;
    const portsAt = 14 + headerBytes;
    const tcp =
      protocolWord >>> 24 === 6 && !fragment && portsAt + 4 <= length && headerBytes >= 20;
    if (tcp && (types & IPV4_TCP) !== 0) {
      hash = add(table, hash, 8, unaligned(heap, w + ((portsAt - 2) >> 2)));
      this.type = RSS_TYPE.IPV4_TCP;
    } else if ((types & IPV4) !== 0) {
      this.type = RSS_TYPE.IPV4;
    } else {
      return;
    }
    this.hash = hash;
  }

  private ipv6(heap: Int32Array, w: number, length: number, types: number): void {
    const { table } = this;
    // Addresses from byte 22: two bytes into word 5.
    let hash = 0;
    for (let i = 0; i < 8; i++) hash = add(table, hash, i * 4, unaligned(heap, w + 5 + i));
    const nextHeader = heap[w + 5] & 0xff;
    if (nextHeader === 6 && length >= 58 && (types & IPV6_TCP) !== 0) {
      hash = add(table, hash, 32, unaligned(heap, w + 13));
      this.type = RSS_TYPE.IPV6_TCP;
    } else if ((types & IPV6) !== 0) {
      this.type = RSS_TYPE.IPV6;
    } else {
      return;
    }
    this.hash = hash;
  }
}
