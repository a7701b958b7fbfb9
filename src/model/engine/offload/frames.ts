// The tx frames that need work, one at a time: context descriptors, frames over several
// descriptors, frames to be tagged, padded or checksummed, unaligned ones; and every check of a
// descriptor. 82599 DS sec 7.2.3. Such a frame is put together by staging.ts. A segmentation
// request gives one frame a call, and the head moves with the last of them.
// What silicon's malicious-driver detection would stop on stops the queue here: recorded as a
// violation, no DD any more until the queue is disabled or reset.

import {
  CRC_SIZE,
  DTYP_CONTEXT,
  DTYP_DATA,
  MAX_FRAME_WITH_CRC,
  MAX_TX_DESCRIPTORS,
  MIN_FRAME_WITHOUT_CRC,
  MIN_TX_LENGTH,
  TX_COMMAND,
  TX_STATUS,
} from '../../../hw/descriptors.ts';
import {
  Q_HEAD,
  Q_INDEX,
  Q_STATE,
  Q_TAIL,
  Q_WARNED,
  STATE_HUNG,
  T_CONTEXT,
  T_CONTEXTS,
  T_SEGMENT,
  T_WTHRESH,
  V_PORT_VLAN,
  WARN_CONTEXT,
  WARN_IFCS,
  WARN_SHORT,
} from '../../layout.ts';
import type { EngineMemory } from '../memory.ts';
import { planSegments, segmentHeaders } from './segments.ts';
import { after, contextOf, TxStaging } from './staging.ts';

/** `next` took a frame: see `offset` and `length`. */
export const FRAME = 0;
/** It took a context descriptor. */
const SKIP = 1;
/** The frame's last descriptors were not posted yet; the head has not moved. */
export const WAIT = 2;
/** No staging room left in this batch; the head has not moved. */
export const FULL = 3;
/** The queue hangs. */
export const HANG = 4;

const { DTALEN, DTYP, EOP, IFCS, DEXT, TSE, VLE } = TX_COMMAND.mask;
const { CC, IXSM, TXSM, IDX } = TX_STATUS.mask;
const { shift } = TX_STATUS;
/** Longest frame without CRC. */
const LONGEST = MAX_FRAME_WITH_CRC - CRC_SIZE;

/** Takes tx frames that need work from a ring, one at a time. One object a NIC. */
export class TxFrames {
  /** Heap byte offset (int32) and bytes of the last frame. */
  offset = 0;
  length = 0;
  /** Words 2 and 3 of the frame's first descriptor, read once: the driver may change them meanwhile. */
  private command = 0;
  private status = 0;
  private readonly memory: EngineMemory;
  private heap: Int32Array;
  private readonly staging: TxStaging;

  /** @param area heap byte offset of STAGING_BYTES (staging.ts) */
  constructor(memory: EngineMemory, area: number) {
    this.memory = memory;
    this.heap = memory.heap;
    this.staging = new TxStaging(memory, area);
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
    this.staging.refreshViews();
  }

  /** A new batch: the frames of the last one are gone. */
  begin(): void {
    this.staging.begin();
  }

  /**
   * Takes what is at the head, which is not the tail.
   * @returns FRAME, SKIP, WAIT, FULL or HANG
   */
  next(v: number, q: number): number {
    const h = this.heap;
    const head = h[q + Q_HEAD];
    const d = this.memory.descriptor(q, head);
    if (d < 0) return this.ringFault(q, head);
    const command = h[d + 2];
    if ((command & DEXT) === 0) return this.hang(q, head, 'legacy format (DEXT 0)');
    const type = (command & DTYP) >>> TX_COMMAND.shift.DTYP;
    if (type === DTYP_CONTEXT) return this.context(q, d, head);
    if (type !== DTYP_DATA) return this.hang(q, head, `DTYP expected 2 or 3, got ${type}`);
    return this.data(v, q, d, head);
  }

  private context(q: number, d: number, head: number): number {
    const h = this.heap;
    const slot = (h[d + 3] & IDX) >>> shift.IDX;
    if (slot > 1) return this.hang(q, head, `context slot expected 0 or 1, got ${slot}`);
    for (let i = 0; i < 4; i++) h[q + T_CONTEXT + slot * 4 + i] = h[d + i];
    h[q + T_CONTEXTS] = h[q + T_CONTEXTS] | (1 << slot);
    h[q + Q_HEAD] = this.after(q, head);
    return SKIP;
  }

  private data(v: number, q: number, d: number, head: number): number {
    const h = this.heap;
    const command = h[d + 2];
    const status = h[d + 3];
    this.command = command;
    this.status = status;
    const segmented = (command & TSE) !== 0;
    const slot = (status & IDX) >>> shift.IDX;
    if (slot > 1) return this.hang(q, head, `context slot expected 0 or 1, got ${slot}`);
    const loaded = ((h[q + T_CONTEXTS] >>> slot) & 1) !== 0;
    const work = segmented || (command & VLE) !== 0 || (status & (IXSM | TXSM)) !== 0;
    if (work && !loaded)
      return this.hang(q, head, `offload asked for, but context slot ${slot} is empty`);
    if ((status & CC) === 0 || !loaded) {
      // 82599 tolerates it, X550 does not.
      this.warn(
        q,
        WARN_CONTEXT,
        `descriptor ${head}: expected CC and a loaded context in slot ${slot}`,
      );
    }
    if ((command & IFCS) === 0) this.warn(q, WARN_IFCS, `descriptor ${head}: expected IFCS`);

    const last = this.lastOf(q, head);
    if (last < 0) return last === -1 ? WAIT : HANG;
    if (segmented) return this.segment(v, q, head, last);
    const total = this.length;
    const payload = status >>> shift.PAYLEN;
    if (total !== payload) {
      return this.hang(q, head, `PAYLEN expected the sum of DTALEN, ${total}, got ${payload}`);
    }
    const tags = ((command & VLE) !== 0 ? 1 : 0) + (h[v + V_PORT_VLAN] !== 0 ? 1 : 0);
    if (total < 14 || total + tags * 4 > LONGEST) {
      return this.hang(q, head, `frame length expected 14 to ${LONGEST} bytes, got ${total}`);
    }
    if (total < MIN_TX_LENGTH) {
      this.warn(q, WARN_SHORT, `PAYLEN expected ${MIN_TX_LENGTH} or more, got ${total}`);
    }
    if (last === head && !work && tags === 0 && total >= MIN_FRAME_WITHOUT_CRC) {
      const offset = this.memory.locate(q, h[d], h[d + 1], total, false);
      if (offset >= 0 && (offset & 3) === 0) {
        this.offset = offset | 0;
        h[q + Q_HEAD] = this.after(q, head);
        return FRAME;
      }
    }
    return this.stage(v, q, head, last);
  }

  /**
   * Index of the frame's last descriptor, its bytes in `length`; -1 where it was not posted yet, -2 where the queue
   * was stopped.
   */
  private lastOf(q: number, head: number): number {
    const h = this.heap;
    const most = MAX_TX_DESCRIPTORS - h[q + T_WTHRESH];
    let index = head;
    let total = 0;
    for (let n = 1; ; n++) {
      const d = this.memory.descriptor(q, index);
      if (d < 0) {
        this.ringFault(q, index);
        return -2;
      }
      const command = h[d + 2];
      const type = (command & DTYP) >>> TX_COMMAND.shift.DTYP;
      if ((command & DEXT) === 0 || type !== DTYP_DATA) {
        this.hang(q, index, 'expected the next data descriptor of a frame');
        return -2;
      }
      if ((command & DTALEN) === 0) {
        this.hang(q, index, 'DTALEN expected 1 or more, got 0');
        return -2;
      }
      total += command & DTALEN;
      if ((command & EOP) !== 0) {
        this.length = total;
        return index;
      }
      if (n >= most) {
        this.hang(q, head, `EOP expected within ${most} descriptors`);
        return -2;
      }
      index = this.after(q, index);
      if (index === h[q + Q_TAIL]) return -1;
    }
  }

  private stage(v: number, q: number, head: number, last: number): number {
    const total = this.length;
    const at = this.staging.reserve(total);
    if (at < 0) return FULL;
    const end = this.after(q, last);
    if (!this.staging.copy(q, head, end, 0, total, at)) return HANG;
    const wrong = this.staging.checksums(q, at, total, this.status);
    if (wrong !== '') return this.hang(q, head, wrong);
    return this.finish(v, q, at, total, end);
  }

  /** The next frame of a segmentation request (TSE): one a call, until the last moves the head. */
  private segment(v: number, q: number, head: number, last: number): number {
    const h = this.heap;
    const { command, status } = this;
    const context = contextOf(q, status);
    const plan = planSegments(h[context], h[context + 2], h[context + 3]);
    if (typeof plan === 'string') return this.hang(q, head, plan);
    const { headerBytes, mss } = plan;
    const payload = status >>> shift.PAYLEN;
    if (payload === 0 || this.length !== headerBytes + payload) {
      const expected = `${this.length} - ${headerBytes}`;
      return this.hang(q, head, `PAYLEN expected DTALEN less headers, ${expected}, got ${payload}`);
    }
    if ((status & TXSM) === 0 || (plan.ipv4 && (status & IXSM) === 0)) {
      return this.hang(q, head, 'TSE expected TXSM, and IXSM for IPv4');
    }
    const index = h[q + T_SEGMENT];
    const from = index * mss;
    const bytes = Math.min(mss, payload - from);
    // Only a driver that changes a posted descriptor gets there.
    if (bytes <= 0) return this.hang(q, head, 'a segmentation request shrank under way');
    const length = headerBytes + bytes;
    const tags = ((command & VLE) !== 0 ? 1 : 0) + (h[v + V_PORT_VLAN] !== 0 ? 1 : 0);
    if (length + tags * 4 > LONGEST) {
      return this.hang(q, head, `MSS and headers expected up to ${LONGEST} bytes, got ${length}`);
    }
    const at = this.staging.reserve(length);
    if (at < 0) return FULL;
    const end = this.after(q, last);
    if (!this.staging.copy(q, head, end, 0, headerBytes, at)) return HANG;
    if (!this.staging.copy(q, head, end, headerBytes + from, bytes, at + headerBytes)) return HANG;
    const isLast = from + bytes === payload;
    segmentHeaders(this.memory.bytes, at, plan, index, bytes, isLast);
    // IXSM without IPv4 is for nothing to insert.
    const wrong = this.staging.checksums(q, at, length, plan.ipv4 ? status : status & ~IXSM);
    if (wrong !== '') return this.hang(q, head, wrong);
    h[q + T_SEGMENT] = isLast ? 0 : index + 1;
    return this.finish(v, q, at, length, isLast ? end : head);
  }

  private finish(v: number, q: number, at: number, length: number, head: number): number {
    this.staging.finish(v, q, at, length, this.command, this.status);
    this.offset = this.staging.offset;
    this.length = this.staging.length;
    this.heap[q + Q_HEAD] = head;
    return FRAME;
  }

  private after(q: number, index: number): number {
    return after(this.heap, q, index);
  }

  private ringFault(q: number, index: number): number {
    this.memory.ringFault(q, index, false);
    return HANG;
  }

  private hang(q: number, index: number, detail: string): number {
    const h = this.heap;
    h[q + Q_STATE] = STATE_HUNG;
    const text = `tx queue ${h[q + Q_INDEX]} descriptor ${index}: ${detail}; the queue stops`;
    this.memory.vfOf(q).violation('descriptor', -1, text);
    return HANG;
  }

  /** A violation that silicon tolerates: recorded once a queue enable. */
  private warn(q: number, bit: number, detail: string): void {
    const h = this.heap;
    if ((h[q + Q_WARNED] & bit) !== 0) return;
    h[q + Q_WARNED] = h[q + Q_WARNED] | bit;
    this.memory.vfOf(q).violation('descriptor', -1, `tx queue ${h[q + Q_INDEX]} ${detail}`);
  }
}
