// Link state and the health of the registration: VFLINKS, and the check that
// linux ixgbevf_check_mac_link_vf makes. A look costs one or two register reads
// while nothing happens.

import { MESSAGE } from '../hw/mailbox.ts';
import { DEVICE_82599_VF, DEVICE_X550_VF, VF_DEVICES } from '../hw/pci.ts';
import { VFLINKS } from '../hw/registers.ts';
import type { Clock } from '../support/clock.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { readRegister } from './access.ts';
import type { Mailbox } from './mailbox/mailbox.ts';

/** The link as the VF can use it. */
export interface LinkState {
  /** The port has link, the PF knows this VF, and the host did not disable the VF's link. */
  readonly up: boolean;
  /** Speed of the port, Mbit/s; 0 while down or unknown. */
  readonly speedMbps: number;
  /** False where the host disabled this VF's link (API 1.2 on). */
  readonly enabled: boolean;
}

/** An 82599 behind an SFP+ may show a stale link bit: it counts when six reads over 500 us agree. */
const REREADS = 5;
const REREAD_US = 100;

/** Watches link and registration. */
export class LinkMonitor {
  /** False where the host disabled this VF's link. */
  enabled = true;
  private readonly device: VfioDevice;
  private readonly mailbox: Mailbox;
  private readonly clock: Clock;
  /** The link was up and the PF confirmed the VF; holds until a message or a reset says otherwise. */
  private confirmed = false;

  constructor(device: VfioDevice, mailbox: Mailbox, clock: Clock) {
    this.device = device;
    this.mailbox = mailbox;
    this.clock = clock;
  }

  /** Forgets what was confirmed. */
  restart(): void {
    this.confirmed = false;
  }

  /**
   * The link now. Blocks up to 500 us while the link comes up on an 82599. Afterwards `mailbox.lost` tells whether
   * the VF has to be restarted; then the link counts as down.
   * @throws DeviceError when the device is gone
   */
  check(): LinkState {
    this.mailbox.look();
    if (this.mailbox.takePing()) this.confirmed = false;
    if (this.mailbox.lost !== '') return this.down();
    const links = this.readLinks();
    if ((links & VFLINKS.mask.LINK_UP) === 0) return this.down();
    if (!this.confirmed) {
      // Whatever was said last in the mailbox carries CTS while the PF knows this VF.
      const word = this.mailbox.peek();
      if (word === -1 || this.mailbox.lost !== '' || (word & MESSAGE.mask.CTS) === 0) {
        return this.down();
      }
      this.confirmed = true;
    }
    return {
      up: this.enabled,
      speedMbps: linkSpeedMbps(links, this.device.deviceId),
      enabled: this.enabled,
    };
  }

  private readLinks(): number {
    let links = readRegister(this.device, VFLINKS);
    if (this.confirmed || this.device.deviceId !== DEVICE_82599_VF) return links;
    for (let i = 0; i < REREADS && (links & VFLINKS.mask.LINK_UP) !== 0; i++) {
      this.clock.sleepUs(REREAD_US);
      links = readRegister(this.device, VFLINKS);
    }
    return links;
  }

  private down(): LinkState {
    this.confirmed = false;
    return { up: false, speedMbps: 0, enabled: this.enabled };
  }
}

/**
 * Speed in VFLINKS, Mbit/s; 0 for a code that the chip does not define. Linux ixgbevf vf.c; the speeds of X550
 * and its kin from DPDK ixgbe_vf.c.
 */
export function linkSpeedMbps(links: number, deviceId: number): number {
  const code = (links & VFLINKS.mask.SPEED) >>> VFLINKS.shift.SPEED;
  const later = VF_DEVICES[deviceId]?.ownRss === true;
  const odd = later && (links & VFLINKS.mask.NON_STANDARD_SPEED) !== 0;
  switch (code) {
    case 3:
      return odd ? 2500 : 10_000;
    case 2:
      return 1000;
    case 1:
      return odd && deviceId === DEVICE_X550_VF ? 5000 : 100;
    default:
      return later ? 10 : 0;
  }
}
