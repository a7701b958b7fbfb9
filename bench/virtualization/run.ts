// One run of virtualization: the NIC, the switch or none, the receivers, each a process; the
// phases they go through; and what they say of themselves put together.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { latencyBetween } from '../l2fwd/latency.ts';
import { Child } from '../method/child.ts';
import { atEnd, BenchError } from '../method/life.ts';
import type { Cores } from '../method/machine.ts';
import { round } from '../method/statistics.ts';
import { Board, PHASE } from './board.ts';
import { cpuOf, type Snapshot, snapshotAt } from './phases.ts';
import { type CpuCost, type VirtualizationRow, WAYS, type Way } from './rows.ts';

/** What is run. */
export interface WaySetup {
  readonly way: Way;
  readonly receivers: number;
  readonly size: string;
  /** All receivers together. */
  readonly mpps: number;
  readonly seconds: number;
  /** Sleep of a process that finds nothing. */
  readonly pollUs: number;
  readonly cores: Cores;
  readonly idleMs: number;
  readonly warmMs: number;
}

const READY_MS = 20_000;
const END_MS = 10_000;
interface NicCounts {
  readonly offered: number;
}
interface HostCounts {
  readonly received: number;
  readonly lost: number;
  readonly dropped: number;
  readonly buckets: readonly (readonly [number, number])[];
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

async function ready(child: Child): Promise<void> {
  await child.line((line) => line.includes('"ready"'), 0, READY_MS);
}

async function report<C>(child: Child): Promise<Snapshot<C>[]> {
  const i = await child.line((line) => line.includes('"snapshots"'), 0, END_MS);
  await child.end(END_MS);
  return (JSON.parse(child.lines[i]) as { snapshots: Snapshot<C>[] }).snapshots;
}

/** CPU time of several processes for each of `frames`. */
function cost(processes: readonly (readonly Snapshot<unknown>[])[], frames: number): CpuCost {
  const all = processes.map(cpuOf);
  const used = all.reduce((sum, { usedUs }) => sum + usedUs, 0);
  const idle = all.reduce((sum, { idleUs }) => sum + idleUs, 0);
  return {
    nsPerFrame: round((used * 1000) / frames, 1),
    aboveIdleNs: round((Math.max(0, used - idle) * 1000) / frames, 1),
  };
}

/** The processes of a run. */
interface Processes {
  readonly nic: Child;
  readonly switcher: Child | null;
  readonly receivers: readonly Child[];
}

async function start(setup: WaySetup, board: Board, folder: string): Promise<Processes> {
  const { way, size, mpps, pollUs, cores } = setup;
  const child = (file: string, name: string, cpu: number | null, args: readonly unknown[]): Child =>
    new Child(process.execPath, [program(file), ...args.map(String)], { name, cpu, fd: board.fd });
  const sockets = join(folder, 'nic');
  const vfs = way === 'switch' ? 1 : setup.receivers;
  const nicArgs = [sockets, vfs, setup.receivers, size, mpps * 1e6];
  const nic = child('nic', 'the model', cores.model, nicArgs);
  await ready(nic);
  const host = (role: string, vf: number, receiver: number): Child => {
    const args = [role, join(sockets, `p0v${vf}.sock`), receiver, setup.receivers, pollUs];
    return child('host', `${role} ${receiver}`, cores.driver, args);
  };
  const switcher = way === 'switch' ? host('switch', 0, 0) : null;
  const receivers = Array.from({ length: setup.receivers }, (_, r) =>
    way === 'switch' ? host('behind', 0, r) : host('assigned', r, r),
  );
  for (const one of switcher === null ? receivers : [switcher, ...receivers]) await ready(one);
  return { nic, switcher, receivers };
}

/** Latency rows of the receivers at the beginning of a phase. */
function latencyAt(receivers: readonly Snapshot<HostCounts>[][], phase: number) {
  return receivers.map((snapshots, port) => {
    const { buckets } = snapshotAt(snapshots, phase).counts;
    const samples = buckets.reduce((sum, [, count]) => sum + count, 0);
    return { port, samples, maxNs: buckets.at(-1)?.[0] ?? 0, buckets };
  });
}

function grown(snapshots: readonly Snapshot<HostCounts>[], key: 'received' | 'lost'): number {
  const at = (phase: number): number => snapshotAt(snapshots, phase).counts[key];
  return at(PHASE.END) - at(PHASE.MEASURE);
}

/** What all said of themselves. */
interface Said {
  readonly nic: Snapshot<NicCounts>[];
  readonly switcher: Snapshot<HostCounts>[] | null;
  readonly receivers: Snapshot<HostCounts>[][];
}

async function go(setup: WaySetup): Promise<Said> {
  const folder = mkdtempSync(join(tmpdir(), 'ixy-bench-'));
  const cancelFolder = atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const board = new Board(setup.receivers);
  const cancelBoard = atEnd(() => board.close());
  const { nic, switcher, receivers } = await start(setup, board, folder);
  for (const [phase, ms] of [
    [PHASE.IDLE, setup.idleMs],
    [PHASE.WARM, setup.warmMs],
    [PHASE.MEASURE, setup.seconds * 1000],
    [PHASE.END, 0],
  ] as const) {
    board.setPhase(phase);
    await pause(ms);
  }
  const said: Said = {
    receivers: [],
    switcher: switcher === null ? null : await report<HostCounts>(switcher),
    nic: await report<NicCounts>(nic),
  };
  for (const one of receivers) said.receivers.push(await report<HostCounts>(one));
  cancelBoard();
  board.close();
  cancelFolder();
  rmSync(folder, { recursive: true, force: true });
  return said;
}

/** Runs one way once. @throws BenchError */
export async function runWay(setup: WaySetup): Promise<VirtualizationRow> {
  const { way, receivers, size } = setup;
  const { nic, switcher, receivers: own } = await go(setup);
  const perReceiver = own.map((snapshots) => grown(snapshots, 'received'));
  const received = perReceiver.reduce((a, b) => a + b, 0);
  if (perReceiver.some((n) => n === 0)) {
    throw new BenchError(`${WAYS[way]}: expected every receiver to get frames, got ${perReceiver}`);
  }
  const [from, to] = [PHASE.MEASURE, PHASE.END].map((phase) => snapshotAt(nic, phase));
  return {
    way,
    receivers,
    size,
    seconds: round((to.atUs - from.atUs) / 1e6),
    offered: to.counts.offered - from.counts.offered,
    received,
    perReceiver,
    lost: own.reduce((sum, snapshots) => sum + grown(snapshots, 'lost'), 0),
    mpps: round(received / (to.atUs - from.atUs)),
    switchCpu: switcher === null ? null : cost([switcher], received),
    receiverCpu: cost(own, received),
    totalCpu: cost(switcher === null ? own : [...own, switcher], received),
    modelNsPerFrame: cost([nic], received).nsPerFrame,
    vsAssigned: null,
    latency: latencyBetween(latencyAt(own, PHASE.MEASURE), latencyAt(own, PHASE.END)),
  };
}
