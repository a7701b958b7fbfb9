// The VF's hardware counters as doubles that only grow. The registers are 32 and
// 36 bits wide, wrap, and no read or reset clears them (linux ixgbevf), so
// differences are summed from a baseline. They include traffic between VFs of
// one port. What was dropped for lack of descriptors, a VF cannot know.

import type { Register } from '../hw/define.ts';
import { CRC_SIZE } from '../hw/descriptors.ts';
import {
  VFGORC_LSB,
  VFGORC_MSB,
  VFGOTC_LSB,
  VFGOTC_MSB,
  VFGPRC,
  VFGPTC,
  VFMPRC,
} from '../hw/registers.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { readRegister } from './access.ts';

/** Totals since the device was opened. Bytes are without CRC. */
export interface VfStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxMulticast: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

const WRAP_32 = 2 ** 32;
const WRAP_36 = 2 ** 36;

/** A counter of one register, or of two that make 36 bits. */
class Counter {
  total = 0;
  private readonly low: Register;
  private readonly high: Register | undefined;
  private last = 0;
  private lastHigh = -1;

  constructor(low: Register, high?: Register) {
    this.low = low;
    this.high = high;
  }

  rebase(device: VfioDevice): void {
    this.lastHigh = -1;
    this.last = this.read(device);
  }

  update(device: VfioDevice): void {
    const now = this.read(device);
    const wrap = this.high === undefined ? WRAP_32 : WRAP_36;
    this.total += now >= this.last ? now - this.last : now - this.last + wrap;
    this.last = now;
  }

  private read(device: VfioDevice): number {
    let low = readRegister(device, this.low);
    if (this.high === undefined) return low;
    // LSB before MSB, as linux does. An MSB that moved may have moved in between: then the LSB is read again,
    // and that is enough, since the next carry is 3 s away at 10 Gbit/s.
    const high = readRegister(device, this.high) & 0xf;
    if (high !== this.lastHigh) low = readRegister(device, this.low);
    this.lastHigh = high;
    return high * WRAP_32 + low;
  }
}

/**
 * Sums the counters. `update` has to be called more often than they wrap: at 10 Gbit/s the octets take 55 s.
 */
export class Statistics {
  private readonly device: VfioDevice;
  private readonly rxPackets = new Counter(VFGPRC);
  private readonly rxOctets = new Counter(VFGORC_LSB, VFGORC_MSB);
  private readonly rxMulticast = new Counter(VFMPRC);
  private readonly txPackets = new Counter(VFGPTC);
  private readonly txOctets = new Counter(VFGOTC_LSB, VFGOTC_MSB);
  private rxBytes = 0;
  private txBytes = 0;

  constructor(device: VfioDevice) {
    this.device = device;
  }

  /** Takes the present values as the new zero of the differences; totals stay. At open and after each reset. */
  rebase(): void {
    for (const counter of this.all()) counter.rebase(this.device);
  }

  /** The totals of the last `update`. */
  get values(): VfStatistics {
    return {
      rxPackets: this.rxPackets.total,
      rxBytes: this.rxBytes,
      rxMulticast: this.rxMulticast.total,
      txPackets: this.txPackets.total,
      txBytes: this.txBytes,
    };
  }

  /**
   * Reads the counters.
   * @throws DeviceError when the device is gone
   */
  update(): VfStatistics {
    for (const counter of this.all()) counter.update(this.device);
    // Packets and octets are read one after the other under traffic: never let bytes run backwards over that.
    this.rxBytes = Math.max(this.rxBytes, withoutCrc(this.rxOctets, this.rxPackets));
    this.txBytes = Math.max(this.txBytes, withoutCrc(this.txOctets, this.txPackets));
    return this.values;
  }

  private all(): Counter[] {
    return [this.rxPackets, this.rxOctets, this.rxMulticast, this.txPackets, this.txOctets];
  }
}

function withoutCrc(octets: Counter, packets: Counter): number {
  return octets.total - CRC_SIZE * packets.total;
}
