// What happens when a driver sets ENABLE of a queue: the engine takes ring base, length, head and modes out
// of the BAR words into the queue block, or refuses them. docs/82599-vf.md sec 2.4, 5.3, 5.4. A queue that
// cannot run with its set-up stays enabled in the BAR and hangs; the violation says why. Not hot.

import { at } from '../../hw/define.ts';
import { DESCRIPTOR_SIZE, RING_ALIGN } from '../../hw/descriptors.ts';
import {
  DESCTYPE_ADVANCED_ONE_BUFFER,
  type QueueRegisters,
  RX_QUEUE,
  TX_QUEUE,
  VFRXDCTL,
  VFSRRCTL,
  VFTDWBAH,
  VFTDWBAL,
  VFTXDCTL,
} from '../../hw/registers.ts';
import {
  MAX_DESCRIPTORS,
  Q_BASE_HIGH,
  Q_BASE_LOW,
  Q_COUNT,
  Q_HEAD,
  Q_INDEX,
  Q_PAGES,
  Q_READ_ONLY,
  Q_RING,
  Q_SKEW,
  Q_STATE,
  Q_TAIL,
  Q_TAIL_WORD,
  Q_VF,
  Q_WARNED,
  Q_WINDOW_BYTES,
  QUEUE_WORDS,
  R_BUFFER,
  R_STRIP,
  RING_PAGES,
  STATE_HUNG,
  STATE_RUNNING,
  T_HEAD_HIGH,
  T_HEAD_LOW,
  T_WRITTEN,
  T_WTHRESH,
} from '../layout.ts';
import type { EngineVf } from './memory.ts';

const SMALL_PAGE = 4096;

/** A VF with its places in the heap. */
export interface QueueOwner extends EngineVf {
  readonly heap: Int32Array;
  /** Heap word of the VF block. */
  readonly block: number;
  /** Heap word of BAR0. */
  readonly bar: number;
  readonly limitsFrames: boolean;
}

/** Takes in the set-up of rx queue `index`, whose block is at heap word q. */
export function enableRx(vf: QueueOwner, q: number, index: number): void {
  const { heap: h, bar } = vf;
  enableRing(vf, q, index, RX_QUEUE);
  const control = h[bar + (at(VFRXDCTL, index) >> 2)];
  const split = h[bar + (at(VFSRRCTL, index) >> 2)];
  const kib = split & VFSRRCTL.mask.BSIZEPKT;
  const type = (split & VFSRRCTL.mask.DESCTYPE) >>> VFSRRCTL.shift.DESCTYPE;
  h[q + R_BUFFER] = kib * 1024;
  h[q + R_STRIP] = (control & VFRXDCTL.mask.VME) !== 0 ? 1 : 0;
  const offset = at(VFSRRCTL, index);
  if (kib < 1 || kib > 16) {
    refuse(vf, q, offset, `VFSRRCTL ${index}: BSIZEPKT expected 1 to 16, got ${kib}`);
  }
  if (type !== DESCTYPE_ADVANCED_ONE_BUFFER) {
    refuse(vf, q, offset, `VFSRRCTL ${index}: DESCTYPE expected 1, got ${type}`);
  }
  if ((control & VFRXDCTL.mask.RLPML_EN) !== 0 && !vf.limitsFrames) {
    const detail = `VFRXDCTL ${index}: RLPML_EN expected 0 on an 82599`;
    vf.violation('ring-setup', at(VFRXDCTL, index), detail);
  }
}

/** Takes in the set-up of tx queue `index`, whose block is at heap word q. */
export function enableTx(vf: QueueOwner, q: number, index: number): void {
  const { heap: h, bar } = vf;
  enableRing(vf, q, index, TX_QUEUE);
  const control = h[bar + (at(VFTXDCTL, index) >> 2)];
  h[q + T_WRITTEN] = h[q + Q_HEAD];
  h[q + T_WTHRESH] = (control & VFTXDCTL.mask.WTHRESH) >>> VFTXDCTL.shift.WTHRESH;
  h[q + T_HEAD_LOW] = h[bar + (at(VFTDWBAL, index) >> 2)];
  h[q + T_HEAD_HIGH] = h[bar + (at(VFTDWBAH, index) >> 2)];
}

/** Looks the pages of a queue's ring up again, after the IOMMU's maps changed; forgets the buffer window. */
export function resolveRing(h: Int32Array, q: number, vf: EngineVf): void {
  const low = h[q + Q_BASE_LOW];
  const high = h[q + Q_BASE_HIGH];
  const pages = ringPages(h, q);
  const first = (high >>> 0) * 2 ** 32 + ((low & -SMALL_PAGE) >>> 0);
  h[q + Q_READ_ONLY] = 0;
  for (let i = 0; i < RING_PAGES; i++) {
    h[q + Q_PAGES + i] = -1;
    if (i >= pages) continue;
    const page = first + i * SMALL_PAGE;
    const pageHigh = Math.floor(page / 2 ** 32) | 0;
    const offset = vf.iommu.translate(page | 0, pageHigh, SMALL_PAGE, false);
    if (offset < 0) continue;
    h[q + Q_PAGES + i] = offset >>> 2;
    if (vf.iommu.translate(page | 0, pageHigh, SMALL_PAGE, true) < 0) h[q + Q_READ_ONLY] = 1;
  }
  h[q + Q_WINDOW_BYTES] = -1;
  h[q + Q_RING] = ringInOnePiece(h, q, pages) ? h[q + Q_PAGES] + (h[q + Q_SKEW] >> 2) : -1;
}

function ringInOnePiece(h: Int32Array, q: number, pages: number): boolean {
  const first = h[q + Q_PAGES];
  if (h[q + Q_READ_ONLY] !== 0 || first === -1) return false;
  for (let i = 1; i < pages; i++) {
    if (h[q + Q_PAGES + i] !== first + i * (SMALL_PAGE >> 2)) return false;
  }
  return true;
}

/** True where part of the ring has no memory yet. */
export function ringHasHoles(h: Int32Array, q: number): boolean {
  if (h[q + Q_READ_ONLY] !== 0) return true;
  return h.subarray(q + Q_PAGES, q + Q_PAGES + ringPages(h, q)).includes(-1);
}

/** Pages that the ring lies in. */
function ringPages(h: Int32Array, q: number): number {
  return Math.ceil((h[q + Q_SKEW] + h[q + Q_COUNT] * DESCRIPTOR_SIZE) / SMALL_PAGE);
}

function enableRing(vf: QueueOwner, q: number, index: number, registers: QueueRegisters): void {
  const { heap: h, bar } = vf;
  const baseOffset = at(registers.base, index);
  const lengthOffset = at(registers.length, index);
  const headOffset = at(registers.head, index);
  const low = h[bar + (baseOffset >> 2)];
  const lengthBytes = h[bar + (lengthOffset >> 2)] >>> 0;
  const head = h[bar + (headOffset >> 2)] >>> 0;
  h.fill(0, q, q + QUEUE_WORDS);
  h[q + Q_STATE] = STATE_RUNNING;
  h[q + Q_RING] = -1;
  h[q + Q_VF] = vf.block;
  h[q + Q_INDEX] = index;
  h[q + Q_TAIL_WORD] = bar + (at(registers.tail, index) >> 2);
  h[q + Q_BASE_LOW] = low;
  h[q + Q_BASE_HIGH] = h[bar + (at(registers.baseHigh, index) >> 2)];
  h[q + Q_SKEW] = low & (SMALL_PAGE - 1);
  const count = lengthBytes / DESCRIPTOR_SIZE;
  if (low % RING_ALIGN !== 0) {
    const got = `0x${(low >>> 0).toString(16)}`;
    const detail = `ring base ${index}: expected a multiple of ${RING_ALIGN}, got ${got}`;
    refuse(vf, q, baseOffset, detail);
  } else if (lengthBytes === 0 || lengthBytes % RING_ALIGN !== 0 || count > MAX_DESCRIPTORS) {
    const wanted = `a multiple of ${RING_ALIGN} up to ${MAX_DESCRIPTORS * DESCRIPTOR_SIZE}`;
    const detail = `ring length ${index}: expected ${wanted}, got ${lengthBytes}`;
    refuse(vf, q, lengthOffset, detail);
  } else if (head >= count) {
    refuse(vf, q, headOffset, `head ${index}: expected 0 to ${count - 1}, got ${head}`);
  } else {
    h[q + Q_COUNT] = count;
    h[q + Q_HEAD] = head;
    h[q + Q_TAIL] = head;
    resolveRing(h, q, vf);
  }
}

function refuse(vf: QueueOwner, q: number, offset: number, detail: string): void {
  vf.heap[q + Q_STATE] = STATE_HUNG;
  vf.heap[q + Q_WARNED] = -1;
  vf.violation('ring-setup', offset, detail);
}
