// A VF behind the kernel's VFIO as a VfioDevice, whichever ABI attached it. Registers are loads and
// stores on the mapped BAR0; everything else is a system call on the device fd, for set-up only.

import { COMMAND_BUS_MASTER, CONFIG_COMMAND } from '../../hw/pci.ts';
import type { Iova, IovaRange } from '../../memory/iova.ts';
import { VfioError } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import type { DmaMapping, VfioDevice } from '../device.ts';
import { BAR0_BYTES, BAR0_PAGES, type WindowArena } from '../user/bar-window.ts';
import { DmaTable } from '../user/dma-table.ts';
import { ERRNO } from './abi.ts';
import type { Attachment } from './attachment.ts';
import { BarMapping } from './bar-mapping.ts';
import {
  connectVectors,
  type DeviceFacts,
  deviceFacts,
  disconnectVectors,
  resetDevice,
} from './device-facts.ts';

const NOT_OFFSET = ~(BAR0_BYTES - 4);
/** A read over PCIe to an 82599 and back is 1 to 2 us. */
const ACCESS_US = 2;

/** See the head of this file. Owns its attachment and its window in the arena. */
export class KernelDevice implements VfioDevice {
  readonly address: string;
  readonly deviceId: number;
  readonly iovaRanges: readonly IovaRange[];
  readonly vectors: number;
  readonly accessUs = ACCESS_US;
  private readonly attachment: Attachment;
  private readonly facts: DeviceFacts;
  private readonly bar: BarMapping;
  /** What this device asked for; the attachment may share it with others. */
  private readonly maps: DmaTable;
  private readonly log: Log;
  private readonly onClose: () => void;
  /** Arena words; long enough for the window, whatever the arena grows to. */
  private readonly heap: Uint32Array;
  /** Arena word index of each page of BAR0; 0 where it is not mapped, and everywhere once closed. */
  private readonly pageWords = new Int32Array(BAR0_PAGES);
  private readonly scratch = new Uint32Array(1);
  private vectorsConnected = false;
  private closed = false;

  /**
   * Takes over an attached device, also when it throws.
   * @param onClose called once, when the device has been given back
   * @throws VfioError where it is no VF of this family, or BAR0 cannot be mapped
   */
  constructor(
    pci: string,
    deviceId: number,
    attachment: Attachment,
    arena: WindowArena,
    log: Log,
    onClose: () => void,
  ) {
    this.address = pci;
    this.deviceId = deviceId;
    this.attachment = attachment;
    this.iovaRanges = attachment.iovaRanges;
    this.log = log;
    this.onClose = onClose;
    try {
      this.facts = deviceFacts(attachment.file);
      this.bar = BarMapping.map(arena, attachment.file, this.facts.bar0);
    } catch (error) {
      attachment.release();
      throw error;
    }
    this.vectors = this.facts.vectors;
    // The kernel knows its own limit of mappings, and says ENOSPC.
    this.maps = new DmaTable(Number.POSITIVE_INFINITY, this.iovaRanges, attachment.file.path);
    this.heap = arena.views.u32;
    for (const [page, offset] of this.bar.pageOffsets.entries()) {
      this.pageWords[page] = offset < 0 ? 0 : offset / 4;
    }
  }

  read32(offset: number): number {
    if ((offset & NOT_OFFSET) !== 0) throw badOffset('read32', offset);
    const word = this.pageWords[offset >> 12];
    // Atomic because V8 deletes a plain load whose value nobody uses, and a flush or a read that clears is one.
    if (word !== 0) return Atomics.load(this.heap, word + ((offset & 0xfff) >> 2));
    this.checkOpen('read32');
    this.transfer('read32', 'pread', this.facts.bar0.fileOffset + offset, 4);
    return this.scratch[0];
  }

  write32(offset: number, value: number): void {
    if ((offset & NOT_OFFSET) !== 0) throw badOffset('write32', offset);
    const word = this.pageWords[offset >> 12];
    if (word !== 0) {
      this.heap[word + ((offset & 0xfff) >> 2)] = value;
      return;
    }
    this.checkOpen('write32');
    this.scratch[0] = value;
    this.transfer('write32', 'pwrite', this.facts.bar0.fileOffset + offset, 4);
  }

  pageOffset(page: number): number {
    this.checkOpen('find BAR0 page');
    const offset = this.bar.pageOffsets[page];
    if (offset === undefined) throw new RangeError(`page: expected 0 to 3, got ${page}`);
    return offset;
  }

  readConfig16(offset: number): number {
    this.checkConfigOffset('readConfig16', offset);
    this.scratch[0] = 0;
    this.transfer('readConfig16', 'pread', this.facts.config.fileOffset + offset, 2);
    return this.scratch[0];
  }

  writeConfig16(offset: number, value: number): void {
    this.checkConfigOffset('writeConfig16', offset);
    this.scratch[0] = value;
    this.transfer('writeConfig16', 'pwrite', this.facts.config.fileOffset + offset, 2);
  }

  mapDma(mapping: DmaMapping): void {
    this.checkOpen('map DMA');
    this.maps.checkMap(mapping);
    this.attachment.map(mapping);
    this.maps.add(mapping.iova, mapping.sizeBytes);
  }

  unmapDma(iova: Iova, sizeBytes: number): void {
    this.checkOpen('unmap DMA');
    this.maps.checkUnmap(iova, sizeBytes);
    this.attachment.unmap(iova, sizeBytes);
    this.maps.remove(iova);
  }

  enableVectors(eventFds: readonly number[]): void {
    this.checkOpen('enable vectors');
    if (eventFds.length > this.vectors) {
      throw new RangeError(`eventFds: expected at most ${this.vectors}, got ${eventFds.length}`);
    }
    for (const fd of eventFds) {
      if (!Number.isInteger(fd) || fd < -1)
        throw new RangeError(`eventfd: expected -1 up, got ${fd}`);
    }
    const wanted = Array.from({ length: this.vectors }, (_, i) => eventFds[i] ?? -1);
    if (wanted.every((fd) => fd < 0)) {
      this.disableVectors();
      return;
    }
    connectVectors(this.attachment.file, wanted);
    this.vectorsConnected = true;
  }

  disableVectors(): void {
    this.checkOpen('disable vectors');
    if (!this.vectorsConnected) return;
    disconnectVectors(this.attachment.file);
    this.vectorsConnected = false;
  }

  reset(): void {
    this.checkOpen('reset');
    if (!this.facts.resettable) {
      const detail = 'expected a device that can be reset, got one that the kernel cannot reset';
      throw new VfioError('reset', ERRNO.EINVAL, this.attachment.file.path, detail);
    }
    // The kernel puts config space back as it was before a reset, so bus mastering is cleared first.
    const command = this.readConfig16(CONFIG_COMMAND);
    this.writeConfig16(CONFIG_COMMAND, command & ~COMMAND_BUS_MASTER);
    resetDevice(this.attachment.file);
  }

  close(): void {
    if (this.closed) return;
    const unmaps = this.maps.entries().map(
      ([iova, sizeBytes]) =>
        () =>
          this.unmapDma(iova as Iova, sizeBytes),
    );
    // 82599-vf.md 9.3 step 8. The reset comes first, so that nothing runs while it is taken apart.
    const steps = [() => this.quiet(), () => this.disableVectors(), ...unmaps];
    for (const step of steps) this.attempt(step);
    this.closed = true;
    this.pageWords.fill(0);
    // The mapping holds the device open too.
    this.attempt(() => this.bar.release());
    this.attempt(() => this.attachment.release());
    this.onClose();
  }

  /** No more DMA, with or without a reset. */
  private quiet(): void {
    if (this.facts.resettable) this.reset();
    else {
      const command = this.readConfig16(CONFIG_COMMAND);
      this.writeConfig16(CONFIG_COMMAND, command & ~COMMAND_BUS_MASTER);
    }
  }

  private attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.log.warn(`${this.address}: close: ${error instanceof Error ? error.message : error}`);
    }
  }

  private transfer(
    operation: string,
    direction: 'pread' | 'pwrite',
    fileOffset: number,
    sizeBytes: number,
  ): void {
    const { fd, path } = this.attachment.file;
    const result = native()[direction](fd, this.scratch, 0, sizeBytes, fileOffset);
    if (result === sizeBytes) return;
    const errno = result < 0 ? -result : ERRNO.EIO;
    throw new VfioError(
      operation,
      errno,
      path,
      `${sizeBytes} bytes at 0x${fileOffset.toString(16)}`,
    );
  }

  private checkConfigOffset(operation: string, offset: number): void {
    this.checkOpen(operation);
    const last = this.facts.config.sizeBytes - 2;
    if (Number.isInteger(offset) && offset >= 0 && offset <= last && offset % 2 === 0) return;
    throw new RangeError(`${operation}: expected an even offset from 0 to ${last}, got ${offset}`);
  }

  private checkOpen(operation: string): void {
    if (!this.closed) return;
    const path = this.attachment.file.path;
    throw new VfioError(operation, ERRNO.EBADFD, path, 'the device is closed');
  }
}

function badOffset(operation: string, offset: number): RangeError {
  return new RangeError(`${operation}: expected a multiple of 4 from 0 to 0x3ffc, got ${offset}`);
}
