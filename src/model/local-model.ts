// A software 82599 in this process and thread, for embedding, examples and
// tests. It moves only by step(): call it in the loop that also drives the
// VFs. Addresses of its VFs are model:P.V.

import { type Arena, processArena } from '../memory/arena.ts';
import { type Clock, systemClock } from '../support/clock.ts';
import { refuseUnknown } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { DirectDevice } from './direct-device.ts';
import { ModelHost, type VfSlot } from './host/host.ts';
import { Nic, type NicCounters } from './nic.ts';
import type { NicPortOptions } from './nic-port.ts';
import type { Pf } from './pf/pf.ts';
import type { Recorder } from './recorder.ts';
import { type MacType, parseSilicon } from './silicon.ts';
import type { Ingress, WirePort } from './types.ts';

/** What the model moves while a driver waits for a register: enough for the PF to answer. */
const ADVANCE_BUDGET = 64;

/** How a model in this process is made. */
export interface LocalModelOptions {
  readonly ports: readonly NicPortOptions[];
  readonly clock?: Clock;
  readonly seed?: number;
  readonly log?: Log;
  /** Every BAR access goes through the model, none through shared memory. */
  readonly trapAll?: boolean;
  /** Which chip of the family: its device id, and whether its VFs see the tag of a port VLAN. Default 82599. */
  readonly macType?: MacType;
  /** What the chip does where sources are silent, as `ixy model --silicon` takes it: "rstd=late:60,msix-lost". */
  readonly silicon?: string;
}

/** A software 82599 whose VFs are opened as model:P.V. */
export class LocalModel {
  /** Cables, and VFs that are taken away and come back. */
  readonly host: ModelHost;
  private readonly nic: Nic;
  private readonly devices = new Map<string, DirectDevice>();
  private closed = false;

  /** @throws RangeError for options out of range, TypeError for unknown ones */
  constructor(arena: Arena, options: LocalModelOptions) {
    const { silicon, ...nicOptions } = options;
    const {
      ports: _ports,
      clock: _clock,
      seed: _seed,
      log: _log,
      trapAll: _trapAll,
      macType: _macType,
      ...unknown
    } = nicOptions;
    refuseUnknown('model', unknown, 'ports, clock, seed, log, trapAll, macType, silicon');
    this.nic = new Nic({
      clock: systemClock,
      ...nicOptions,
      ...(silicon === undefined ? {} : { silicon: parseSilicon(silicon) }),
      memory: arena,
    });
    const slots = options.ports.map(({ vfs }, port) =>
      Array.from({ length: vfs }, (_, vf) => this.slot(port, vf)),
    );
    this.host = new ModelHost(this.nic, slots, options.clock ?? systemClock);
  }

  /**
   * Moves the model.
   * @param budget frames that each tx queue and each wire port may move at most
   * @returns frames and messages moved; 0 when there was nothing to do
   */
  step(budget = 64): number {
    if (this.closed) return 0;
    this.host.step();
    return this.nic.step(budget);
  }

  /** One row a VF: what was offered, delivered, dropped and why. */
  counters(): NicCounters[] {
    return this.nic.counters();
  }

  /** DMA faults and rule violations so far. */
  get recorder(): Recorder {
    return this.nic.recorder;
  }

  /** The PF of a port: pings, trust, VLANs, resets. @throws RangeError */
  pf(port: number): Pf {
    return this.nic.pf(port);
  }

  /** Plugs something else into a port. @throws RangeError */
  plug(port: number, wire: string | WirePort): void {
    this.nic.setWirePort(port, wire);
  }

  /** Where a wire port of the caller's own offers its frames. @throws RangeError */
  ingress(port: number): Ingress {
    return this.nic.ingress(port);
  }

  /** What is plugged into a port. @throws RangeError */
  wirePort(port: number): WirePort {
    return this.nic.wirePort(port);
  }

  /**
   * Takes a VF as a device.
   * @throws RangeError where there is no such VF, it is taken, or the model is closed; VfioError (ENODEV) while it is
   *   unplugged
   */
  device(port: number, vf: number): DirectDevice {
    const address = `model:${port}.${vf}`;
    const target = this.nic.function(port, vf);
    if (this.closed) {
      throw new RangeError(
        `${address}: expected a VF of a running model, got one of a closed model`,
      );
    }
    this.host.checkPlugged(port, vf);
    if (this.devices.has(address)) {
      throw new RangeError(`${address}: expected a VF that is free, got one that is open already`);
    }
    const device = new DirectDevice({
      address,
      function: target,
      advance: () => this.nic.step(ADVANCE_BUDGET),
      onClose: () => {
        // After a removal another device may have the address by now.
        if (this.devices.get(address) === device) this.devices.delete(address);
      },
      onVanish: () => target.vanish(),
    });
    this.devices.set(address, device);
    return device;
  }

  /** Ends the model: nothing moves any more, and its VFs read as gone. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const device of this.devices.values()) device.vanish();
    this.nic.close();
  }

  private slot(port: number, vf: number): VfSlot {
    const { devices } = this;
    const address = `model:${port}.${vf}`;
    const target = this.nic.function(port, vf);
    return {
      get taken() {
        return devices.has(address);
      },
      requestRemoval: () => devices.get(address)?.requestRemoval(),
      reportError: () => devices.get(address)?.reportError(),
      vanish: () => {
        devices.get(address)?.vanish();
        // Its holder has a device that is gone; the next one gets another.
        devices.delete(address);
        if (target.present) target.vanish();
      },
      restore: () => target.restore(),
    };
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Makes a software 82599 in this thread. It moves only by its step().
 * @throws RangeError for options out of range
 */
export function createModel(options: LocalModelOptions): LocalModel {
  return new LocalModel(processArena(), options);
}
