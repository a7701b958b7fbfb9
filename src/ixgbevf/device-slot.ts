// The place of a VF's device, so that another one can take it: a device that was removed and has come back is opened
// anew, while everything that holds the VF (monitor, mailbox, queues, the arena) goes on holding this.

import type { Iova } from '../memory/iova.ts';
import type { DmaMapping, VfioDevice } from '../vfio/device.ts';

/** Whatever device is in it now. Contract: VfioDevice. */
export class DeviceSlot implements VfioDevice {
  current: VfioDevice;

  constructor(device: VfioDevice) {
    this.current = device;
  }

  get address(): string {
    return this.current.address;
  }
  get deviceId(): number {
    return this.current.deviceId;
  }
  get iovaRanges(): VfioDevice['iovaRanges'] {
    return this.current.iovaRanges;
  }
  get vectors(): number {
    return this.current.vectors;
  }

  read32(offset: number): number {
    return this.current.read32(offset);
  }
  write32(offset: number, value: number): void {
    this.current.write32(offset, value);
  }
  pageOffset(page: number): number {
    return this.current.pageOffset(page);
  }
  readConfig16(offset: number): number {
    return this.current.readConfig16(offset);
  }
  writeConfig16(offset: number, value: number): void {
    this.current.writeConfig16(offset, value);
  }
  mapDma(mapping: DmaMapping): void {
    this.current.mapDma(mapping);
  }
  unmapDma(iova: Iova, sizeBytes: number): void {
    this.current.unmapDma(iova, sizeBytes);
  }
  enableVectors(eventFds: readonly number[]): void {
    this.current.enableVectors(eventFds);
  }
  disableVectors(): void {
    this.current.disableVectors();
  }
  takeEvents(): number {
    return this.current.takeEvents();
  }
  reset(): void {
    this.current.reset();
  }
  close(): void {
    this.current.close();
  }
}
