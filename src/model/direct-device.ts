// The in-process backend: a VfioDevice straight on the model's VfFunction, with
// no socket between. After each trapped access it lets the model move, so that a
// driver that waits for the PF in this one thread gets its answer. Contracts:
// src/vfio/device.ts.

import { CONFIG_DEVICE_ID } from '../hw/pci.ts';
import { ALL_ONES, PAGE_SIZE, VECTORS } from '../hw/registers.ts';
import { formatRanges, type Iova, type IovaRange, rangesHold } from '../memory/iova.ts';
import { VfioError } from '../support/errors.ts';
import { ERRNO } from '../support/linux.ts';
import { native } from '../support/native.ts';
import { DEVICE_EVENT, type DmaMapping, type VfioDevice } from '../vfio/device.ts';
import type { VfFunction } from './types.ts';

/** What x86 with an IOMMU of 39 bits offers: all but the MSI window. */
const RANGES: readonly IovaRange[] = [
  { first: 0, last: 0xfedf_ffff },
  { first: 0xfef0_0000, last: 2 ** 39 - 1 },
];
const DMA_PAGE = 4096;

/** How a DirectDevice is made. */
export interface DirectDeviceOptions {
  /** Such as "model:0.1". */
  readonly address: string;
  /** `trapAll`, as VfDevice has it: no page may be mapped, every access goes through the function. */
  readonly function: VfFunction & { readonly trapAll?: boolean };
  /** Called after each trapped access, reset and config write: a small step of the NIC. */
  readonly advance: () => void;
  /** Called once by close(), after the function was disconnected. */
  readonly onClose?: () => void;
  /** Called by vanish(), after the function was disconnected: makes the BAR pages that are shared read all ones. */
  readonly onVanish?: () => void;
}

/** A VF of a model in this process, as the driver sees a device. */
export class DirectDevice implements VfioDevice {
  readonly address: string;
  readonly deviceId: number;
  readonly iovaRanges = RANGES;
  readonly vectors = VECTORS;
  private readonly options: DirectDeviceOptions;
  private readonly mapped: boolean;
  private closed = false;
  private gone = false;
  /** Bits of DEVICE_EVENT that nobody took yet. */
  private events = 0;
  /** The host waits for the device. */
  private awaited = false;

  constructor(options: DirectDeviceOptions) {
    this.options = options;
    this.address = options.address;
    this.deviceId = options.function.configRead(CONFIG_DEVICE_ID, 2);
    this.mapped = !(options.function.trapAll ?? false);
  }

  read32(offset: number): number {
    const target = this.open('read a register');
    if (this.gone) return ALL_ONES;
    const value = target.mmioRead(offset);
    this.options.advance();
    return value >>> 0;
  }

  write32(offset: number, value: number): void {
    const target = this.open('write a register');
    if (this.gone) return;
    target.mmioWrite(offset, value >>> 0);
    this.options.advance();
  }

  pageOffset(page: number): number {
    const target = this.open('map a BAR page');
    if (!Number.isInteger(page) || page < 0 || page > 3) {
      throw new RangeError(`pageOffset: expected a page from 0 to 3, got ${page}`);
    }
    return this.mapped && (page === 1 || page === 2) ? target.barOffset + page * PAGE_SIZE : -1;
  }

  readConfig16(offset: number): number {
    const target = this.open('read config space');
    return this.gone ? 0xffff : target.configRead(offset, 2);
  }

  writeConfig16(offset: number, value: number): void {
    const target = this.open('write config space');
    if (this.gone) return;
    target.configWrite(offset, 2, value);
    this.options.advance();
  }

  mapDma(mapping: DmaMapping): void {
    const target = this.open('map DMA');
    const { iova, sizeBytes } = mapping;
    const bad = (detail: string) => new VfioError('map DMA', ERRNO.EINVAL, this.address, detail);
    if (iova % DMA_PAGE !== 0 || sizeBytes % DMA_PAGE !== 0 || sizeBytes <= 0) {
      throw bad(`expected IOVA and size as multiples of 4096, got ${describe(iova, sizeBytes)}`);
    }
    if (!rangesHold(RANGES, iova, sizeBytes)) {
      throw bad(`${describe(iova, sizeBytes)} expected inside ${formatRanges(RANGES)}`);
    }
    const result = target.dmaMap(iova, sizeBytes, mapping.offset, true, true);
    if (result < 0) {
      throw new VfioError('map DMA', -result, this.address, describe(iova, sizeBytes));
    }
  }

  unmapDma(iova: Iova, sizeBytes: number): void {
    const target = this.open('unmap DMA');
    // A function that vanished took its mappings with it.
    if (this.gone) return;
    const result = target.dmaUnmap(iova, sizeBytes);
    if (result > 0) return;
    const errno = result === 0 ? ERRNO.ENOENT : -result;
    throw new VfioError('unmap DMA', errno, this.address, describe(iova, sizeBytes));
  }

  enableVectors(eventFds: readonly number[]): void {
    const target = this.open('enable vectors');
    if (eventFds.length > VECTORS) {
      throw new RangeError(
        `enableVectors: expected at most ${VECTORS} fds, got ${eventFds.length}`,
      );
    }
    for (const fd of eventFds) {
      if (!Number.isInteger(fd) || fd < -1) {
        throw new RangeError(`enableVectors: expected an fd or -1, got ${fd}`);
      }
    }
    for (let vector = 0; vector < VECTORS; vector++) {
      const fd = eventFds[vector] ?? -1;
      // A full counter (EAGAIN) means the reader is behind and will look anyway.
      target.connectVector(vector, fd < 0 ? null : () => void native().eventfdSignal(fd));
    }
  }

  disableVectors(): void {
    const target = this.open('disable vectors');
    for (let vector = 0; vector < VECTORS; vector++) target.connectVector(vector, null);
  }

  takeEvents(): number {
    this.open('take events');
    const { events } = this;
    this.events = 0;
    return events;
  }

  reset(): void {
    const target = this.open('reset');
    if (this.awaited) {
      const detail = 'the host waits for the device to be given back; close it';
      throw new VfioError('reset', ERRNO.EAGAIN, this.address, detail);
    }
    if (this.gone) throw new VfioError('reset', ERRNO.ENODEV, this.address, 'the device is gone');
    target.functionReset();
    this.options.advance();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.gone) {
      this.options.function.disconnect();
      this.options.advance();
    }
    this.options.onClose?.();
  }

  /** The host asks for the device back, and waits: until it is closed a reset gives EAGAIN, as on Linux. */
  requestRemoval(): void {
    this.events |= DEVICE_EVENT.REMOVAL;
    this.awaited = true;
  }

  /** The device reports a PCIe error to the host. */
  reportError(): void {
    this.events |= DEVICE_EVENT.ERROR;
  }

  /** The function is taken out from under its driver: from here on every register reads all ones, as on a bus. */
  vanish(): void {
    this.gone = true;
    this.options.function.disconnect();
    this.options.onVanish?.();
  }

  private open(operation: string): VfFunction {
    if (this.closed)
      throw new VfioError(operation, ERRNO.EBADF, this.address, 'the device is closed');
    return this.options.function;
  }
}

function describe(iova: number, sizeBytes: number): string {
  return `IOVA 0x${iova.toString(16)}, ${sizeBytes} bytes`;
}
