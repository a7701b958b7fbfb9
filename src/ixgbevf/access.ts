// Register reads that notice a device that is gone. A function that was removed
// or sits in FLR answers every read with all ones; a second look at VFSTATUS
// tells that from a register that just holds this value (linux ixgbevf does the
// same). The datapath does not use this file.

import { at, type Register } from '../hw/define.ts';
import { ALL_ONES, VFSTATUS } from '../hw/registers.ts';
import { DeviceError } from '../support/errors.ts';
import type { VfioDevice } from '../vfio/device.ts';

/**
 * Reads instance `index` of a register.
 * @returns the unsigned 32-bit value
 * @throws DeviceError "device gone" when this register and VFSTATUS both read as all ones
 */
export function readRegister(device: VfioDevice, register: Register, index = 0): number {
  const value = device.read32(at(register, index));
  if (value === ALL_ONES && device.read32(VFSTATUS.offset) === ALL_ONES) {
    throw new DeviceError(
      instanceName(register, index),
      'a register value',
      '0xffffffff',
      0,
      goneAdvice(device),
    );
  }
  return value;
}

/** What a device that reads as all ones means, for an error. */
export function goneAdvice(device: VfioDevice): string {
  return `device gone: ${device.address} was removed or is being reset by its host; close it and open it again`;
}

/** Writes instance `index` of a register. Posted. */
export function writeRegister(
  device: VfioDevice,
  register: Register,
  value: number,
  index = 0,
): void {
  device.write32(at(register, index), value >>> 0);
}

/**
 * Makes every earlier write reach the device, and on shared BAR pages makes the device take it in,
 * by reading VFSTATUS, as linux ixgbevf does.
 * @throws DeviceError "device gone"
 */
export function flush(device: VfioDevice): void {
  readRegister(device, VFSTATUS);
}

/** "VFRXDCTL(3)", or the bare name where there is only one. */
export function instanceName(register: Register, index: number): string {
  return register.count > 1 ? `${register.name}(${index})` : register.name;
}
