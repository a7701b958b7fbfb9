// One VF of the model: registers, interrupts, mailbox, config space and queue
// engine put together behind VfFunction, which backends drive, and VfHardware,
// which the PF drives. An access to a trapped page is a barrier: before it returns, the engine has taken in
// every earlier store to the shared pages (docs/design.md, "Shared BAR pages").

import { ALL_ONES, BAR0_SIZE, PAGE_SIZE, VECTORS, VFMRQC } from '../../hw/registers.ts';
import type { ArenaViews } from '../../memory/layout.ts';
import type { Clock } from '../../support/clock.ts';
import type { Recorder } from '../recorder.ts';
import { DEFAULT_SILICON, MAC_TYPES, type MacType, needsTraps, type Silicon } from '../silicon.ts';
import type { PoolTable, SwitchTables } from '../tables.ts';
import type { EngineHost, OwnRss, QueueEngine, VfFunction, VfHardware } from '../types.ts';
import { ConfigSpace } from './config-space.ts';
import { Interrupts } from './interrupts.ts';
import { MailboxBlock } from './mailbox-block.ts';
import { QueueRegisters } from './queue-registers.ts';
import type { Report } from './register-table.ts';
import { VfRegisters } from './registers.ts';

/** How a NIC makes a VF. The tables come first, then the VFs, then the PF over them. */
export interface VfDeviceOptions {
  readonly port: number;
  readonly vf: number;
  /** Heap byte offset of the VF's 16 KiB of BAR0. */
  readonly barOffset: number;
  /** The heap's views as they are now; called again after the heap may have grown. */
  readonly views: () => ArenaViews;
  readonly tables: SwitchTables;
  /** Makes the datapath; called once, in the constructor. */
  readonly engine: (host: EngineHost) => QueueEngine;
  readonly recorder: Recorder;
  readonly clock: Clock;
  /** Link of the port, for VFLINKS. */
  readonly linkUp: () => boolean;
  /** Pages 1 and 2 are trapped too (`--trap-all`); default false. */
  readonly trapAll?: boolean;
  /** Has the MSI-X capability; default true. */
  readonly msix?: boolean;
  /** Which chip of the family; default 82599. */
  readonly macType?: MacType;
  /** What it plays where sources are silent; default DEFAULT_SILICON. */
  readonly silicon?: Silicon;
}

/** One VF. It moves only inside its own methods and by `tick`. */
export class VfDevice implements VfFunction, VfHardware, EngineHost {
  readonly port: number;
  readonly vf: number;
  readonly barOffset: number;
  readonly mailbox: MailboxBlock;
  readonly interrupts: Interrupts;
  readonly engine: QueueEngine;
  present = true;
  readonly recorder: Recorder;
  /** True where pages 1 and 2 are trapped too, so that a backend must not map them. */
  readonly trapAll: boolean;
  readonly limitsFrames: boolean;
  readonly ownRss: OwnRss | undefined;
  private readonly tables: SwitchTables;
  private readonly pool: PoolTable;
  private readonly config: ConfigSpace;
  private readonly registers: VfRegisters;
  private readonly queues: QueueRegisters;
  private readonly report: Report;
  private readonly clock: Clock;
  private readonly silicon: Silicon;
  private readonly views: () => ArenaViews;
  private resetEvent = false;
  /** Until then the function is busy with a reset: it reads all ones and hears nothing. */
  private busyUntilUs = 0;

  constructor(options: VfDeviceOptions) {
    const { port, vf, barOffset, tables, recorder, clock, silicon = DEFAULT_SILICON } = options;
    this.port = port;
    this.vf = vf;
    this.barOffset = barOffset;
    this.recorder = recorder;
    this.clock = clock;
    this.silicon = silicon;
    this.trapAll = options.trapAll === true || needsTraps(silicon);
    this.tables = tables;
    this.pool = tables.pools[vf];
    this.report = (kind, offset, detail) => recorder.violation({ kind, port, vf, offset, detail });
    this.config = new ConfigSpace(
      MAC_TYPES[options.macType ?? '82599'],
      options.msix ?? true,
      () => this.functionReset(),
      () => this.interrupts.tick(),
    );
    this.interrupts = new Interrupts(clock, this);
    const events = {
      interrupt: () => this.interrupts.raiseMisc(),
      violation: (detail: string) => this.report('mailbox-protocol', -1, detail),
    };
    this.mailbox = new MailboxBlock(events, clock, silicon);
    this.limitsFrames = (options.macType ?? '82599') !== '82599';
    if (options.macType === 'x550') this.ownRss = newOwnRss(silicon.staleMrqc);
    this.registers = new VfRegisters({
      interrupts: this.interrupts,
      mailbox: this.mailbox,
      clock,
      linkUp: options.linkUp,
      report: this.report,
      ownRss: this.ownRss,
      softwareReset: () => this.resetVf(),
    });
    const { views } = options;
    this.views = views;
    const { pool, report, limitsFrames } = this;
    this.queues = new QueueRegisters({
      barOffset,
      views,
      pool,
      clock,
      silicon,
      limitsFrames,
      report,
    });
    this.engine = options.engine(this);
  }

  get queueLimit(): number {
    return this.pool.queues;
  }

  get trafficClasses(): number {
    return this.tables.trafficClasses;
  }

  get busMaster(): boolean {
    return this.config.busMaster;
  }

  get psrtype(): number {
    return this.registers.headerSplitTypes;
  }

  /** Lets happen what was to come later: throttled interrupts, RSTD, ENABLE. Call it once a step of the NIC. */
  tick(): void {
    if (!this.present) return;
    this.mailbox.tick();
    this.queues.settle();
    this.interrupts.tick();
  }

  // ---- VfFunction ----

  mmioRead(offset: number): number {
    if (!this.inBar(offset, 'read')) return 0;
    if (this.busy) return ALL_ONES;
    this.barrier();
    if (isQueuePage(offset)) return this.queues.read(offset);
    return this.registers.read(offset);
  }

  mmioWrite(offset: number, value: number): void {
    if (!this.inBar(offset, 'write') || this.busy) return;
    this.barrier();
    if (!isQueuePage(offset)) {
      this.registers.write(offset, value >>> 0);
      return;
    }
    this.queues.write(offset, value >>> 0);
    // Each trapped store is seen by itself: two ENABLE edges never merge.
    this.barrier();
  }

  configRead(offset: number, sizeBytes: number): number {
    return this.busy ? 2 ** (8 * sizeBytes) - 1 : this.config.read(offset, sizeBytes);
  }

  configWrite(offset: number, sizeBytes: number, value: number): void {
    if (this.busy) return;
    this.engine.barrier();
    this.config.write(offset, sizeBytes, value);
  }

  dmaMap(
    iova: number,
    sizeBytes: number,
    heapOffset: number,
    readable: boolean,
    writable: boolean,
  ): number {
    return this.engine.dmaMap(iova, sizeBytes, heapOffset, readable, writable);
  }

  dmaUnmap(iova: number, sizeBytes: number): number {
    this.engine.barrier();
    return this.engine.dmaUnmap(iova, sizeBytes);
  }

  /** @throws RangeError for a vector the function does not have */
  connectVector(vector: number, signal: (() => void) | null): void {
    if (!Number.isInteger(vector) || vector < 0 || vector >= VECTORS) {
      throw new RangeError(
        `connectVector: expected a vector from 0 to ${VECTORS - 1}, got ${vector}`,
      );
    }
    this.engine.barrier();
    const lost = signal !== null && this.silicon.msixLost;
    this.interrupts.connect(vector, lost ? () => {} : signal);
  }

  functionReset(): void {
    this.engine.barrier();
    this.config.reset();
    this.resetVf();
  }

  disconnect(): void {
    this.functionReset();
    // Whoever opens it next finds it ready: the kernel waits for a function between two users.
    this.busyUntilUs = 0;
    this.engine.dmaClear();
    for (let vector = 0; vector < VECTORS; vector++) this.interrupts.connect(vector, null);
  }

  vanish(): void {
    this.disconnect();
    this.present = false;
    this.fillBar(ALL_ONES);
  }

  restore(): void {
    this.fillBar(0);
    this.present = true;
  }

  // ---- VfHardware: what the PF does ----

  takeResetEvent(): boolean {
    if (!this.resetEvent || !this.mailbox.attended) return false;
    this.resetEvent = false;
    return true;
  }

  stopTxQueues(): void {
    if (!this.present) return;
    this.engine.barrier();
    this.queues.stopTxQueues();
    this.engine.barrier();
  }

  clearHeadWriteBack(): void {
    if (!this.present) return;
    this.engine.barrier();
    this.queues.clearHeadWriteBack();
  }

  portReset(): void {
    this.stopQueues();
    this.mailbox.portReset();
    this.interrupts.reset();
  }

  portResetDone(): void {
    this.mailbox.portResetDone();
  }

  // ---- common ----

  /** VFCTRL.RST and VFLR: queues, interrupts, mailbox flags, VFRE and VFTE; the PF sees VFLRE. */
  private resetVf(): void {
    this.stopQueues();
    this.interrupts.reset();
    this.mailbox.functionReset();
    this.resetEvent = true;
    this.busyUntilUs = this.clock.nowUs() + this.silicon.resetLagUs;
  }

  private get busy(): boolean {
    if (!this.present) return true;
    return this.silicon.resetLagUs > 0 && this.clock.nowUs() < this.busyUntilUs;
  }

  private barrier(): void {
    this.queues.settle();
    this.engine.barrier();
  }

  private fillBar(value: number): void {
    const start = this.barOffset >>> 2;
    this.views().u32.fill(value, start, start + BAR0_SIZE / 4);
  }

  private stopQueues(): void {
    if (this.present) {
      this.engine.barrier();
      this.engine.queuesReset();
      this.queues.reset();
    }
    this.pool.rxEnable = false;
    this.pool.txEnable = false;
    this.tables.changed();
  }

  private inBar(offset: number, verb: string): boolean {
    if (offset % 4 === 0 && offset >= 0 && offset < BAR0_SIZE) return true;
    const detail = `${verb} at 0x${offset.toString(16)}: expected a multiple of 4 below 0x4000`;
    this.report('access-mode', offset, detail);
    return false;
  }
}

function isQueuePage(offset: number): boolean {
  return offset >= PAGE_SIZE && offset < 3 * PAGE_SIZE;
}

/** @param stale they hold what a driver before set up: half of the flows go to queue 1 */
function newOwnRss(stale: boolean): OwnRss {
  const { RSSEN, IPV4, IPV4_TCP, IPV6, IPV6_TCP } = VFMRQC.mask;
  return {
    mrqc: stale ? RSSEN | IPV4 | IPV4_TCP | IPV6 | IPV6_TCP : 0,
    key: new Uint32Array(10).fill(stale ? 0x5a6d_5a6d : 0),
    table: new Uint32Array(16).fill(stale ? 0x0100_0100 : 0),
  };
}
