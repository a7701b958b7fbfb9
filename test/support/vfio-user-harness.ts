// The driver's suite over vfio-user: client, server and NIC on one thread, the
// transport an exchange whose request makes server and NIC move.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Arena, processArena } from '../../src/memory/arena.ts';
import { type ServedModel, serveModel } from '../../src/model/server/index.ts';
import { VfioUserDevice } from '../../src/vfio/user/client.ts';
import { SteppedExchange } from '../model/server/fixture.ts';
import type { MakeHarness } from './driver-harness.ts';
import { SteppingClock } from './stepping-clock.ts';

const BUDGET = 64;

/** The arena, but what a model takes for its life is remembered and can be given back. */
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

/** BAR pages 1 and 2 shared through the socket, or all of it trapped. */
export function vfioUserHarness(trapAll: boolean): MakeHarness {
  return (ports) => {
    const arena = processArena();
    const memory = borrowedArena(arena);
    const directory = mkdtempSync(join(tmpdir(), 'ixy-suite-'));
    let held = 0;
    const clock = new SteppingClock(() => step());
    const model = serveModel({
      arena: memory.arena,
      ports,
      clock: clock.model,
      directory,
      trapAll,
    });
    const { nic } = model;
    const step = (): number => (held > 0 ? 0 : nic.step(BUDGET));
    const stepped = { server: model.server, nic: { step } } as unknown as ServedModel;
    return {
      arena,
      clock,
      recorder: nic.recorder,
      mapped: !trapAll,
      device: (port, vf) => {
        const path = join(directory, `p${port}v${vf}.sock`);
        return VfioUserDevice.over(
          new SteppedExchange(stepped, path),
          `model:${port}.${vf}`,
          arena,
        );
      },
      advance: (rounds = 1000) => {
        model.server.serve(0);
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
        model.close();
        memory.giveBack();
        rmSync(directory, { recursive: true });
      },
    };
  };
}
