// ENABLE of the queues where it does not simply read as written: it may follow a
// write late, and it may stay 0 while the PF has the VF's queues off. The word in
// the BAR is what reads give and what the engine goes by; here is what the driver
// asked for. Only where pages 1 and 2 are trapped (../silicon.ts, needsTraps).

import { MAX_QUEUES, type QueueRegisters, RX_QUEUE, VFRXDCTL } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { Silicon } from '../silicon.ts';
import type { PoolTable } from '../tables.ts';

/** Where ENABLE is in VFRXDCTL and in VFTXDCTL. */
const { ENABLE } = VFRXDCTL.mask;

/** What was asked for of the queues of one kind. */
class Wish {
  readonly wanted = new Uint8Array(MAX_QUEUES);
  readonly dueUs = new Float64Array(MAX_QUEUES);
}

/** Which of RXDCTL and TXDCTL's ENABLE bits are to show, and when. */
export class EnableBits {
  private readonly rx = new Wish();
  private readonly tx = new Wish();
  private readonly clock: Clock;
  private readonly pool: PoolTable;
  private readonly silicon: Pick<Silicon, 'enableLagUs' | 'vfteTiesEnable'>;

  constructor(
    clock: Clock,
    pool: PoolTable,
    silicon: Pick<Silicon, 'enableLagUs' | 'vfteTiesEnable'>,
  ) {
    this.clock = clock;
    this.pool = pool;
    this.silicon = silicon;
  }

  /**
   * A control word is written.
   * @param value as written; @param shown the word as it reads now
   * @returns what to store: `value` with ENABLE as it read before, until `settled` says otherwise
   */
  write(kind: QueueRegisters, queue: number, value: number, shown: number): number {
    const wish = this.of(kind);
    const wanted = (value & ENABLE) === 0 ? 0 : 1;
    if (wish.wanted[queue] !== wanted) {
      wish.wanted[queue] = wanted;
      wish.dueUs[queue] = this.clock.nowUs() + this.silicon.enableLagUs;
    }
    return (value & ~ENABLE) | (shown & ENABLE);
  }

  /** @returns `shown` with ENABLE as it is to read by now */
  settled(kind: QueueRegisters, queue: number, shown: number): number {
    const wish = this.of(kind);
    if (this.clock.nowUs() < wish.dueUs[queue]) return shown;
    const { rxEnable, txEnable } = this.pool;
    const held = this.silicon.vfteTiesEnable && !(kind === RX_QUEUE ? rxEnable : txEnable);
    return wish.wanted[queue] !== 0 && !held ? shown | ENABLE : shown & ~ENABLE;
  }

  /** The queues of a kind were stopped by something else than the driver. */
  forget(kind: QueueRegisters): void {
    const wish = this.of(kind);
    wish.wanted.fill(0);
    wish.dueUs.fill(0);
  }

  private of(kind: QueueRegisters): Wish {
    return kind === RX_QUEUE ? this.rx : this.tx;
  }
}
