// The software 82599: ports, VFs, PFs and the datapath between them. It moves only by `step`
// and by what a backend does to a VfFunction; it has no timer and no randomness of its own.
// Frames, counters and limits: README.md of this folder.

import type { ArenaViews } from '../memory/layout.ts';
import { type Clock, readUs } from '../support/clock.ts';
import { type Log, silentLog } from '../support/log.ts';
import type { VfEngine } from './engine/engine.ts';
import { EngineMemory, SCRATCH_BYTES } from './engine/memory.ts';
import { STAGING_BYTES } from './engine/offload/staging.ts';
import { RxEngine } from './engine/rx.ts';
import { TxEngine } from './engine/tx.ts';
import type { TxRate } from './engine/tx-rate.ts';
import { type NicParts, NicPort, type NicPortOptions } from './nic-port.ts';
import type { Pf } from './pf/pf.ts';
import { Cables, type WireContext } from './ports/index.ts';
import { type LatencyCounts, LatencyTracks } from './ports/latency.ts';
import { makePortLoops, type PortLoops } from './ports/loops.ts';
import { Recorder } from './recorder.ts';
import { DEFAULT_SILICON, type MacType, type Silicon } from './silicon.ts';
import type { Ingress, PortCounters, WirePort } from './types.ts';
import type { VfDevice } from './vf/device.ts';

/** BAR0 of one VF. */
const BAR_BYTES = 16_384;
/** Heads and counters reach the BAR words at least this often while frames move. */
const SYNC_US = 2000;
/** The clock is read once in so many steps. */
const CLOCK_STEPS = 64;
/** Counts kept as int32 are taken over before they can wrap: this many of the longest frames stay below 2^31. */
const SYNC_FRAMES = 100_000;

/** The memory a NIC lives in; an Arena is one. */
export interface NicMemory {
  /** Views over it as it is now. */
  readonly views: ArenaViews;
  /** Zeroed memory that no driver sees; @returns its heap byte offset, a multiple of 64. */
  allocateControl(sizeBytes: number): number;
  /** Address space for BAR pages; @returns its heap byte offset, a multiple of 4096. */
  reserveWindow(sizeBytes: number, alignBytes?: number): number;
}

/** How a NIC is made. */
export interface NicOptions {
  /** Each: number of VFs, PF, what is plugged in. */
  readonly ports: readonly NicPortOptions[];
  readonly memory: NicMemory;
  readonly clock: Clock;
  /** For wire ports that draw at random; default 1. */
  readonly seed?: number;
  readonly log?: Log;
  /** All of BAR0 is trapped, so that backends map none of it; default false. */
  readonly trapAll?: boolean;
  /**
   * Heap byte offset of 16 KiB for the BAR of a VF, a multiple of 4096, where the caller wants it in memory that it
   * can share; default: a window of its own in `memory`. It must not be remapped afterwards.
   */
  readonly barWindow?: (port: number, vf: number) => number;
  /** Its VFs have the MSI-X capability; default true. */
  readonly msix?: boolean;
  /** Which chip of the family this is; default 82599. */
  readonly macType?: MacType;
  /** What it plays where sources are silent; default DEFAULT_SILICON. */
  readonly silicon?: Silicon;
  /** Makes `tap:NAME` ports; absent where there are none. */
  readonly openTap?: WireContext['openTap'];
}

/** One VF's counters with its place. */
export interface NicCounters extends PortCounters {
  readonly port: number;
  readonly vf: number;
}

/** A whole NIC: its ports and VFs, moved by `step`. */
export class Nic {
  /** Violations and faults of all VFs. */
  readonly recorder: Recorder;
  private readonly options: NicOptions;
  private readonly ports: NicPort[] = [];
  private readonly engines: VfEngine[] = [];
  private readonly rates: TxRate[] = [];
  private readonly devices: VfDevice[] = [];
  /** Port of each entry of `engines`. */
  private readonly homes: NicPort[] = [];
  private readonly memory: EngineMemory;
  private readonly rx: RxEngine;
  private readonly tx: TxEngine;
  private frameLoops: PortLoops;
  private readonly latencyTracks = new LatencyTracks();
  private turn = 0;
  private sinceSync = 0;
  private steps = 0;
  private readonly now = new Float64Array(1);
  private readonly lastSync = new Float64Array(1);
  private closed = false;

  /** @throws RangeError for a number of VFs outside 1..63, a wrong SPEC or PF setting, or no port */
  constructor(options: NicOptions) {
    const { memory, clock, log = silentLog } = options;
    if (options.ports.length < 1 || options.ports.length > 256) {
      throw new RangeError(`NIC: expected 1 to 256 ports, got ${options.ports.length}`);
    }
    this.options = options;
    this.recorder = new Recorder(log);
    this.memory = new EngineMemory(memory.views, memory.allocateControl(SCRATCH_BYTES));
    this.frameLoops = makePortLoops(memory.views, this.memory.batch);
    this.rx = new RxEngine(this.memory);
    this.tx = new TxEngine(this.memory, memory.allocateControl(STAGING_BYTES));
    readUs(clock, this.lastSync);
    const parts = this.parts(log);
    for (const [index, portOptions] of options.ports.entries()) {
      const port = new NicPort(index, this.engines.length, portOptions, parts);
      this.ports.push(port);
      for (const engine of port.engines) {
        this.engines.push(engine);
        this.homes.push(port);
      }
      this.rates.push(...port.rates);
      this.devices.push(...port.devices);
    }
    parts.cables.warnOfLoose(log);
    this.refreshViews();
  }

  /**
   * Moves the NIC: mailboxes, enable edges, frames from VFs, frames from the wire, interrupts.
   * @param budget frames that each tx queue and each wire port may move at most
   * @returns frames and mailbox messages moved; 0 when there was nothing to do
   */
  step(budget: number): number {
    if (this.options.memory.views.i32 !== this.memory.heap) this.refreshViews();
    const { ports, engines, rates, homes, devices } = this;
    let work = 0;
    // By index throughout: an iterator is garbage wherever V8 does not see through it.
    for (let i = 0; i < ports.length; i++) work += ports[i].step();
    for (let i = 0; i < engines.length; i++) engines[i].poll();
    for (let i = 0; i < ports.length; i++) ports[i].switch.update();
    this.turn = (this.turn + 1) % engines.length;
    for (let k = 0; k < engines.length; k++) {
      const i = (this.turn + k) % engines.length;
      if (homes[i].link) work += rates[i].send(homes[i].switch, budget);
    }
    for (let k = 0; k < ports.length; k++) {
      const port = ports[(this.turn + k) % ports.length];
      if (port.link) work += port.switch.wire.step(budget);
    }
    for (let i = 0; i < engines.length; i++) engines[i].raiseInterrupts();
    for (let i = 0; i < devices.length; i++) devices[i].tick();
    this.syncWhenDue(work);
    return work;
  }

  /**
   * A VF, as a backend drives it.
   * @throws RangeError where there is no such VF
   */
  function(port: number, vf: number): VfDevice {
    const device = this.portAt(port).devices[vf];
    if (device === undefined) {
      const count = this.portAt(port).devices.length;
      throw new RangeError(`port ${port}: expected a VF from 0 to ${count - 1}, got ${vf}`);
    }
    return device;
  }

  /** The PF of a port. @throws RangeError where there is no such port */
  pf(port: number): Pf {
    return this.portAt(port).pf;
  }

  /** Where a wire port offers frames to a port's switch. @throws RangeError where there is no such port */
  ingress(port: number): Ingress {
    return this.portAt(port).switch;
  }

  /** What is plugged into a port. @throws RangeError where there is no such port */
  wirePort(port: number): WirePort {
    return this.portAt(port).switch.wire;
  }

  /** Pulls the cable out of a port, or puts it back: the link of its VFs, and of what is at the other end. */
  setCable(port: number, plugged: boolean): void {
    this.portAt(port).setCable(plugged);
  }

  /** The cable of a port, and the link that its VFs see. @throws RangeError where there is no such port */
  link(port: number): Pick<NicPort, 'cableIn' | 'linkUp'> {
    return this.portAt(port);
  }

  /** Unplugs and closes what a port has, and plugs in a SPEC or a port of the caller's. */
  setWirePort(port: number, wire: string | WirePort): void {
    this.portAt(port).plug(wire);
  }

  /** One row a VF, ports and VFs in order. */
  counters(): NicCounters[] {
    return this.ports.flatMap((port) =>
      port.counters().map((row, vf) => ({ port: port.index, vf, ...row })),
    );
  }

  /** One row a generator that stamps frames. */
  latencies(): LatencyCounts[] {
    return this.latencyTracks.copies();
  }

  /** Takes fresh views of the memory, which may have grown. Done by itself at every step and DMA map. */
  refreshViews(): void {
    const views = this.options.memory.views;
    if (views.i32 !== this.memory.heap) this.frameLoops = makePortLoops(views, this.memory.batch);
    this.memory.refreshViews(views);
    this.rx.refreshViews();
    this.tx.refreshViews();
    for (const port of this.ports) port.switch.refreshViews();
  }

  /** Disconnects every VF and closes the wire ports. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const device of this.devices) device.disconnect();
    for (const port of this.ports) port.switch.wire.close();
  }

  private syncWhenDue(work: number): void {
    this.sinceSync += work;
    if (this.sinceSync === 0) return;
    if (work > 0 && this.sinceSync < SYNC_FRAMES) {
      this.steps++;
      if (this.steps % CLOCK_STEPS !== 0) return;
      readUs(this.options.clock, this.now);
      if (this.now[0] - this.lastSync[0] < SYNC_US) return;
    }
    readUs(this.options.clock, this.lastSync);
    this.sinceSync = 0;
    for (const engine of this.engines) engine.sync();
  }

  private parts(log: Log): NicParts {
    const { memory, clock, seed = 1, trapAll = false, openTap } = this.options;
    const { msix = true, macType = '82599', silicon = DEFAULT_SILICON } = this.options;
    return {
      memory: this.memory,
      rx: this.rx,
      tx: this.tx,
      recorder: this.recorder,
      clock,
      log,
      seed,
      trapAll,
      msix,
      macType,
      silicon,
      cables: new Cables(),
      latencies: this.latencyTracks,
      frameLoops: () => this.frameLoops,
      ...(openTap === undefined ? {} : { openTap }),
      views: () => memory.views,
      allocate: (sizeBytes) => memory.allocateControl(sizeBytes),
      barWindow: this.options.barWindow ?? (() => memory.reserveWindow(BAR_BYTES)),
      refreshViews: () => this.refreshViews(),
    };
  }

  private portAt(port: number): NicPort {
    const found = this.ports[port];
    if (found === undefined) {
      throw new RangeError(`NIC: expected a port from 0 to ${this.ports.length - 1}, got ${port}`);
    }
    return found;
  }
}
