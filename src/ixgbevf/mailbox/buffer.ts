// The hardware behind a VF's mailbox: the buffer of 16 words that it shares with the PF, and VFMAILBOX, three bits of
// which vanish on any read and are kept here until they were dealt with. linux ixgbevf/mbx.c, the "legacy" transport
// that every PF speaks up to API 1.4 and from 1.6 on; not the ESX transport of API 1.5.

import { VFMAILBOX, VFMAILBOX_READ_TO_CLEAR, VFMBMEM } from '../../hw/registers.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { readRegister, writeRegister } from '../access.ts';

const { REQ, ACK, VFU } = VFMAILBOX.mask;

/** The shared buffer, as the VF sees it. Every method but `forget` throws DeviceError when the device is gone. */
export class MessageBuffer {
  /** VFMAILBOX as it was read last. */
  control = 0;
  private readonly device: VfioDevice;
  /** Read-to-clear bits that were read and not dealt with yet. */
  private saved = 0;

  constructor(device: VfioDevice) {
    this.device = device;
  }

  /** VFMAILBOX with the bits that earlier reads took from it. */
  readControl(): number {
    const value = (readRegister(this.device, VFMAILBOX) | this.saved) >>> 0;
    this.saved |= value & VFMAILBOX_READ_TO_CLEAR;
    this.control = value;
    return value;
  }

  /** True where one of these bits was read and not dealt with yet. */
  holds(bits: number): boolean {
    return (this.saved & bits) !== 0;
  }

  /** These bits have been dealt with. */
  forget(bits: number): void {
    this.saved &= ~bits;
  }

  /** One attempt to own the buffer: VFU sets only while the PF does not own it. */
  tryLock(): boolean {
    writeRegister(this.device, VFMAILBOX, VFU);
    return (this.readControl() & VFU) !== 0;
  }

  /** Gives the buffer up. @param acknowledge whether the PF is to hear that its message was read */
  release(acknowledge: boolean): void {
    writeRegister(this.device, VFMAILBOX, acknowledge ? ACK : 0);
  }

  readWord(index: number): number {
    return readRegister(this.device, VFMBMEM, index);
  }

  /** Writes a message into the locked buffer and rings the PF. REQ alone, without VFU, hands the buffer over at once. */
  send(words: readonly number[]): void {
    for (let i = 0; i < words.length; i++) writeRegister(this.device, VFMBMEM, words[i], i);
    writeRegister(this.device, VFMAILBOX, REQ);
  }
}
