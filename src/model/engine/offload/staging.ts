// Where tx frames are put together: room in a staging area of the heap, copies out of several
// buffers, checksums, tags, padding. What a descriptor may ask for was checked by frames.ts.

import {
  MIN_FRAME_WITHOUT_CRC,
  TX_COMMAND,
  TX_CONTEXT_LENGTHS,
  TX_STATUS,
} from '../../../hw/descriptors.ts';
import { tagWord } from '../../frame.ts';
import { Q_COUNT, Q_STATE, STATE_HUNG, T_CONTEXT, V_PORT_VLAN } from '../../layout.ts';
import type { EngineMemory } from '../memory.ts';
import { insertChecksums } from './checksums.ts';

/** Bytes of the staging area. */
export const STAGING_BYTES = 128 * 1024;

const { DTALEN, VLE } = TX_COMMAND.mask;
const { IXSM, TXSM } = TX_STATUS.mask;

/** The area in which tx frames are put together. One object a NIC. */
export class TxStaging {
  /** Heap byte offset (int32) and bytes of the frame that `finish` made. */
  offset = 0;
  length = 0;
  private readonly memory: EngineMemory;
  private heap: Int32Array;
  private readonly area: number;
  private used = 0;

  /** @param area heap byte offset of STAGING_BYTES */
  constructor(memory: EngineMemory, area: number) {
    this.memory = memory;
    this.heap = memory.heap;
    this.area = area;
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
  }

  /** A new batch: the frames of the last one are gone. */
  begin(): void {
    this.used = 0;
  }

  /** Heap byte offset where a frame can be put together, two words in front of it for tags; -1 where there is no room. */
  reserve(length: number): number {
    const room = 8 + ((Math.max(length, MIN_FRAME_WITHOUT_CRC) + 7) & ~3);
    if (this.used + room > STAGING_BYTES) return -1;
    const at = this.area + this.used + 8;
    this.used += room;
    return at;
  }

  /** Copies bytes [from, from + count) of what the descriptors [head, end) hold. @returns false: fault, the queue hangs */
  copy(q: number, head: number, end: number, from: number, count: number, to: number): boolean {
    const h = this.heap;
    let skip = from;
    let left = count;
    let at = to;
    for (let index = head; index !== end && left > 0; index = after(h, q, index)) {
      const d = this.memory.descriptor(q, index);
      const size = h[d + 2] & DTALEN;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      // A driver that changes a posted descriptor must not make the copy longer than was checked.
      const bytes = Math.min(size - skip, left);
      const low = h[d] + skip;
      const carry = h[d] >>> 0 > low >>> 0 ? 1 : 0;
      if (!this.memory.gather(q, low | 0, h[d + 1] + carry, at, bytes)) {
        h[q + Q_STATE] = STATE_HUNG;
        return false;
      }
      skip = 0;
      at += bytes;
      left -= bytes;
    }
    return true;
  }

  /** Inserts what `status` asks for. @returns '' or what is wrong with the request */
  checksums(q: number, at: number, length: number, status: number): string {
    if ((status & (IXSM | TXSM)) === 0) return '';
    const h = this.heap;
    const context = contextOf(q, status);
    return insertChecksums(
      this.memory.bytes,
      at,
      length,
      h[context],
      h[context + 2],
      (status & IXSM) !== 0,
      (status & TXSM) !== 0,
    );
  }

  /** Tags and pads a staged frame; it is then in `offset` and `length`. */
  finish(v: number, q: number, from: number, bytes: number, command: number, status: number): void {
    const h = this.heap;
    let at = from;
    let length = bytes;
    if ((command & VLE) !== 0) {
      at = this.tag(at, h[contextOf(q, status)] >>> TX_CONTEXT_LENGTHS.shift.VLAN);
      length += 4;
    }
    if (h[v + V_PORT_VLAN] !== 0) {
      at = this.tag(at, h[v + V_PORT_VLAN] & 0xffff);
      length += 4;
    }
    if (length < MIN_FRAME_WITHOUT_CRC) {
      this.memory.bytes.fill(0, at + length, at + MIN_FRAME_WITHOUT_CRC);
      length = MIN_FRAME_WITHOUT_CRC;
    }
    this.offset = at | 0;
    this.length = length;
  }

  /** Puts a tag behind the addresses of a staged frame, which then starts 4 bytes earlier. */
  private tag(at: number, tci: number): number {
    const h = this.heap;
    const w = at >>> 2;
    h[w - 1] = h[w];
    h[w] = h[w + 1];
    h[w + 1] = h[w + 2];
    h[w + 2] = tagWord(tci);
    return at - 4;
  }
}

/** The slot after `index` in a queue's ring. */
export function after(h: Int32Array, q: number, index: number): number {
  return index + 1 === h[q + Q_COUNT] ? 0 : index + 1;
}

/** Heap word of the context descriptor that a data descriptor names. */
export function contextOf(q: number, status: number): number {
  return q + T_CONTEXT + ((status >>> 4) & 1) * 4;
}
