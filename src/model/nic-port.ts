// One port of the software NIC: its VFs, their PF, the switch between them, and what is
// plugged in. Knows which VF has which MAC for the generator and for the counters. Its frames
// are moved by switch/switch.ts and the engine; nic.ts decides when.

import type { Log } from '../support/log.ts';
import { VfEngine } from './engine/engine.ts';
import { LateDma } from './engine/late-dma.ts';
import { type EngineMemory, SCRATCH_BYTES } from './engine/memory.ts';
import type { RxEngine } from './engine/rx.ts';
import type { TxEngine } from './engine/tx.ts';
import { TxRate } from './engine/tx-rate.ts';
import { VF_WORDS } from './layout.ts';
import { Pf } from './pf/pf.ts';
import type { PfOptions } from './pf/types.ts';
import { makePort, type WireContext } from './ports/index.ts';
import type { Recorder } from './recorder.ts';
import type { MacType, Silicon } from './silicon.ts';
import { LOOKUP_BYTES } from './switch/lookup.ts';
import { PortSwitch } from './switch/switch.ts';
import { type MacNumber, macBytes, macNumber, SwitchTables } from './tables.ts';
import type { Ingress, PfPersonality, PortCounters, WirePort } from './types.ts';
import { VfDevice } from './vf/device.ts';

/** VFs a port can have: one pool of 64 is the PF's. */
const MAX_VFS = 63;

/** How a port is made. The PF's settings are as in PfOptions. */
export interface NicPortOptions
  extends Pick<
    PfOptions,
    | 'macs'
    | 'pfMtu'
    | 'trusted'
    | 'portVlans'
    | 'portPriorities'
    | 'trafficClasses'
    | 'defaultClass'
    | 'spoofChecks'
    | 'queryRss'
    | 'trace'
  > {
  /** 1 to 63. */
  readonly vfs: number;
  /** Default linux-6.1. */
  readonly pf?: PfPersonality;
  /** What is plugged in: a SPEC or a port that the caller made and this NIC closes; default `none`. */
  readonly wire?: string | WirePort;
}

/** What all ports of a NIC share: also what the port's wire gets of it. */
export interface NicParts
  extends Pick<
    WireContext,
    'clock' | 'seed' | 'cables' | 'latencies' | 'openTap' | 'views' | 'frameLoops' | 'allocate'
  > {
  readonly memory: EngineMemory;
  readonly rx: RxEngine;
  readonly tx: TxEngine;
  readonly recorder: Recorder;
  readonly log: Log;
  readonly trapAll: boolean;
  readonly msix: boolean;
  readonly macType: MacType;
  readonly silicon: Silicon;
  /** @returns heap byte offset of 16 KiB for the BAR of a VF */
  barWindow(port: number, vf: number): number;
  /** The heap may have grown: brings every view up to date. */
  refreshViews(): void;
}

/**
 * Queues of each VF: 2 in 64 pools, 4 in 32, 8 in 16 pools, which only the DPDK PF uses (docs/82599-vf.md sec 6).
 * One pool is the PF's.
 */
export function queuesPerPool(vfs: number, pf: PfPersonality): number {
  if (vfs > 31) return 2;
  return pf === 'dpdk' && vfs < 16 ? 8 : 4;
}

/** A port with its VFs, PF, switch and wire. */
export class NicPort {
  readonly index: number;
  readonly pf: Pf;
  readonly switch: PortSwitch;
  readonly devices: readonly VfDevice[];
  readonly engines: readonly VfEngine[];
  /** Each engine behind the rate limit of its VF. */
  readonly rates: readonly TxRate[];
  /** Link of the wire at the last step. Without one nothing is sent or received: frames stay in their rings. */
  link = false;
  private readonly parts: NicParts;
  private readonly tables: SwitchTables;
  private readonly macs: readonly Uint8Array[];
  private readonly macNumbers: MacNumber[] = [];
  private macsGeneration = -1;
  private plugged = true;

  /**
   * @param firstSlot number of VFs on the ports before
   * @throws RangeError for a wrong number of VFs, a wrong SPEC or PF setting
   */
  constructor(index: number, firstSlot: number, options: NicPortOptions, parts: NicParts) {
    const { vfs, pf = 'linux-6.1', wire = 'none' } = options;
    if (!Number.isInteger(vfs) || vfs < 1 || vfs > MAX_VFS) {
      throw new RangeError(`port ${index}: expected 1 to ${MAX_VFS} VFs, got ${vfs}`);
    }
    this.index = index;
    this.parts = parts;
    const { hideVlan = parts.macType === 'x550' } = parts.silicon;
    this.tables = new SwitchTables(vfs, queuesPerPool(vfs, pf), hideVlan);
    this.macs = Array.from({ length: vfs }, () => new Uint8Array(6));
    const blocks = parts.allocate(vfs * VF_WORDS * 4) >>> 2;
    const engines: VfEngine[] = [];
    this.devices = Array.from({ length: vfs }, (_, vf) =>
      this.makeDevice(vf, firstSlot, blocks, engines),
    );
    this.engines = engines;
    this.rates = engines.map(
      (engine, vf) => new TxRate(engine, this.tables.pools[vf], parts.clock),
    );
    this.switch = new PortSwitch(
      {
        memory: parts.memory,
        rx: parts.rx,
        tables: this.tables,
        lookupOffset: parts.allocate(LOOKUP_BYTES),
        scratchOffset: parts.allocate(SCRATCH_BYTES),
        firstVf: blocks,
        vfs,
        assignedTo: (mac) => this.assignedTo(mac),
      },
      (ingress) => this.makeWire(wire, ingress),
    );
    this.pf = new Pf(pf, {
      ...options,
      port: index,
      functions: this.devices,
      tables: this.tables,
      macType: parts.macType,
      linkUp: () => this.wireUp,
    });
  }

  /** False while the cable is pulled out of the port. */
  get cableIn(): boolean {
    return this.plugged;
  }

  /** What VFLINKS says: the wire has a link, and the PF is up. */
  get linkUp(): boolean {
    return this.pf.up && this.wireUp;
  }

  /** Pulls the cable out of the port, or puts it back. Frames wait where they are until then. */
  setCable(plugged: boolean): void {
    if (plugged === this.plugged) return;
    this.switch.wire.setPlugged?.(plugged);
    this.plugged = plugged;
  }

  /**
   * Looks at the link, and lets the PF move.
   * @returns messages and events that the PF handled
   */
  step(): number {
    this.link = this.wireUp;
    return this.pf.step();
  }

  /** Unplugs and closes what was there, and plugs something else in. */
  plug(wire: string | WirePort): void {
    this.switch.wire.close();
    this.switch.wire = this.makeWire(wire, this.switch);
    this.plugged = true;
  }

  /** The counters of each VF of this port. */
  counters(): PortCounters[] {
    return this.engines.map((engine, vf) => {
      const row: PortCounters = {
        offered: 0,
        delivered: 0,
        missedNoDescriptor: 0,
        missedDisabled: 0,
        spoofed: 0,
        filtered: 0,
        iommuFaults: 0,
        sinkReceived: 0,
        sinkGaps: 0,
        sinkDuplicates: 0,
        sinkCorrupt: 0,
        skipped: 0,
        unwritten: 0,
      };
      engine.addCounters(row);
      this.switch.wire.addCounters(vf, row);
      return row;
    });
  }

  /** Present MAC of a VF, as WireContext.vfMac: the one the PF assigned, or the first the VF set. */
  vfMac(vf: number): Uint8Array {
    if (this.macsGeneration !== this.tables.generation) this.updateMacs();
    return this.macs[vf];
  }

  private makeDevice(vf: number, firstSlot: number, blocks: number, engines: VfEngine[]): VfDevice {
    const { parts, index, tables } = this;
    return new VfDevice({
      port: index,
      vf,
      barOffset: parts.barWindow(index, vf),
      views: parts.views,
      tables,
      engine: (host) => {
        const { memory, tx, clock, refreshViews } = parts;
        const { lateDmaUs } = parts.silicon;
        const late = lateDmaUs > 0 ? new LateDma(memory, clock, lateDmaUs) : undefined;
        const block = blocks + vf * VF_WORDS;
        const slot = firstSlot + vf;
        const engine = new VfEngine(host, { memory, tx, block, slot, late, refreshViews });
        engines.push(engine);
        return engine;
      },
      recorder: parts.recorder,
      clock: parts.clock,
      linkUp: () => this.linkUp,
      trapAll: parts.trapAll,
      msix: parts.msix,
      macType: parts.macType,
      silicon: parts.silicon,
    });
  }

  private get wireUp(): boolean {
    return this.plugged && this.switch.wire.linkUp;
  }

  private makeWire(wire: string | WirePort, ingress: Ingress): WirePort {
    if (typeof wire !== 'string') return wire;
    const { parts, index } = this;
    return makePort(wire, {
      ...parts,
      port: index,
      vfs: this.tables.pools.length,
      ingress,
      batch: parts.memory.batch,
      vfMac: (vf) => this.vfMac(vf),
      onError: (message) => parts.recorder.failure(`port ${index}: ${message}`),
    });
  }

  private updateMacs(): void {
    this.macsGeneration = this.tables.generation;
    for (let vf = 0; vf < this.macs.length; vf++) {
      this.macs[vf].set(this.pf.adminMac(vf) ?? macBytes(this.tables.macsOf(vf)[0] ?? 0));
      this.macNumbers[vf] = macNumber(this.macs[vf]);
    }
  }

  private assignedTo(mac: MacNumber): number {
    if (this.macsGeneration !== this.tables.generation) this.updateMacs();
    return mac === 0 ? -1 : this.macNumbers.indexOf(mac);
  }
}
