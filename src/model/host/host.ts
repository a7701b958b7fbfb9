// What an administrator does on the host of a model, apart from what the PF itself is told (pf/pf.ts): cables, VFs
// that are taken away from whoever holds them and come back, PCIe errors. In the words of `ixy pf`: words.ts. Moves
// only by `step`.

import { type Clock, readUs } from '../../support/clock.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import type { Nic } from '../nic.ts';
import type { Pf } from '../pf/pf.ts';

/** How long a VF that is taken away waits for its holder to close it. */
const GRACE_US = 1_000_000;

/** A VF as its backend hands it out. */
export interface VfSlot {
  /** Somebody holds the VF. */
  readonly taken: boolean;
  /** Tells the holder that the host wants the VF back (VFIO's REQ). */
  requestRemoval(): void;
  /** Tells the holder of a PCIe error (VFIO's ERR). */
  reportError(): void;
  /** Takes the VF from its holder, if there still is one, and hands it out no more. */
  vanish(): void;
  /** Hands it out again. @throws VfioError where that fails */
  restore(): void;
}

/** 'leaving': its holder was asked for it, and has not closed it yet. */
export type VfPresence = 'plugged' | 'leaving' | 'unplugged';

interface Place {
  readonly slot: VfSlot;
  presence: VfPresence;
  /** When its holder was asked, us. */
  askedUs: number;
}

/** The host of a model. */
export class ModelHost {
  readonly nic: Nic;
  private readonly places: readonly (readonly Place[])[];
  private readonly clock: Clock;
  private leaving = 0;
  private readonly now = new Float64Array(1);

  /** @param slots by port and VF */
  constructor(nic: Nic, slots: readonly (readonly VfSlot[])[], clock: Clock) {
    this.nic = nic;
    this.clock = clock;
    this.places = slots.map((row) =>
      row.map((slot): Place => ({ slot, presence: 'plugged', askedUs: 0 })),
    );
  }

  /** Number of ports. */
  get ports(): number {
    return this.places.length;
  }

  /** The PF of a port. @throws RangeError */
  pf(port: number): Pf {
    return this.nic.pf(port);
  }

  /** Pulls the cable out of a port, or puts it back. @throws RangeError */
  setCable(port: number, plugged: boolean): void {
    this.nic.setCable(port, plugged);
  }

  /** Somebody holds the VF. @throws RangeError */
  taken(port: number, vf: number): boolean {
    return this.place(port, vf).slot.taken;
  }

  /** @throws RangeError */
  presence(port: number, vf: number): VfPresence {
    return this.place(port, vf).presence;
  }

  /**
   * Takes a VF away, as unbinding it or sriov_numvfs=0 do: its holder is asked, and has a second to close it.
   * @throws RangeError where it is not plugged in
   */
  unplug(port: number, vf: number): void {
    const place = this.place(port, vf);
    if (place.presence !== 'plugged') {
      throw new RangeError(
        `VF ${port}.${vf}: expected one that is plugged in, got one that is ${place.presence}`,
      );
    }
    place.slot.requestRemoval();
    place.presence = 'leaving';
    place.askedUs = this.clock.nowUs();
    this.leaving++;
    this.step();
  }

  /** Brings a VF back. @throws RangeError where it is not unplugged, VfioError where its socket cannot be made */
  plug(port: number, vf: number): void {
    const place = this.place(port, vf);
    if (place.presence !== 'unplugged') {
      throw new RangeError(
        `VF ${port}.${vf}: expected one that is unplugged, got one that is ${place.presence}`,
      );
    }
    place.slot.restore();
    place.presence = 'plugged';
  }

  /** Reports a PCIe error of a VF to its holder. @throws RangeError */
  reportError(port: number, vf: number): void {
    this.place(port, vf).slot.reportError();
  }

  /** Takes away the VFs that were closed, or whose time is over. */
  step(): void {
    if (this.leaving === 0) return;
    readUs(this.clock, this.now);
    for (const place of this.places.flat()) {
      if (place.presence !== 'leaving') continue;
      if (place.slot.taken && this.now[0] - place.askedUs < GRACE_US) continue;
      place.slot.vanish();
      place.presence = 'unplugged';
      this.leaving--;
    }
  }

  /** @throws VfioError where the VF is not there to be opened */
  checkPlugged(port: number, vf: number): void {
    const { presence } = this.place(port, vf);
    if (presence === 'plugged') return;
    const detail = `the VF is ${presence}; wait until the host plugs it in`;
    throw new VfioError('open', ERRNO.ENODEV, `model:${port}.${vf}`, detail);
  }

  private place(port: number, vf: number): Place {
    // The NIC says which ports and VFs there are.
    this.nic.function(port, vf);
    return this.places[port][vf];
  }
}
