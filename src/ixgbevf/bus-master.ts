// COMMAND.BusMaster: whether the function may do DMA. docs/82599-vf.md sec 9.3.

import { COMMAND_BUS_MASTER, COMMAND_MEMORY, CONFIG_COMMAND } from '../hw/pci.ts';
import { DeviceError } from '../support/errors.ts';
import type { VfioDevice } from '../vfio/device.ts';

/** Lets the function do DMA. @throws DeviceError where it does not take it */
export function enableBusMaster(device: VfioDevice): void {
  // vfio clears it whenever the function is opened or reset: registers work without it, DMA does not. Memory
  // space goes with it: what a client has to restore after a reset differs from server to server.
  const command = device.readConfig16(CONFIG_COMMAND);
  device.writeConfig16(CONFIG_COMMAND, command | COMMAND_MEMORY | COMMAND_BUS_MASTER);
  const now = device.readConfig16(CONFIG_COMMAND);
  if ((now & COMMAND_BUS_MASTER) !== 0) return;
  throw new DeviceError(
    'COMMAND.BusMaster',
    '1',
    `0x${now.toString(16)}`,
    0,
    'the device can do no DMA',
  );
}
