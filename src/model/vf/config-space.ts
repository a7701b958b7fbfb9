// Config space of a VF as vfio shows it: identity, COMMAND, two BARs that can be
// sized, MSI-X and PCI Express capabilities. docs/82599-vf.md sec 1.2 and 1.3; layout
// from PCI Local Bus 3.0. Unlike silicon it advertises FLR (silicon's DevCap
// reads 0), because vfio-user clients reset through it. No extended space.

import { VENDOR_INTEL } from '../../hw/pci.ts';
import { BAR0_SIZE, VECTORS } from '../../hw/registers.ts';
import { CONFIG_SIZE } from '../types.ts';

const COMMAND = 0x04;
const STATUS = 0x06;
const REVISION_AND_CLASS = 0x08;
const CACHE_LINE_SIZE = 0x0c;
const BAR0 = 0x10;
const BAR3 = 0x1c;
const SUBSYSTEM_VENDOR = 0x2c;
const CAPABILITIES = 0x34;
const INTERRUPT_LINE = 0x3c;

const MSIX = 0x70;
const PCIE = 0xa0;
const DEVICE_CONTROL = PCIE + 0x08;

/** COMMAND: memory space, bus master, parity error response, SERR#, INTx disable. */
const COMMAND_WRITABLE = 0x0546;
const BUS_MASTER = 0x0004;
/** Memory, 64 bits, prefetchable. */
const BAR_FLAGS = 0x0c;
const MSIX_BAR_SIZE = 0x4000;
const MSIX_PBA_OFFSET = 0x2000;
const MSIX_BIR = 3;
const DEVCAP_FLR = 1 << 28;
const DEVCTL_FLR = 1 << 15;

/** 256 bytes of config space and what follows from writing them. */
export class ConfigSpace {
  private readonly bytes = new Uint8Array(CONFIG_SIZE);
  private readonly view = new DataView(this.bytes.buffer);
  /** Bits that software can change. */
  private readonly writable = new Uint8Array(CONFIG_SIZE);
  private readonly deviceId: number;
  private readonly msix: boolean;
  private readonly onFunctionReset: () => void;
  private readonly onBusMaster: () => void;

  /**
   * @param deviceId PCI device id
   * @param msix false: there is no MSI-X capability, so a host finds no interrupts
   * @param onFunctionReset DevCtl bit 15 was written; it is to call `reset` among other things
   * @param onBusMaster COMMAND bit 2 was set
   */
  constructor(
    deviceId: number,
    msix: boolean,
    onFunctionReset: () => void,
    onBusMaster: () => void,
  ) {
    this.deviceId = deviceId;
    this.msix = msix;
    this.onFunctionReset = onFunctionReset;
    this.onBusMaster = onBusMaster;
    this.reset();
  }

  /** COMMAND bit 2: the function may do DMA and send messages. */
  get busMaster(): boolean {
    return (this.view.getUint16(COMMAND, true) & BUS_MASTER) !== 0;
  }

  /** @returns the value, all ones where it reaches outside the 256 bytes */
  read(offset: number, sizeBytes: number): number {
    let value = 0;
    for (let i = sizeBytes - 1; i >= 0; i--) value = value * 256 + (this.bytes[offset + i] ?? 0xff);
    return value;
  }

  /** Read-only bits keep their value; what reaches outside the 256 bytes is ignored. */
  write(offset: number, sizeBytes: number, value: number): void {
    const wasMaster = this.busMaster;
    for (let i = 0; i < sizeBytes && offset + i < CONFIG_SIZE; i++) {
      const mask = this.writable[offset + i];
      const byte = (value >>> (8 * i)) & 0xff;
      this.bytes[offset + i] = (this.bytes[offset + i] & ~mask) | (byte & mask);
    }
    // Bit 15 of DevCtl reads as 0: it is a trigger, not a state.
    if (this.covers(offset, sizeBytes, DEVICE_CONTROL + 1)) {
      const top = value >>> (8 * (DEVICE_CONTROL + 1 - offset));
      if ((top & (DEVCTL_FLR >>> 8)) !== 0) this.onFunctionReset();
    }
    if (!wasMaster && this.busMaster) this.onBusMaster();
  }

  /** FLR and opening through vfio: everything as after power-on, bus mastering off. */
  reset(): void {
    this.bytes.fill(0);
    this.writable.fill(0);
    this.word(0x00, VENDOR_INTEL, 0);
    this.word(0x02, this.deviceId, 0);
    this.word(COMMAND, 0, COMMAND_WRITABLE);
    this.word(STATUS, 0x0010, 0); // has capabilities
    this.long(REVISION_AND_CLASS, 0x02000001, 0); // Ethernet, revision 1
    this.word(CACHE_LINE_SIZE, 0, 0x00ff);
    this.bar(BAR0, BAR0_SIZE);
    this.bar(BAR3, MSIX_BAR_SIZE);
    this.word(SUBSYSTEM_VENDOR, VENDOR_INTEL, 0);
    this.word(CAPABILITIES, this.msix ? MSIX : PCIE, 0);
    this.word(INTERRUPT_LINE, 0, 0x00ff); // pin 0: a VF has no INTx
    if (this.msix) this.msixCapability();
    this.expressCapability();
  }

  private msixCapability(): void {
    this.word(MSIX, 0x11 | (PCIE << 8), 0);
    this.word(MSIX + 2, VECTORS - 1, 0xc000); // enable, function mask
    this.long(MSIX + 4, MSIX_BIR, 0); // table at offset 0
    this.long(MSIX + 8, MSIX_PBA_OFFSET | MSIX_BIR, 0);
  }

  private expressCapability(): void {
    this.word(PCIE, 0x10, 0); // the last one
    this.word(PCIE + 2, 0x0002, 0); // version 2, endpoint
    this.long(PCIE + 4, DEVCAP_FLR, 0);
    this.word(DEVICE_CONTROL, 0, 0x7fff);
  }

  private bar(offset: number, sizeBytes: number): void {
    this.long(offset, BAR_FLAGS, (~(sizeBytes - 1) & ~0xf) >>> 0);
    this.long(offset + 4, 0, 0xffffffff);
  }

  private word(offset: number, value: number, writable: number): void {
    this.view.setUint16(offset, value, true);
    new DataView(this.writable.buffer).setUint16(offset, writable, true);
  }

  private long(offset: number, value: number, writable: number): void {
    this.view.setUint32(offset, value, true);
    new DataView(this.writable.buffer).setUint32(offset, writable, true);
  }

  private covers(offset: number, sizeBytes: number, byte: number): boolean {
    return offset <= byte && byte < offset + sizeBytes;
  }
}
