// A VF behind a vfio-user server (our model, or another's) as a VfioDevice. Set-up here, register
// access by message in register-access.ts, messages in protocol.ts. The server is another process
// that may be wrong, silent or gone, which connection.ts finds out. It is not given a second
// connection: a lost device stays lost, and whoever needs it opens it again.

import type { Iova, IovaRange } from '../../memory/iova.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { type Log, silentLog } from '../../support/log.ts';
import { BarPages, type WindowArena } from '../bar-pages.ts';
import {
  checkConfigOffset,
  type DmaMapping,
  type VfioDevice,
  type VfioFlags,
  wantedVectors,
} from '../device.ts';
import { DmaTable } from '../dma-table.ts';
import { HostEvents } from '../events.ts';
import { mapBarFile } from './bar-file.ts';
import { Connection, checkedTimeout } from './connection.ts';
import { connectSocket, type Exchange } from './exchange.ts';
import { irqCount, negotiate, type ServerFacts } from './negotiate.ts';
import {
  COMMAND,
  checkDmaUnmapReply,
  checkEmpty,
  encodeDmaMapCommand,
  encodeDmaUnmapCommand,
  encodeResetCommand,
  encodeSetIrqsCommand,
  IRQ,
  IRQ_ACTION,
  IRQ_DATA,
  NO_BOOLS,
  REGION,
  vectorRuns,
} from './protocol.ts';
import { readRegion, writeRegion } from './register-access.ts';

/** What a device address of this backend starts with. */
export const ADDRESS_PREFIX = 'vfio-user:';

/** How to open a device. */
export interface VfioUserOptions {
  /** Deadline of one request, ms, 1 to 2**31-1. Default 5000. */
  readonly timeoutMs?: number;
  /** Deadline of all requests together until `started`, ms. Default: there is none. */
  readonly startMs?: number;
  readonly log?: Log;
}

/** A model that is started on a busy machine opens within a second. */
const START_MS = 10_000;
/** The steps of a close are many, and each would wait for its own deadline. */
const CLOSE_MS = 5000;

/** What Iova can hold; the protocol itself names no ranges. */
const IOVA_RANGES: readonly IovaRange[] = [{ first: 0, last: 2 ** 39 - 1 }];

/** A VF that a vfio-user server has. Owns its connection and its window in the arena. */
export class VfioUserDevice implements VfioDevice {
  readonly address: string;
  readonly deviceId: number;
  readonly iovaRanges = IOVA_RANGES;
  readonly vectors: number;
  readonly vfioFlags: VfioFlags;
  private readonly connection: Connection;
  private readonly facts: ServerFacts;
  private readonly bar: BarPages;
  private readonly events: HostEvents;
  private readonly maps: DmaTable;
  private readonly log: Log;
  /** Vectors that have an eventfd now. */
  private readonly connected: boolean[];
  private closed = false;

  private constructor(
    address: string,
    connection: Connection,
    facts: ServerFacts,
    arena: WindowArena,
    log: Log,
  ) {
    this.address = address;
    this.connection = connection;
    this.facts = facts;
    this.bar = new BarPages(arena, {
      read: (offset) => readRegion(connection, REGION.BAR0, 'BAR0', offset, 4),
      write: (offset, value) => writeRegion(connection, REGION.BAR0, 'BAR0', offset, 4, value),
    });
    this.deviceId = facts.deviceId;
    this.vectors = facts.vectors;
    this.vfioFlags = facts.flags;
    this.maps = new DmaTable(facts.capabilities.maxDmaMaps, IOVA_RANGES, connection.path);
    this.connected = new Array<boolean>(facts.vectors).fill(false);
    this.log = log;
    mapBarFile(this.bar, facts.bar0, log);
    connection.onEnd = () => this.bar.trapAll();
    this.events = new HostEvents(
      (irq) => irq < facts.irqs && irqCount(connection, 'query events', irq) > 0,
      (irq, fd) => this.setIrqs('await events', irq, 0, 1, IRQ_DATA.EVENTFD, [fd]),
      log,
    );
  }

  /**
   * Connects to "vfio-user:/path/to.sock".
   * @throws VfioError that says what to do: no server, VF already taken, no permission, path too long, not a VF
   * @throws RangeError for another kind of address or a bad option
   */
  static connect(
    address: string,
    arena: WindowArena,
    options: VfioUserOptions = {},
  ): VfioUserDevice {
    const path = address.slice(ADDRESS_PREFIX.length);
    if (!address.startsWith(ADDRESS_PREFIX) || path === '' || path.includes('\0')) {
      throw new RangeError(`device address: expected ${ADDRESS_PREFIX}/path, got "${address}"`);
    }
    const exchange = connectSocket(path, checkedTimeout(options.timeoutMs));
    return VfioUserDevice.over(exchange, address, arena, { startMs: START_MS, ...options });
  }

  /**
   * The same over a transport that the caller made, which is the device's from now on, also when this throws.
   * @param address what the device calls itself; messages show it without its prefix
   */
  static over(
    exchange: Exchange,
    address: string,
    arena: WindowArena,
    options: VfioUserOptions = {},
  ): VfioUserDevice {
    const log = options.log ?? silentLog;
    const path = address.startsWith(ADDRESS_PREFIX)
      ? address.slice(ADDRESS_PREFIX.length)
      : address;
    let connection: Connection;
    try {
      connection = new Connection(exchange, path, checkedTimeout(options.timeoutMs));
    } catch (error) {
      exchange.close();
      throw error;
    }
    if (options.startMs !== undefined) connection.limited('start', options.startMs);
    try {
      return new VfioUserDevice(address, connection, negotiate(connection), arena, log);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The start is over: every request has its own deadline only. */
  started(): void {
    this.connection.unlimited();
  }

  read32(offset: number): number {
    return this.bar.read32(offset);
  }

  write32(offset: number, value: number): void {
    this.bar.write32(offset, value);
  }

  pageOffset(page: number): number {
    this.checkOpen('find BAR0 page');
    return this.bar.pageOffset(page);
  }

  readConfig16(offset: number): number {
    checkConfigOffset('readConfig16', offset, this.facts.configBytes);
    return readRegion(this.connection, REGION.CONFIG, 'config', offset, 2);
  }

  writeConfig16(offset: number, value: number): void {
    checkConfigOffset('writeConfig16', offset, this.facts.configBytes);
    writeRegion(this.connection, REGION.CONFIG, 'config', offset, 2, value);
  }

  mapDma(mapping: DmaMapping): void {
    this.checkOpen('map DMA');
    this.maps.checkMap(mapping);
    const { iova, sizeBytes, fdOffset } = mapping;
    const command = { readable: true, writable: true, fdOffset, iova, sizeBytes };
    this.connection.request(
      'map DMA',
      COMMAND.DMA_MAP,
      (out, id) => encodeDmaMapCommand(out, id, command),
      checkEmpty,
      Int32Array.of(mapping.fd),
      1,
    );
    this.maps.add(iova, sizeBytes);
  }

  unmapDma(iova: Iova, sizeBytes: number): void {
    this.checkOpen('unmap DMA');
    this.maps.checkUnmap(iova, sizeBytes);
    this.sendUnmap(iova, sizeBytes);
  }

  enableVectors(eventFds: readonly number[]): void {
    this.checkOpen('enable vectors');
    const wanted = wantedVectors(eventFds, this.vectors);
    for (const run of vectorRuns(wanted, this.connected, this.facts.capabilities.maxMessageFds)) {
      this.setIrqs('enable vectors', IRQ.MSIX, run.start, run.count, IRQ_DATA.EVENTFD, run.fds);
      this.connected.fill(run.fds.length > 0, run.start, run.start + run.count);
    }
  }

  disableVectors(): void {
    this.checkOpen('disable vectors');
    this.setIrqs('disable vectors', IRQ.MSIX, 0, 0, IRQ_DATA.NONE, []);
    this.connected.fill(false);
  }

  takeEvents(): number {
    this.checkOpen('take events');
    return this.events.take();
  }

  reset(): void {
    this.checkOpen('reset');
    if (!this.facts.resettable) {
      const detail = 'expected a device that can be reset, got one whose server cannot';
      throw new VfioError('reset', ERRNO.EINVAL, this.connection.path, detail);
    }
    this.connection.request('reset', COMMAND.DEVICE_RESET, encodeResetCommand, checkEmpty);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.connection.limited('close', CLOSE_MS);
    // Hanging up alone would not do: the server notices that later, and writes to memory until then.
    for (const step of this.closingSteps()) {
      if (!this.connection.usable) break;
      try {
        step();
      } catch (error) {
        this.log.warn(`${this.address}: close: ${error instanceof Error ? error.message : error}`);
      }
    }
    this.connection.close();
    this.events.release();
    this.bar.release();
  }

  private closingSteps(): readonly (() => void)[] {
    const steps = this.maps.entries().map(
      ([iova, size]) =>
        () =>
          this.sendUnmap(iova, size),
    );
    steps.unshift(() => this.setIrqs('disable vectors', IRQ.MSIX, 0, 0, IRQ_DATA.NONE, []));
    const reset = () =>
      this.connection.request('reset', COMMAND.DEVICE_RESET, encodeResetCommand, checkEmpty);
    if (this.facts.resettable) steps.unshift(() => void reset());
    return steps;
  }

  private sendUnmap(iova: number, sizeBytes: number): void {
    const command = { all: false, iova, sizeBytes };
    this.connection.request(
      'unmap DMA',
      COMMAND.DMA_UNMAP,
      (out, id) => encodeDmaUnmapCommand(out, id, command),
      (reply, fdCount) => checkDmaUnmapReply(reply, fdCount, command),
    );
    this.maps.remove(iova);
  }

  private setIrqs(
    operation: string,
    index: number,
    start: number,
    count: number,
    data: number,
    fds: readonly number[],
  ): void {
    const command = {
      index,
      start,
      count,
      data,
      action: IRQ_ACTION.TRIGGER,
      bools: NO_BOOLS,
    };
    this.connection.request(
      operation,
      COMMAND.DEVICE_SET_IRQS,
      (out, id) => encodeSetIrqsCommand(out, id, command),
      checkEmpty,
      Int32Array.from(fds),
      fds.length,
    );
  }

  private checkOpen(operation: string): void {
    if (this.closed) {
      throw new VfioError(operation, ERRNO.EBADFD, this.connection.path, 'the device is closed');
    }
  }
}
