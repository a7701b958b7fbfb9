// A served model that runs in the test's own process, in the gaps of its event loop, so that a
// test can look at it and have its PF do things while another program uses it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processArena } from '../../src/memory/arena.ts';
import type { Nic } from '../../src/model/nic.ts';
import { type ServedModelOptions, serveModel } from '../../src/model/server/index.ts';
import { systemClock } from '../../src/support/clock.ts';

const SLICE_MS = 5;
const BUDGET = 64;
const STEPS = 8;

export interface RunningModel {
  readonly nic: Nic;
  /** Directory of the sockets. */
  readonly directory: string;
  /** Clients attached now. */
  clients(): number;
  close(): void;
}

/** What may be chosen of it. */
export type ModelChoice = Pick<ServedModelOptions, 'trapAll' | 'silicon' | 'macType'>;

/** Two ports with one VF each, nothing plugged in. */
export function runModel(choice: ModelChoice = {}): RunningModel {
  const directory = mkdtempSync(join(tmpdir(), 'ixy-dpdk-'));
  const model = serveModel({
    arena: processArena(),
    ports: [{ vfs: 1 }, { vfs: 1 }],
    clock: systemClock,
    directory,
    ...choice,
  });
  let running = true;
  const slice = (): void => {
    if (!running) return;
    const end = performance.now() + SLICE_MS;
    let work = 0;
    do {
      work = 0;
      for (let i = 0; i < STEPS; i++) work += model.nic.step(BUDGET);
      work += model.server.serve(0);
    } while (work > 0 && performance.now() < end);
    if (work === 0) model.server.serve(1);
    setImmediate(slice);
  };
  setImmediate(slice);
  return {
    nic: model.nic,
    directory,
    clients: () => model.server.clients,
    close: () => {
      running = false;
      model.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
