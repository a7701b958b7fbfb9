// What the driver's suite needs of a backend: devices to open, a model that moves
// when told, and a hand on its PF, wires and records. The in-process backend is
// made here; others make the same interface elsewhere.

import { type Arena, processArena } from '../../src/memory/arena.ts';
import { DirectDevice } from '../../src/model/direct-device.ts';
import { Nic, type NicCounters, type NicMemory } from '../../src/model/nic.ts';
import type { NicPortOptions } from '../../src/model/nic-port.ts';
import type { Pf } from '../../src/model/pf/pf.ts';
import type { Recorder } from '../../src/model/recorder.ts';
import type { Ingress, WirePort } from '../../src/model/types.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import { SteppingClock } from './stepping-clock.ts';

/** A model and the way to its VFs. */
export interface DriverHarness {
  readonly arena: Arena;
  /** For the driver: the model moves while it sleeps or looks at it. */
  readonly clock: SteppingClock;
  readonly recorder: Recorder;
  /** True where BAR pages 1 and 2 are shared memory. */
  readonly mapped: boolean;
  /** Takes a VF. */
  device(port: number, vf: number): VfioDevice;
  /** Lets the model move until it has nothing to do, at most `rounds` steps. */
  advance(rounds?: number): void;
  /** Runs `work` while the model stands still. */
  hold<T>(work: () => T): T;
  counters(port: number, vf: number): NicCounters;
  pf(port: number): Pf;
  ingress(port: number): Ingress;
  plug(port: number, wire: string | WirePort): void;
  /** Ends the model and gives back what it held. */
  close(): void;
}

/** Makes a model with these ports. */
export type MakeHarness = (ports: readonly NicPortOptions[]) => DriverHarness;

const BUDGET = 64;

/** The arena as memory for a NIC that is thrown away afterwards. */
class BorrowedMemory implements NicMemory {
  private readonly control: number[] = [];
  private readonly windows: number[] = [];
  private readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  get views(): NicMemory['views'] {
    return this.arena.views;
  }

  allocateControl(sizeBytes: number): number {
    const offset = this.arena.allocateControl(sizeBytes);
    this.control.push(offset);
    return offset;
  }

  reserveWindow(sizeBytes: number, alignBytes?: number): number {
    const offset = this.arena.reserveWindow(sizeBytes, alignBytes);
    this.windows.push(offset);
    return offset;
  }

  giveBack(): void {
    for (const offset of this.control.splice(0)) this.arena.releaseControl(offset);
    for (const offset of this.windows.splice(0)) this.arena.releaseWindow(offset);
  }
}

/** The in-process backend: BAR pages 1 and 2 shared, or all of it trapped. */
export function directHarness(trapAll: boolean): MakeHarness {
  return (ports) => {
    const arena = processArena();
    const memory = new BorrowedMemory(arena);
    let held = 0;
    const step = (): number => (held > 0 ? 0 : nic.step(BUDGET));
    const clock = new SteppingClock(step);
    const nic = new Nic({ ports, memory, clock: clock.model, trapAll });
    return {
      arena,
      clock,
      recorder: nic.recorder,
      mapped: !trapAll,
      device: (port, vf) =>
        new DirectDevice({
          address: `model:${port}.${vf}`,
          function: nic.function(port, vf),
          advance: step,
        }),
      advance: (rounds = 1000) => {
        for (let i = 0; i < rounds && nic.step(BUDGET) > 0; i++);
      },
      hold: (work) => {
        held++;
        try {
          return work();
        } finally {
          held--;
        }
      },
      counters: (port, vf) => {
        const row = nic.counters().find((one) => one.port === port && one.vf === vf);
        if (row === undefined) throw new Error(`no VF ${port}.${vf}`);
        return row;
      },
      pf: (port) => nic.pf(port),
      ingress: (port) => nic.ingress(port),
      plug: (port, wire) => nic.setWirePort(port, wire),
      close: () => {
        nic.close();
        memory.giveBack();
      },
    };
  };
}
