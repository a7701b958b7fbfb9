// The datapath of one VF as its registers and the NIC see it: changes of ENABLE, barriers, the IOMMU,
// counters and heads in the BAR words, interrupts. docs/82599-vf.md sec 1.3, 2.3 to 2.5. The frames
// themselves are moved by rx.ts and tx.ts, whose state is the VF block that
// this class owns. RDH, TDH and the counters share cache lines with the tails, so `sync`
// writes them now and then, never per packet.

import { at } from '../../hw/define.ts';
import {
  MAX_QUEUES,
  type QueueRegisters,
  RX_QUEUE,
  TX_QUEUE,
  VFMRQC,
  VFPSRTYPE,
  VFRXDCTL,
  VFTXDCTL,
} from '../../hw/registers.ts';
import {
  C_FAULTS,
  Q_HEAD,
  Q_PACKETS,
  Q_RAISED,
  Q_RING,
  Q_STATE,
  QUEUE_WORDS,
  STATE_DISABLED,
  STATE_RUNNING,
  V_CLASSES,
  V_MASTER,
  V_PLAIN_RX,
  V_QUEUES,
  V_RX_QUEUES,
  V_SLOT,
  V_TX_QUEUES,
  V_TX_RAISE,
} from '../layout.ts';
import type { ViolationKind } from '../recorder.ts';
import type { EngineHost, FrameForwarder, OwnRss, PortCounters, QueueEngine } from '../types.ts';
import { VfCounters } from './counters.ts';
import { Iommu } from './iommu.ts';
import type { LateDma } from './late-dma.ts';
import type { EngineMemory } from './memory.ts';
import { enableRx, enableTx, type QueueOwner, resolveRing, ringHasHoles } from './setup.ts';
import type { TxEngine } from './tx.ts';

const TWO_32 = 2 ** 32;
const ENABLE = VFRXDCTL.mask.ENABLE;
const RXDCTL_WORD = VFRXDCTL.offset >> 2;
const TXDCTL_WORD = VFTXDCTL.offset >> 2;
const STEP_WORDS = VFRXDCTL.step >> 2;

/** What the NIC gives every engine. */
export interface EngineParts {
  readonly memory: EngineMemory;
  readonly tx: TxEngine;
  /** Heap word of the VF block, zeroed. */
  readonly block: number;
  /** Index of the VF among all VFs of the NIC. */
  readonly slot: number;
  /** What stopped rx queues still write, where the model plays that. */
  readonly late: LateDma | undefined;
  /** The heap may have grown: brings every view up to date. */
  readonly refreshViews: () => void;
}

/** The datapath of one VF: its register words, its IOMMU, its queues. */
export class VfEngine implements QueueEngine, QueueOwner {
  readonly iommu = new Iommu();
  readonly ownRss: OwnRss | undefined;
  readonly limitsFrames: boolean;
  readonly block: number;
  readonly bar: number;
  /** Bit q: rx or tx queue q is enabled, as of the last poll. */
  rxQueues = 0;
  txQueues = 0;
  private readonly host: EngineHost;
  private readonly parts: EngineParts;
  private readonly v: number;
  private readonly counters: VfCounters;
  /** Which tx queue goes first in the next step. */
  private firstTx = 0;

  constructor(host: EngineHost, parts: EngineParts) {
    this.host = host;
    this.ownRss = host.ownRss;
    this.limitsFrames = host.limitsFrames;
    this.parts = parts;
    this.block = parts.block;
    this.v = parts.block;
    this.bar = host.barOffset >>> 2;
    this.counters = new VfCounters(parts.memory, this.v, this.bar);
    parts.memory.vfs[parts.slot] = this;
    const h = parts.memory.heap;
    h[this.v + V_SLOT] = parts.slot;
    h[this.v + V_QUEUES] = 1;
  }

  get heap(): Int32Array {
    return this.parts.memory.heap;
  }

  // ---- QueueEngine ----

  barrier(): void {
    this.poll();
    this.sync();
  }

  queuesReset(): void {
    for (let i = 0; i < MAX_QUEUES; i++) {
      this.reset(this.rxBlock(i), i, RX_QUEUE);
      this.reset(this.txBlock(i), i, TX_QUEUE);
    }
    this.rxQueues = 0;
    this.txQueues = 0;
    this.heap[this.v + V_TX_RAISE] = 0;
    this.choosePath();
  }

  dmaMap(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number {
    if (heapOffset + sizeBytes > this.parts.memory.bytes.length) this.parts.refreshViews();
    if (heapOffset !== -1 && heapOffset + sizeBytes > this.parts.memory.bytes.length) return -22;
    const result = this.iommu.map(iova, sizeBytes, heapOffset, readable, writable);
    if (result === 0) this.remapQueues(true);
    return result;
  }

  dmaUnmap(iova: number, sizeBytes: number): number {
    const result = this.iommu.unmap(iova, sizeBytes);
    if (result > 0) this.remapQueues(false);
    return result;
  }

  dmaClear(): void {
    this.iommu.clear();
    this.remapQueues(false);
  }

  // ---- EngineVf ----

  fault(low: number, high: number, sizeBytes: number, write: boolean): void {
    const { port, vf, recorder } = this.host;
    const iova = (high >>> 0) * TWO_32 + (low >>> 0);
    this.heap[this.v + C_FAULTS] = this.heap[this.v + C_FAULTS] + 1;
    recorder.fault({ port, vf, iova, sizeBytes, write });
  }

  violation(kind: ViolationKind, offset: number, detail: string): void {
    const { port, vf, recorder } = this.host;
    recorder.violation({ kind, port, vf, offset, detail });
  }

  // ---- the NIC ----

  /**
   * Takes in changes of ENABLE, bus mastering and of how many queues frames are spread over.
   * @returns true while any queue is enabled
   */
  poll(): boolean {
    if (!this.host.present) return false;
    const h = this.heap;
    const { queueLimit: limit, busMaster, trafficClasses } = this.host;
    h[this.v + V_MASTER] = busMaster ? 1 : 0;
    h[this.v + V_CLASSES] = trafficClasses;
    h[this.v + V_QUEUES] = this.spread();
    let rx = 0;
    let tx = 0;
    for (let i = 0; i < limit; i++) {
      const rxOn = (h[this.bar + RXDCTL_WORD + i * STEP_WORDS] & ENABLE) !== 0;
      if (rxOn !== ((this.rxQueues >> i) & 1) > 0)
        this.switchQueue(this.rxBlock(i), i, rxOn, RX_QUEUE);
      if (rxOn) rx |= 1 << i;
      const txOn = (h[this.bar + TXDCTL_WORD + i * STEP_WORDS] & ENABLE) !== 0;
      if (txOn !== ((this.txQueues >> i) & 1) > 0)
        this.switchQueue(this.txBlock(i), i, txOn, TX_QUEUE);
      if (txOn) tx |= 1 << i;
    }
    this.rxQueues = rx;
    this.txQueues = tx;
    if (busMaster) this.parts.late?.poll();
    else this.parts.late?.end();
    this.choosePath();
    return (rx | tx) !== 0;
  }

  /**
   * Sends what the tx queues hold.
   * @param budget frames a queue at most
   * @returns frames
   */
  send(port: FrameForwarder, budget: number): number {
    const h = this.heap;
    if (this.txQueues === 0 || h[this.v + V_MASTER] === 0) return 0;
    let frames = 0;
    this.firstTx = (this.firstTx + 1) & (MAX_QUEUES - 1);
    for (let k = 0; k < MAX_QUEUES; k++) {
      const i = (this.firstTx + k) & (MAX_QUEUES - 1);
      if (((this.txQueues >> i) & 1) === 0) continue;
      const q = this.txBlock(i);
      if (h[q + Q_STATE] !== STATE_RUNNING) continue;
      frames += this.parts.tx.process(this.v, q, port, this.host.vf, budget);
    }
    return frames;
  }

  /** Reports rx queues that delivered, and what tx marked. */
  raiseInterrupts(): void {
    const h = this.heap;
    for (let i = 0; this.rxQueues >> i !== 0; i++) {
      const q = this.rxBlock(i);
      const packets = h[q + Q_PACKETS];
      if (packets === h[q + Q_RAISED]) continue;
      h[q + Q_RAISED] = packets;
      this.host.interrupts.raise('rx', i);
    }
    const tx = h[this.v + V_TX_RAISE];
    if (tx === 0) return;
    h[this.v + V_TX_RAISE] = 0;
    for (let i = 0; i < MAX_QUEUES; i++) {
      if (((tx >> i) & 1) !== 0) this.host.interrupts.raise('tx', i);
    }
  }

  /** Brings heads and counters in the BAR words up to date. */
  sync(): void {
    if (!this.host.present) return;
    for (let i = 0; i < MAX_QUEUES; i++) {
      if (((this.rxQueues >> i) & 1) !== 0) {
        this.storeHead(this.rxBlock(i), at(RX_QUEUE.head, i));
        this.counters.takePackets(this.rxBlock(i));
      }
      if (((this.txQueues >> i) & 1) !== 0) this.storeHead(this.txBlock(i), at(TX_QUEUE.head, i));
    }
    this.counters.sync();
  }

  /** Adds what this VF delivered and lost. */
  addCounters(counters: PortCounters): void {
    this.sync();
    this.counters.addTo(counters);
  }

  /** Rx queues that frames may go to. */
  private spread(): number {
    const { queueLimit: limit, psrtype, trafficClasses } = this.host;
    if (trafficClasses > 1) return trafficClasses;
    if (this.ownRss !== undefined) return (this.ownRss.mrqc & VFMRQC.mask.RSSEN) !== 0 ? limit : 1;
    return Math.min(1 << (psrtype >>> VFPSRTYPE.shift.RQPL), limit, MAX_QUEUES);
  }

  private switchQueue(q: number, index: number, on: boolean, registers: QueueRegisters): void {
    if (!on) {
      if (registers === RX_QUEUE && this.heap[q + Q_STATE] === STATE_RUNNING) {
        this.parts.late?.begin(q);
      }
      this.stop(q, index, registers);
    } else if (registers === RX_QUEUE) enableRx(this, q, index);
    else enableTx(this, q, index);
  }

  private reset(q: number, index: number, registers: QueueRegisters): void {
    this.stop(q, index, registers);
    const control = this.bar + (at(registers.control, index) >> 2);
    this.heap[control] = this.heap[control] & ~ENABLE;
  }

  private stop(q: number, index: number, registers: QueueRegisters): void {
    const h = this.heap;
    if (h[q + Q_STATE] === STATE_DISABLED) return;
    this.storeHead(q, at(registers.head, index));
    if (registers === RX_QUEUE) this.counters.takePackets(q);
    h[q + Q_STATE] = STATE_DISABLED;
  }

  /** Decides whether rx may take the short way (V_PLAIN_RX). */
  private choosePath(): void {
    const h = this.heap;
    const q = this.rxBlock(0);
    const plain =
      h[this.v + V_QUEUES] === 1 &&
      h[this.v + V_MASTER] !== 0 &&
      h[q + Q_STATE] === STATE_RUNNING &&
      h[q + Q_RING] >= 0;
    h[this.v + V_PLAIN_RX] = plain ? q : 0;
  }

  /** @param grown true: maps were added, so only rings with holes change */
  private remapQueues(grown: boolean): void {
    const h = this.heap;
    for (let k = 0; k < 2 * MAX_QUEUES; k++) {
      const q = k < MAX_QUEUES ? this.rxBlock(k) : this.txBlock(k - MAX_QUEUES);
      if (h[q + Q_STATE] === STATE_DISABLED) continue;
      if (!grown || ringHasHoles(h, q)) resolveRing(h, q, this);
    }
    this.choosePath();
  }

  private rxBlock(index: number): number {
    return this.v + V_RX_QUEUES + index * QUEUE_WORDS;
  }

  private txBlock(index: number): number {
    return this.v + V_TX_QUEUES + index * QUEUE_WORDS;
  }

  private storeHead(q: number, offset: number): void {
    const h = this.heap;
    const word = this.bar + (offset >> 2);
    const head = h[q + Q_HEAD];
    // Not stored when unchanged: the line is the driver's.
    if (h[word] !== head) h[word] = head;
  }
}
