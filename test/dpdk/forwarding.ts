// testpmd between the two ports of a model, as several tests use it.

import { spawnSync } from 'node:child_process';
import { type Dpdk, Testpmd } from '../../bench/peers/testpmd.ts';
import type { NicCounters } from '../../src/model/nic.ts';
import { type ModelChoice, type RunningModel, runModel } from './running-model.ts';

/** Long enough for a machine that has other things to do. */
const ARRIVE_MS = 120_000;
/** Whether testpmd can be given a /sys and /dev of its own here. */
export const namespaces =
  spawnSync('unshare', ['--mount', '--user', '--map-root-user', 'true']).status === 0;
const open: { close(): unknown }[] = [];

/** Ends all that was started; for afterEach. */
export async function closeAll(): Promise<void> {
  // The program before its model.
  for (const part of open.reverse()) await part.close();
  open.length = 0;
}

export function startModel(choice: ModelChoice = {}): RunningModel {
  const model = runModel(choice);
  open.push(model);
  return model;
}

/** testpmd with both ports started. */
export async function startTestpmd(dpdk: Dpdk, model: RunningModel): Promise<Testpmd> {
  const testpmd = new Testpmd(dpdk, model.directory);
  open.push(testpmd);
  await testpmd.says(/testpmd> /, 40_000);
  return testpmd;
}

/** Has each port send `frames` frames, and waits until all have come back by the other one. */
export async function forward(
  model: RunningModel,
  testpmd: Testpmd,
  frames: number,
  spec = '',
): Promise<NicCounters[]> {
  // Without retry testpmd drops what the tx ring does not take at once.
  await testpmd.command('set fwd mac retry');
  await testpmd.command('set burst tx delay 10 retry 100000');
  for (const port of [0, 1]) model.nic.setWirePort(port, `gen:count=${frames}${spec}`);
  await testpmd.command('start');
  const end = performance.now() + ARRIVE_MS;
  const arrived = () => model.nic.counters().every((row) => row.sinkReceived >= frames);
  while (!arrived() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await testpmd.command('stop');
  return model.nic.counters();
}

/** What the model counts when all frames of a port came back. */
export function clean(port: number, frames: number): Partial<NicCounters> {
  return {
    port,
    offered: frames,
    delivered: frames,
    sinkReceived: frames,
    sinkGaps: 0,
    sinkDuplicates: 0,
    sinkCorrupt: 0,
    missedNoDescriptor: 0,
    spoofed: 0,
    iommuFaults: 0,
  };
}
