// Registers of a VF by the table of src/hw: all of them as they stand, and how a person reads them.

import { at, type Register } from '../../hw/define.ts';
import { VF_DEVICES } from '../../hw/pci.ts';
import { ALL_ONES, PAGE_SIZE, REGISTERS, VFSTATUS, VTEICS } from '../../hw/registers.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { hex } from './finding.ts';

/** Values by name; an array where the register has several instances. */
export type Snapshot = Readonly<Record<string, readonly number[]>>;

/** Whether a read would change something, or says nothing: VTEICS sets, VFCTRL and VTEIMC are write-only. */
export function isLeftAlone(register: Register): boolean {
  return /^(RC|MIXED|WO)/.test(register.access) || register === VTEICS;
}

/** Registers that a device has: page 3 came with X550. */
export function registersOf(deviceId: number): readonly Register[] {
  const pages = VF_DEVICES[deviceId]?.ownRss === true ? 4 : 3;
  return REGISTERS.filter(({ offset }) => offset < pages * PAGE_SIZE);
}

/** Reads every register but those that a read changes. */
export function snapshot(device: VfioDevice): Snapshot {
  const read = registersOf(device.deviceId).filter((register) => !isLeftAlone(register));
  return Object.fromEntries(
    read.map((register) => [
      register.name,
      Array.from({ length: register.count }, (_, i) => device.read32(at(register, i))),
    ]),
  );
}

/** "0x0" where all instances agree, else runs of equal ones: "0-1: 0x2000000, 2-7: 0x0". */
export function runs(values: readonly number[]): string {
  const parts: { first: number; last: number; value: number }[] = [];
  for (const [i, value] of values.entries()) {
    const run = parts.at(-1);
    if (run?.value === value) run.last = i;
    else parts.push({ first: i, last: i, value });
  }
  if (parts.length === 1) return hex(values[0]);
  return parts
    .map(
      ({ first, last, value }) => `${first === last ? first : `${first}-${last}`}: ${hex(value)}`,
    )
    .join(', ');
}

/** Whether the function answers nothing at all, as one that is gone or in reset. */
export function isSilent(device: VfioDevice): boolean {
  return device.read32(VFSTATUS.offset) === ALL_ONES;
}
