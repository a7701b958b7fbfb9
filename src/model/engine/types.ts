// Where the control side of a VF (registers, interrupts, config space, PF) and
// its datapath (descriptor engine, IOMMU, switch) meet. The control side calls
// QueueEngine; the engine calls InterruptSink and reads FunctionState. Words of
// BAR0 pages 1 and 2 are in the heap at barOffset and are read and written there
// by both sides. Types only.

import type { ArenaViews } from '../../memory/layout.ts';
import type { Clock } from '../../support/clock.ts';
import type { Log } from '../../support/log.ts';
import type { SwitchTables } from '../tables.ts';
import type { Recorder } from '../types.ts';

/** The datapath of one VF. */
export interface QueueEngine {
  /** Takes in every earlier store on pages 1 and 2 (enable edges, tails) and brings RDH, TDH and counters up to date there. */
  barrier(): void;
  /**
   * VF reset: stops all queues, clears ENABLE in the BAR's RXDCTL and TXDCTL words, forgets ring state and tx
   * contexts. The registers that survive a reset (82599-vf sec 1.3) keep their values.
   */
  queuesReset(): void;
  /** As VfFunction.dmaMap. */
  dmaMap(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number;
  /** As VfFunction.dmaUnmap. */
  dmaUnmap(iova: number, sizeBytes: number): number;
  /** Drops all maps. */
  dmaClear(): void;
}

/** Where the engine reports interrupt causes, after the write-back that caused them. */
export interface InterruptSink {
  raise(cause: 'rx' | 'tx', queue: number): void;
}

/** What the engine must know of the trapped part of its function. A live object: read it at each step. */
export interface FunctionState {
  /** COMMAND bit 2. While false the function does no DMA: no descriptor is read or written. */
  readonly busMaster: boolean;
  /** VFPSRTYPE; its RQPL says how many queues RSS spreads over. */
  readonly psrtype: number;
}

/** All that an engine gets when its VfDevice makes it. */
export interface EngineContext {
  readonly port: number;
  readonly vf: number;
  /** Heap byte offset of the VF's 16 KiB of BAR0. */
  readonly barOffset: number;
  /** The heap's views as they are now; call it again after the heap may have grown. */
  readonly views: () => ArenaViews;
  readonly tables: SwitchTables;
  readonly interrupts: InterruptSink;
  readonly state: FunctionState;
  readonly recorder: Recorder;
  readonly log: Log;
}

/** Makes the datapath of one VF; VfDevice calls it once, in its constructor. */
export type EngineFactory = (context: EngineContext) => QueueEngine;

/** How a NIC makes a VfDevice (vf/device.ts). Order: tables, VfDevices, then `makePf` (pf/pf.ts) over them. */
export interface VfDeviceOptions {
  readonly port: number;
  readonly vf: number;
  readonly barOffset: number;
  readonly views: () => ArenaViews;
  readonly tables: SwitchTables;
  readonly engine: EngineFactory;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  /** Link of the port, for VFLINKS. */
  readonly linkUp: () => boolean;
  /** Pages 1 and 2 are trapped too (`--trap-all`); default false. */
  readonly trapAll?: boolean;
}
