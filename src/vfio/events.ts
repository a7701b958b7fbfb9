// What the host tells whoever holds one of its devices. VFIO has two interrupts for it that are not the
// device's own and carry no data: ERR (a PCIe error that the device reported) and REQ (give the device
// back). Source: linux/vfio.h, vfio_pci_core.c and vfio_pci_intrs.c. Who acts on them is the driver.

import { VfioError } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { native } from '../support/native.ts';
import { DEVICE_EVENT } from './device.ts';
import { IRQ } from './linux-vfio.ts';

/** What EAGAIN means in the answer of a device: for Linux the lock of the device is taken. */
export const HELD_BY_HOST =
  'the host holds the device: it waits for it to be given back (unbind, sriov_numvfs=0, hot unplug) or resets it; close the device';

/** The interrupts that carry events, by index, and the event of each. */
const EVENT_OF_IRQ: readonly (readonly [irq: number, event: number])[] = [
  [IRQ.ERR, DEVICE_EVENT.ERROR],
  [IRQ.REQ, DEVICE_EVENT.REMOVAL],
];

/** The eventfds by which the host tells of one device. Owns them. */
export class HostEvents {
  private readonly lines: { readonly fd: number; readonly event: number }[] = [];

  /**
   * Never throws: what fails is logged, since a device without events is of use all the same.
   * @param has whether the device has the interrupt of an index; may throw
   * @param connect hands an eventfd to the device; throws where the device does not take it
   */
  constructor(
    has: (irq: number) => boolean,
    connect: (irq: number, eventFd: number) => void,
    log: Log,
  ) {
    for (const [irq, event] of EVENT_OF_IRQ) {
      let fd = -1;
      try {
        if (!has(irq)) continue;
        fd = native().eventfd(0, 0);
        if (fd < 0) throw new VfioError('make eventfd', -fd, 'eventfd');
        connect(irq, fd);
        this.lines.push({ fd, event });
      } catch (error) {
        if (fd >= 0) native().close(fd);
        log.warn(`no events from the host: ${error instanceof Error ? error.message : error}`);
      }
    }
  }

  /** Contract: VfioDevice.takeEvents. */
  take(): number {
    let events = 0;
    for (const { fd, event } of this.lines) if (native().eventfdDrain(fd) > 0) events |= event;
    return events;
  }

  /** Closes the eventfds; what a device has of them is a reference of its own, which goes with the device. Idempotent. */
  release(): void {
    for (const { fd } of this.lines.splice(0)) native().close(fd);
  }
}
