// HOT. Tx half of the descriptor engine: takes advanced descriptors from a queue's ring, hands
// the frames to the switch in batches, reports them done. 82599 DS sec 7.2.3, 7.2.4. The loop here
// knows frames of one descriptor that need no work; everything else is offload/frames.ts. DD (or the
// head write-back) comes after the switch has consumed the frame. Interrupts are only marked.

import { TX_COMMAND, TX_STATUS } from '../../hw/descriptors.ts';
import { VFTDT } from '../../hw/registers.ts';
import { LOOP_BATCH } from '../frame.ts';
import {
  Q_COUNT,
  Q_HEAD,
  Q_INDEX,
  Q_READ_ONLY,
  Q_RING,
  Q_STATE,
  Q_TAIL,
  Q_TAIL_WORD,
  STATE_HUNG,
  T_CONTEXTS,
  T_HEAD_HIGH,
  T_HEAD_LOW,
  T_WRITTEN,
  T_WTHRESH,
  V_PORT_VLAN,
  V_TX_RAISE,
} from '../layout.ts';
import type { FrameForwarder } from '../types.ts';
import type { EngineMemory } from './memory.ts';
import { FRAME, FULL, HANG, TxFrames, WAIT } from './offload/frames.ts';

const { RS } = TX_COMMAND.mask;
/** The bit of DTYP that tells data (3) from context (2) descriptors, which are never written back. */
const DATA = 1 << TX_COMMAND.shift.DTYP;
/** CC alone in word 3, apart from PAYLEN: context slot 0 and no offload. */
const { CC, DD } = TX_STATUS.mask;

/** Sends what tx queues hold. One object a NIC. */
export class TxEngine {
  private readonly memory: EngineMemory;
  private heap: Int32Array;
  private readonly frames: TxFrames;

  /** @param staging heap byte offset of STAGING_BYTES (offload/staging.ts) */
  constructor(memory: EngineMemory, staging: number) {
    this.memory = memory;
    this.heap = memory.heap;
    this.frames = new TxFrames(memory, staging);
  }

  refreshViews(): void {
    this.heap = this.memory.heap;
    this.frames.refreshViews();
  }

  /**
   * Sends what a running queue holds.
   * @param v heap word of the VF block
   * @param q heap word of the queue block
   * @param vf index of the VF on the port
   * @param budget frames at most
   * @returns frames taken from the ring, sent or dropped
   */
  process(v: number, q: number, port: FrameForwarder, vf: number, budget: number): number {
    const h = this.heap;
    const tail = h[h[q + Q_TAIL_WORD]];
    if (tail === h[q + Q_HEAD]) {
      // Idle: what WTHRESH held back goes out.
      if (h[q + T_WRITTEN] !== tail) this.writeBack(v, q, tail);
      return 0;
    }
    if (tail >>> 0 >= h[q + Q_COUNT]) {
      this.memory.badTail(q, VFTDT, tail);
      return 0;
    }
    h[q + Q_TAIL] = tail;
    let done = 0;
    while (done < budget) {
      const head = h[q + Q_HEAD];
      if (head === tail) break;
      const n = this.collect(v, q, Math.min(LOOP_BATCH, budget - done));
      if (n > 0) port.forward(vf, n);
      done = (done + n) | 0;
      const now = h[q + Q_HEAD];
      this.report(v, q, now);
      // A frame whose rest was not posted yet, or a queue that hangs.
      if (now === head || h[q + Q_STATE] === STATE_HUNG) break;
    }
    return done;
  }

  /**
   * Takes frames from the ring into the batch and moves the head over them.
   * @returns frames, 0 where there were only context descriptors or nothing whole
   */
  private collect(v: number, q: number, limit: number): number {
    const h = this.heap;
    const { loops, batch } = this.memory;
    const tail = h[q + Q_TAIL];
    let n = 0;
    this.frames.begin();
    while (n < limit) {
      const status = this.plainStatus(v, q);
      if (status >= 0) n = loops.collect(q, status, n, limit);
      if (n === limit || h[q + Q_HEAD] === tail) break;
      const result = this.frames.next(v, q);
      if (result === WAIT || result === FULL || result === HANG) break;
      if (result === FRAME) {
        batch.offsets[n] = this.frames.offset;
        batch.lengths[n] = this.frames.length;
        n = (n + 1) | 0;
      }
    }
    return n;
  }

  /**
   * Word 3, less PAYLEN, of a frame that needs no work; -1 where every frame needs some: a port VLAN, no context in
   * slot 0, a ring that is not in one piece.
   */
  private plainStatus(v: number, q: number): number {
    const h = this.heap;
    const loaded = (h[q + T_CONTEXTS] & 1) !== 0;
    return loaded && h[v + V_PORT_VLAN] === 0 && h[q + Q_RING] >= 0 ? CC : -1;
  }

  /** Write-back of what was consumed up to `to`, as WTHRESH wants it. */
  private report(v: number, q: number, to: number): void {
    const h = this.heap;
    const threshold = h[q + T_WTHRESH];
    if (threshold > 0) {
      const written = h[q + T_WRITTEN];
      const pending = to >= written ? to - written : to - written + h[q + Q_COUNT];
      if (pending < threshold) return;
    }
    this.writeBack(v, q, to);
  }

  /** Sets DD in the descriptors with RS from the last write-back up to `to`, or writes the head. */
  private writeBack(v: number, q: number, to: number): void {
    const h = this.heap;
    const ring = h[q + Q_RING];
    const count = h[q + Q_COUNT];
    const headOnly = (h[q + T_HEAD_LOW] & 1) !== 0;
    const readOnly = h[q + Q_READ_ONLY] !== 0;
    let index = h[q + T_WRITTEN];
    let reported = 0;
    if (ring >= 0 && !headOnly && !readOnly) {
      reported = this.memory.loops.markDone(q, index, to);
      index = to;
    }
    while (index !== to) {
      const d = ring >= 0 ? (ring + (index << 2)) | 0 : this.memory.descriptor(q, index);
      if (d < 0) break;
      const command = h[d + 2];
      if ((command & (RS | DATA)) === (RS | DATA)) {
        reported = 1;
        if (readOnly) {
          this.memory.ringFault(q, index, true);
          break;
        }
        if (!headOnly) h[d + 3] = DD;
      }
      index = (index + 1) | 0;
      if (index === count) index = 0;
    }
    h[q + T_WRITTEN] = to;
    if (reported === 0) return;
    if (headOnly) this.writeHead(q, to);
    h[v + V_TX_RAISE] = h[v + V_TX_RAISE] | (1 << h[q + Q_INDEX]);
  }

  /** Head write-back: one word at the address of TDWBAL and TDWBAH. */
  private writeHead(q: number, head: number): void {
    const h = this.heap;
    const low = h[q + T_HEAD_LOW] & ~3;
    const high = h[q + T_HEAD_HIGH];
    const vf = this.memory.vfOf(q);
    const offset = vf.iommu.translate(low, high, 4, true);
    if (offset < 0) {
      vf.fault(low, high, 4, true);
      h[q + Q_STATE] = STATE_HUNG;
      return;
    }
    h[offset >>> 2] = head;
  }
}
