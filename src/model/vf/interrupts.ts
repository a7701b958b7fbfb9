// The interrupt block of one VF: causes, masks, vector map, auto-clear,
// auto-mask and throttling. docs/82599-vf.md sec 8. Bit n is MSI-X vector n. Time is
// handed in; nothing fires by itself between calls.

import { IVAR_VALID, VECTORS, VTEICR, VTEITR } from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import type { EngineHost } from '../types.ts';

const CAUSES = VTEICR.mask.CAUSE;
/** One step of VTEITR.INTERVAL at 1G and 10G, microseconds. */
const INTERVAL_UNIT_US = 2.048;

/** Interrupt registers and message sending of one VF. */
export class Interrupts {
  /** VTEIAC, VTEIAM: plain registers. */
  autoClear = 0;
  autoMask = 0;
  /** VTIVAR(0..3), VTIVAR_MISC, VTRSCINT: plain registers. */
  readonly vectorMap = new Uint32Array(4);
  miscVector = 0;
  readonly coalescing = new Uint32Array(VECTORS);
  private readonly throttle = new Uint32Array(VECTORS);
  private causes = 0;
  private enabled = 0;
  /** Vectors that owe a message: their cause came, or they were unmasked with a cause pending. */
  private owed = 0;
  private readonly earliestUs = new Float64Array(VECTORS);
  private readonly signals: ((() => void) | null)[] = new Array(VECTORS).fill(null);
  private readonly clock: Clock;
  private readonly state: Pick<EngineHost, 'busMaster'>;

  constructor(clock: Clock, state: Pick<EngineHost, 'busMaster'>) {
    this.clock = clock;
    this.state = state;
  }

  /** VTEIMS as it reads. */
  get mask(): number {
    return this.enabled;
  }

  raise(cause: 'rx' | 'tx', queue: number): void {
    const shift = 16 * (queue & 1) + (cause === 'tx' ? 8 : 0);
    this.raiseMapped((this.vectorMap[queue >> 1] >>> shift) & 0xff);
  }

  /** Mailbox and reset indications: VTIVAR_MISC. */
  raiseMisc(): void {
    this.raiseMapped(this.miscVector & 0xff);
  }

  /** Read of VTEICR: it clears. */
  readCauses(): number {
    const value = this.causes;
    this.clearCauses(CAUSES);
    return value;
  }

  /** Write of VTEICR: ones clear. */
  clearCauses(bits: number): void {
    this.causes &= ~bits;
    this.owed &= ~bits;
  }

  /** Write of VTEICS: ones are causes. */
  setCauses(bits: number): void {
    this.causes |= bits & CAUSES;
    this.owed |= bits & CAUSES;
    this.send();
  }

  /** Write of VTEIMS: ones enable; a cause that waited fires now. */
  enable(bits: number): void {
    this.enabled |= bits & CAUSES;
    this.owed |= this.causes & bits;
    this.send();
  }

  /** Write of VTEIMC: ones disable. */
  disable(bits: number): void {
    this.enabled &= ~bits;
  }

  readThrottle(vector: number): number {
    return this.throttle[vector];
  }

  /** Write of VTEITR; CNT_WDIS leaves the running wait alone and reads as 0. */
  writeThrottle(vector: number, value: number): void {
    this.throttle[vector] = value & ~VTEITR.mask.CNT_WDIS;
    if ((value & VTEITR.mask.CNT_WDIS) === 0) this.earliestUs[vector] = 0;
  }

  /** Where to signal a vector; null disconnects: its messages then wait, as in a masked vector's pending bit. */
  connect(vector: number, signal: (() => void) | null): void {
    this.signals[vector] = signal;
    this.tick();
  }

  /** Sends what is due: throttled messages whose wait is over, or all after bus mastering came back. */
  tick(): void {
    if (this.owed !== 0) this.send();
  }

  /** VFCTRL.RST, FLR and port reset: all registers of this block. Connections are the host's and stay. */
  reset(): void {
    this.causes = 0;
    this.enabled = 0;
    this.owed = 0;
    this.autoClear = 0;
    this.autoMask = 0;
    this.miscVector = 0;
    this.vectorMap.fill(0);
    this.coalescing.fill(0);
    this.throttle.fill(0);
    this.earliestUs.fill(0);
  }

  private raiseMapped(entry: number): void {
    if ((entry & IVAR_VALID) === 0) return;
    const bit = (1 << (entry & ~IVAR_VALID)) & CAUSES;
    // A cause that is already set sends no second message (edge, as QEMU's sibling model).
    if ((this.causes & bit) !== 0) return;
    this.causes |= bit;
    this.owed |= bit;
    this.send();
  }

  private send(): void {
    const ready = this.owed & this.enabled;
    if (ready === 0 || !this.state.busMaster) return;
    const nowUs = this.clock.nowUs();
    for (let vector = 0; vector < VECTORS; vector++) {
      const bit = 1 << vector;
      const signal = this.signals[vector];
      if ((ready & bit) === 0 || signal === null) continue;
      if (nowUs < this.earliestUs[vector]) continue;
      this.owed &= ~bit;
      if ((this.autoClear & bit) !== 0) this.causes &= ~bit;
      if ((this.autoMask & bit) !== 0) this.enabled &= ~bit;
      const { mask, shift } = VTEITR;
      const interval = (this.throttle[vector] & mask.INTERVAL) >>> shift.INTERVAL;
      this.earliestUs[vector] = nowUs + interval * INTERVAL_UNIT_US;
      signal();
    }
  }
}
