// What the driver's suite needs of a backend: devices to open, a model that moves
// when told, and a hand on its PF, wires and records; in process and over vfio-user.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BAR0_SIZE } from '../../src/hw/registers.ts';
import { type Arena, processArena } from '../../src/memory/arena.ts';
import { DirectDevice } from '../../src/model/direct-device.ts';
import { Nic, type NicCounters, type NicOptions } from '../../src/model/nic.ts';
import type { NicPortOptions } from '../../src/model/nic-port.ts';
import type { Pf } from '../../src/model/pf/pf.ts';
import type { Recorder } from '../../src/model/recorder.ts';
import { type ServedModel, serveModel } from '../../src/model/server/index.ts';
import { DEFAULT_SILICON, type MacType, type Silicon } from '../../src/model/silicon.ts';
import type { Ingress, WirePort } from '../../src/model/types.ts';
import type { Clock } from '../../src/support/clock.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import { VfioUserDevice } from '../../src/vfio/user/client.ts';
import { SteppedExchange } from '../model/server/fixture.ts';
import { SteppingClock } from './stepping-clock.ts';

/** A model and the way to its VFs. */
export interface DriverHarness {
  readonly arena: Arena;
  /** For the driver: the model moves while it sleeps or looks at it. */
  readonly clock: SteppingClock;
  readonly recorder: Recorder;
  /** What the model plays. */
  readonly silicon: Silicon;
  readonly macType: MacType;
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

/** Which chip the model is, and what it plays where sources are silent. */
export type Chip = Pick<NicOptions, 'macType' | 'silicon'>;

/** Makes a model with these ports. */
export type MakeHarness = (ports: readonly NicPortOptions[]) => DriverHarness;

const BUDGET = 64;
/** Steps after which a model that still moves is taken to never come to rest. */
const MOST_STEPS = 1000;

/** The arena; what a model takes of it for its life is remembered and can be given back. */
function borrowedArena(arena: Arena): { readonly arena: Arena; giveBack(): void } {
  const control: number[] = [];
  const proxy = new Proxy(arena, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'allocateControl') {
        return (sizeBytes: number) => {
          const offset = target.allocateControl(sizeBytes);
          control.push(offset);
          return offset;
        };
      }
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    arena: proxy,
    giveBack: () => {
      for (const offset of control.splice(0)) arena.releaseControl(offset);
    },
  };
}

/** A model behind one of the backends. */
interface Backend {
  readonly nic: Nic;
  /** Makes a device of a VF. @param step moves the NIC, unless it is held */
  device(port: number, vf: number, step: () => number): VfioDevice;
  /** Looks for messages before the NIC moves. */
  serve(): void;
  close(): void;
}

/** @param open makes the model in `arena` with `clock` */
function makeHarness(
  { silicon = DEFAULT_SILICON, macType = '82599' }: Chip,
  open: (arena: Arena, clock: Clock) => Backend,
): DriverHarness {
  const arena = processArena();
  const memory = borrowedArena(arena);
  let held = 0;
  const step = (): number => (held > 0 ? 0 : nic.step(BUDGET));
  const clock = new SteppingClock(() => step());
  const backend = open(memory.arena, clock.model);
  const { nic } = backend;
  return {
    arena,
    clock,
    recorder: nic.recorder,
    silicon,
    macType,
    device: (port, vf) => backend.device(port, vf, step),
    advance: (rounds = MOST_STEPS) => {
      backend.serve();
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
      backend.close();
      memory.giveBack();
    },
  };
}

/** The in-process backend: BAR pages 1 and 2 shared, or all of it trapped. */
export function directHarness(trapAll: boolean, chip: Chip = {}): MakeHarness {
  return (ports) =>
    makeHarness(chip, (arena, clock) => {
      const windows: number[] = [];
      const barWindow = (): number => {
        windows.push(arena.reserveWindow(BAR0_SIZE));
        return windows[windows.length - 1];
      };
      const nic = new Nic({ ports, memory: arena, barWindow, clock, trapAll, ...chip });
      return {
        nic,
        device: (port, vf, advance) =>
          new DirectDevice({
            address: `model:${port}.${vf}`,
            function: nic.function(port, vf),
            advance,
          }),
        serve: () => {},
        close: () => {
          nic.close();
          for (const window of windows) arena.releaseWindow(window);
        },
      };
    });
}

/**
 * Over vfio-user: client, server and NIC on one thread, the transport an exchange whose request makes server and NIC
 * move. BAR pages 1 and 2 shared through the socket, or all of it trapped.
 */
export function vfioUserHarness(trapAll: boolean, chip: Chip = {}): MakeHarness {
  return (ports) =>
    makeHarness(chip, (arena, clock) => {
      const directory = mkdtempSync(join(tmpdir(), 'ixy-suite-'));
      const { nic, server, close } = serveModel({
        arena,
        ports,
        clock,
        directory,
        trapAll,
        ...chip,
      });
      return {
        nic,
        device: (port, vf, step) => {
          const stepped = { server, nic: { step } } as unknown as ServedModel;
          const path = join(directory, `p${port}v${vf}.sock`);
          const exchange = new SteppedExchange(stepped, path);
          return VfioUserDevice.over(exchange, `model:${port}.${vf}`, processArena());
        },
        serve: () => void server.serve(0),
        close: () => {
          close();
          rmSync(directory, { recursive: true });
        },
      };
    });
}
