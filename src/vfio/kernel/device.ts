// A VF behind the kernel's VFIO as a VfioDevice, whichever ABI attached it. Registers are loads and
// stores on the mapped BAR0; everything else is a system call on the device fd, for set-up only.

import { COMMAND_BUS_MASTER, CONFIG_COMMAND } from '../../hw/pci.ts';
import type { Iova, IovaRange } from '../../memory/iova.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
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
import {
  connectVectors,
  type DeviceFacts,
  deviceFacts,
  disconnectVectors,
  hasIrq,
  resetDevice,
  setEventFds,
} from './device-facts.ts';
import type { OpenFile } from './ioctl.ts';

/** A device fd whose DMA goes through an IOMMU of ours: type1.ts makes it by group and container, iommufd.ts by the device's own file. */
export interface Attachment {
  /** The device fd; its path is that of the group or of the character device. */
  readonly file: OpenFile;
  readonly iovaRanges: readonly IovaRange[];
  /** Counted: devices of one address space map the same memory once. @throws VfioError */
  map(mapping: DmaMapping): void;
  /** @throws VfioError */
  unmap(iova: number, sizeBytes: number): void;
  /** Closes the device fd and what nothing uses any more. The caller has unmapped what it mapped. */
  release(): void;
}

/** A VF behind the kernel's VFIO. Owns its attachment and its window in the arena. */
export class KernelDevice implements VfioDevice {
  readonly address: string;
  readonly deviceId: number;
  readonly iovaRanges: readonly IovaRange[];
  readonly vectors: number;
  readonly vfioFlags: VfioFlags;
  private readonly attachment: Attachment;
  private readonly facts: DeviceFacts;
  private readonly bar: BarPages;
  private readonly events: HostEvents;
  /** What this device asked for; the attachment may share it with others. */
  private readonly maps: DmaTable;
  private readonly log: Log;
  private readonly onClose: () => void;
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
      const { fileOffset, areas } = this.facts.bar0;
      this.bar = new BarPages(arena, {
        read: (offset) => this.transfer('read32', 'pread', fileOffset + offset, 4),
        write: (offset, value) => {
          this.transfer('write32', 'pwrite', fileOffset + offset, 4, value);
        },
      });
      this.bar.map({ ...attachment.file, fileOffset, areas });
      this.bar.guard();
      const { file } = attachment;
      this.events = new HostEvents(
        (irq) => hasIrq(file, irq),
        (irq, fd) => setEventFds(file, 'await events', irq, [fd]),
        log,
      );
    } catch (error) {
      attachment.release();
      throw error;
    }
    this.vectors = this.facts.vectors;
    this.vfioFlags = { device: this.facts.flags, bar0: this.facts.bar0.flags };
    // The kernel knows its own limit of mappings, and says ENOSPC.
    this.maps = new DmaTable(Number.POSITIVE_INFINITY, this.iovaRanges, attachment.file.path);
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
    const { sizeBytes, fileOffset } = this.facts.config;
    checkConfigOffset('readConfig16', offset, sizeBytes);
    return this.transfer('readConfig16', 'pread', fileOffset + offset, 2);
  }

  writeConfig16(offset: number, value: number): void {
    const { sizeBytes, fileOffset } = this.facts.config;
    checkConfigOffset('writeConfig16', offset, sizeBytes);
    this.transfer('writeConfig16', 'pwrite', fileOffset + offset, 2, value);
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
    const wanted = wantedVectors(eventFds, this.vectors);
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

  takeEvents(): number {
    this.checkOpen('take events');
    return this.events.take();
  }

  reset(): void {
    this.checkOpen('reset');
    if (!this.facts.resettable) {
      const detail = 'expected a device that can be reset, got one that the kernel cannot reset';
      throw new VfioError('reset', ERRNO.EINVAL, this.attachment.file.path, detail);
    }
    // The kernel puts config space back as it was before a reset, so bus mastering is cleared first.
    this.clearBusMaster();
    resetDevice(this.attachment.file);
  }

  close(): void {
    if (this.closed) return;
    const unmaps = this.maps.entries().map(
      ([iova, sizeBytes]) =>
        () =>
          this.unmapDma(iova as Iova, sizeBytes),
    );
    // In the order of docs/82599-vf.md sec 9.3: the reset comes first, so that nothing runs while it is taken apart.
    const steps = [() => this.quiet(), () => this.disableVectors(), ...unmaps];
    for (const step of steps) this.attempt(step);
    this.closed = true;
    // The mapping holds the device open too.
    this.attempt(() => this.bar.release());
    this.attempt(() => this.attachment.release());
    this.events.release();
    this.onClose();
  }

  /** No more DMA, with or without a reset. */
  private quiet(): void {
    if (this.facts.resettable) this.reset();
    else this.clearBusMaster();
  }

  private clearBusMaster(): void {
    const command = this.readConfig16(CONFIG_COMMAND);
    this.writeConfig16(CONFIG_COMMAND, command & ~COMMAND_BUS_MASTER);
  }

  private attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.log.warn(`${this.address}: close: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Reads, or writes `value`, through the device fd. @returns what the bytes hold afterwards */
  private transfer(
    operation: string,
    direction: 'pread' | 'pwrite',
    fileOffset: number,
    sizeBytes: number,
    value = 0,
  ): number {
    this.checkOpen(operation);
    this.scratch[0] = value;
    const { fd, path } = this.attachment.file;
    const result = native()[direction](fd, this.scratch, 0, sizeBytes, fileOffset);
    if (result === sizeBytes) return this.scratch[0];
    const errno = result < 0 ? -result : ERRNO.EIO;
    const detail = `${sizeBytes} bytes at 0x${fileOffset.toString(16)}`;
    throw new VfioError(operation, errno, path, detail);
  }

  private checkOpen(operation: string): void {
    if (!this.closed) return;
    const path = this.attachment.file.path;
    throw new VfioError(operation, ERRNO.EBADFD, path, 'the device is closed');
  }
}
