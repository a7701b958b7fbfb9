// What a VF's datapath counted, in total, and in its statistics registers. The loops count in 32-bit
// words of the VF block (C_*), which are taken over here before they wrap. docs/82599-vf.md sec 2.5.

import {
  VFGORC_LSB,
  VFGORC_MSB,
  VFGOTC_LSB,
  VFGOTC_MSB,
  VFGPRC,
  VFGPTC,
  VFMPRC,
} from '../../hw/registers.ts';
import {
  C_DISABLED,
  C_FAULTS,
  C_FILTERED,
  C_NO_DESCRIPTOR,
  C_RX_MULTICAST,
  C_RX_OCTETS,
  C_RX_PACKETS,
  C_SPOOFED,
  C_TX_OCTETS,
  C_TX_PACKETS,
  COUNTERS,
  Q_COUNTED,
  Q_PACKETS,
  V_COUNTERS,
} from '../layout.ts';
import type { PortCounters } from '../types.ts';
import type { EngineMemory } from './memory.ts';

const TWO_32 = 2 ** 32;

/** Totals of one VF, and its statistics registers. */
export class VfCounters {
  private readonly memory: EngineMemory;
  private readonly v: number;
  private readonly bar: number;
  private readonly totals = new Float64Array(COUNTERS);

  /** @param v heap word of the VF block; @param bar heap word of BAR0 */
  constructor(memory: EngineMemory, v: number, bar: number) {
    this.memory = memory;
    this.v = v;
    this.bar = bar;
  }

  /** Takes an rx queue's own count over into the totals. */
  takePackets(q: number): void {
    const h = this.memory.heap;
    const packets = h[q + Q_PACKETS];
    const index = C_RX_PACKETS - V_COUNTERS;
    const delta = (packets - h[q + Q_COUNTED]) | 0;
    this.totals[index] = this.totals[index] + delta;
    h[q + Q_COUNTED] = packets;
  }

  /** Takes over what was counted, and brings the registers up to date. */
  sync(): void {
    const h = this.memory.heap;
    let moved = 0;
    for (let i = 0; i < COUNTERS; i++) {
      const delta = h[this.v + V_COUNTERS + i];
      if (delta === 0) continue;
      moved++;
      this.totals[i] = this.totals[i] + delta;
      h[this.v + V_COUNTERS + i] = 0;
    }
    if (moved === 0) return;
    // Octets move with every frame, so `moved` stands for packets too.
    this.store(VFGPRC.offset, this.low(C_RX_PACKETS));
    this.store(VFGORC_LSB.offset, this.low(C_RX_OCTETS));
    this.store(VFGORC_MSB.offset, this.high(C_RX_OCTETS));
    this.store(VFMPRC.offset, this.low(C_RX_MULTICAST));
    this.store(VFGPTC.offset, this.low(C_TX_PACKETS));
    this.store(VFGOTC_LSB.offset, this.low(C_TX_OCTETS));
    this.store(VFGOTC_MSB.offset, this.high(C_TX_OCTETS));
  }

  /** Adds what the VF delivered and lost. */
  addTo(counters: PortCounters): void {
    counters.delivered += this.total(C_RX_PACKETS);
    counters.missedNoDescriptor += this.total(C_NO_DESCRIPTOR);
    counters.missedDisabled += this.total(C_DISABLED);
    counters.spoofed += this.total(C_SPOOFED);
    counters.filtered += this.total(C_FILTERED);
    counters.iommuFaults += this.total(C_FAULTS);
  }

  private total(counter: number): number {
    return this.totals[counter - V_COUNTERS];
  }

  // Integers between functions: a double would be an object wherever V8 does not inline the call.

  /** Bits 31:0. */
  private low(counter: number): number {
    return this.totals[counter - V_COUNTERS] | 0;
  }

  /** Bits 35:32. */
  private high(counter: number): number {
    return Math.floor(this.totals[counter - V_COUNTERS] / TWO_32) & 0xf;
  }

  private store(offset: number, value: number): void {
    this.memory.heap[this.bar + (offset >> 2)] = value;
  }
}
