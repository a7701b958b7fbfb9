// Pages 1 and 2 of a VF's BAR0 where they are trapped: the words stay in the
// heap, which the engine reads whichever way they were written; this adds the
// checks that a shared page cannot make. docs/82599-vf.md sec 2.3 to 2.5, 5.3, 5.4.

import { at } from '../../hw/define.ts';
import { DESCRIPTOR_SIZE, RING_ALIGN } from '../../hw/descriptors.ts';
import {
  ALL_ONES,
  MAX_QUEUES,
  PAGE_SIZE,
  type QueueRegisters as Registers,
  RX_QUEUE,
  TX_QUEUE,
  VFRXDCTL,
  VFTDWBAH,
  VFTDWBAL,
  VFTXDCTL,
} from '../../hw/registers.ts';
import type { ArenaViews } from '../../memory/layout.ts';
import type { Clock } from '../../support/clock.ts';
import type { Silicon } from '../silicon.ts';
import type { PoolTable } from '../tables.ts';
import { EnableBits } from './enable-bits.ts';
import {
  REGISTER_WORDS,
  type RegisterWord,
  type Report,
  readable,
  writableWord,
} from './register-table.ts';

const { ENABLE } = VFRXDCTL.mask;
/** What the low word of a ring's base and its length hold; Linux's `ethtool -t` writes patterns and compares. */
const BASE_BITS = ~(RING_ALIGN - 1);
const LENGTH_BITS = 0xf_ff80;

/** Words that a VF reset sets back: those of pages 1 and 2 not named in docs/82599-vf.md sec 1.3, counters apart. */
const RESET_WORDS: readonly number[] = [...REGISTER_WORDS.values()]
  .filter((word) => word.offset >= PAGE_SIZE && word.offset < 3 * PAGE_SIZE)
  .filter((word) => word.register.access !== 'RO' && !word.register.survivesReset)
  .map((word) => word.offset);

/** What the queue registers of a VF stand on. */
export interface QueueRegisterParts {
  /** Heap byte offset of BAR0. */
  readonly barOffset: number;
  readonly views: () => ArenaViews;
  /** How many queues the PF gives this VF by now, and whether it has them on. */
  readonly pool: PoolTable;
  readonly clock: Clock;
  readonly silicon: Silicon;
  /** RXDCTL.RLPML exists. */
  readonly limitsFrames: boolean;
  readonly report: Report;
}

/** The queue registers of one VF. */
export class QueueRegisters {
  private readonly parts: QueueRegisterParts;
  private readonly pool: PoolTable;
  private readonly report: Report;
  /** Undefined where ENABLE reads as written. */
  private readonly enables: EnableBits | undefined;

  constructor(parts: QueueRegisterParts) {
    const { silicon, clock, pool } = parts;
    this.parts = parts;
    this.pool = pool;
    this.report = parts.report;
    const plain = !silicon.vfteTiesEnable && silicon.enableLagUs === 0;
    this.enables = plain ? undefined : new EnableBits(clock, pool, silicon);
  }

  /** Trapped read. Bits that base and length do not have read 0; the word keeps them, for the check at ENABLE. */
  read(offset: number): number {
    const word = readable(offset, this.report);
    if (word === null) return 0;
    const ring = offset < 2 * PAGE_SIZE ? RX_QUEUE : TX_QUEUE;
    const { ungranted } = this.parts.silicon;
    if (ungranted !== 'kept' && word.index >= this.pool.queues) {
      if (ungranted === 'zero') return 0;
      if (ungranted === 'ones') return ALL_ONES;
      if (word.register === ring.control) return this.load(offset) | ENABLE;
    }
    if (word.register === ring.base) return (this.load(offset) & BASE_BITS) >>> 0;
    if (word.register === ring.length) return this.load(offset) & LENGTH_BITS;
    return this.load(offset);
  }

  /** Trapped write. A store to a head that the device owns is reported and dropped. */
  write(offset: number, value: number): void {
    const word = writableWord(offset, value, this.report);
    if (word === null) return;
    const ring = offset < 2 * PAGE_SIZE ? RX_QUEUE : TX_QUEUE;
    const enabled = (this.load(at(ring.control, word.index)) & ENABLE) !== 0;
    if (word.register === ring.control) {
      if (!enabled && (value & ENABLE) !== 0) this.checkEnable(ring, word, value);
    } else if (word.register === ring.tail) {
      this.checkTail(ring, word, value, enabled);
    } else if (word.register === ring.head) {
      if (enabled) {
        this.report('ring-setup', offset, `${word.name} written while the queue is enabled`);
        return;
      }
      if (value !== 0) this.report('ring-setup', offset, `${word.name}: expected 0, got ${value}`);
    } else if (enabled && (word.register === ring.base || word.register === ring.length)) {
      this.report('ring-setup', offset, `${word.name} written while the queue is enabled`);
    }
    const stored = value & word.known;
    const control = this.enables !== undefined && word.register === ring.control;
    this.store(
      offset,
      control ? this.enables.write(ring, word.index, stored, this.load(offset)) : stored,
    );
  }

  /** Lets ENABLE of each queue become what it is to read as by now. Where it reads as written there is nothing to do. */
  settle(): void {
    if (this.enables === undefined) return;
    for (const ring of [RX_QUEUE, TX_QUEUE]) {
      for (let queue = 0; queue < MAX_QUEUES; queue++) {
        const offset = at(ring.control, queue);
        this.store(offset, this.enables.settled(ring, queue, this.load(offset)));
      }
    }
  }

  /** VFCTRL.RST and FLR, after the engine stopped the queues. */
  reset(): void {
    this.enables?.forget(RX_QUEUE);
    this.enables?.forget(TX_QUEUE);
    for (const offset of RESET_WORDS) this.store(offset, 0);
  }

  /** Clears ENABLE of every tx queue: what the PF does to a VF that was reset. */
  stopTxQueues(): void {
    this.enables?.forget(TX_QUEUE);
    for (let queue = 0; queue < MAX_QUEUES; queue++) {
      const offset = at(VFTXDCTL, queue);
      this.store(offset, this.load(offset) & ~ENABLE);
    }
  }

  /** Zeroes the head write-back addresses: what a Linux PF does at RESET. */
  clearHeadWriteBack(): void {
    for (let queue = 0; queue < MAX_QUEUES; queue++) {
      this.store(at(VFTDWBAL, queue), 0);
      this.store(at(VFTDWBAH, queue), 0);
    }
  }

  private checkEnable(ring: Registers, word: RegisterWord, value: number): void {
    const complain = (detail: string) =>
      this.report('ring-setup', word.offset, `${word.name}: ${detail}`);
    const base = this.load(at(ring.base, word.index));
    const length = this.load(at(ring.length, word.index));
    if (base % RING_ALIGN !== 0) {
      complain(
        `ring base expected a multiple of ${RING_ALIGN}, got low word 0x${base.toString(16)}`,
      );
    }
    if (length === 0 || length % RING_ALIGN !== 0) {
      complain(`ring length expected a positive multiple of ${RING_ALIGN} bytes, got ${length}`);
    }
    if (word.index >= this.pool.queues) {
      complain(`enabled, but the PF gives this VF ${this.pool.queues} queues`);
    }
    const limit = ring === RX_QUEUE && (value & VFRXDCTL.mask.RLPML_EN) !== 0;
    if (limit && !this.parts.limitsFrames) {
      complain('RLPML_EN set, which an 82599 does not have');
    }
  }

  private checkTail(ring: Registers, word: RegisterWord, value: number, enabled: boolean): void {
    const size = this.load(at(ring.length, word.index)) / DESCRIPTOR_SIZE;
    // A doorbell to a ring that a reset of the port took away: no driver can know in time.
    if (size === 0 && !enabled) return;
    if (value !== 0 && value >= size) {
      const detail = `${word.name}: expected 0 to ${size - 1}, got ${value}`;
      this.report('tail-range', word.offset, detail);
    } else if (value !== 0 && !enabled) {
      this.report('ring-setup', word.offset, `${word.name} written before ENABLE was set`);
    }
  }

  private load(offset: number): number {
    return this.parts.views().u32[(this.parts.barOffset + offset) >>> 2];
  }

  private store(offset: number, value: number): void {
    this.parts.views().u32[(this.parts.barOffset + offset) >>> 2] = value;
  }
}
