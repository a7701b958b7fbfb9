// Programs that measure themselves a slice at a time. Such a program prints "ready" once it is warm; then it runs one
// slice of 25 ms for each line on its standard input and answers "NS SWITCHES GAP": nanoseconds a packet, how often the
// kernel took the CPU away meanwhile, and the longest time in microseconds that one round took, by which a host shows that
// it took the CPU away from all of the machine.

import { spawnSync } from 'node:child_process';
import { Child } from './child.ts';
import { inTurn } from './pairs.ts';
import type { Start } from './statistics.ts';

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

const READY_MS = 60_000;
const SLICE_MS = 10_000;
/** A round takes tens of microseconds, and an interrupt a few. */
const GAP_US = 500;
/** The first slices after a start are not counted. */
const WARM_TURNS = 2;

/** Goes before a command: a real-time priority keeps other programs off its CPU. In turns, so that V8's compiler gets its own. */
const REAL_TIME = ['chrt', '-r', '1'];

/** How slices are run. */
export interface Slicing {
  readonly turns: number;
  /** The CPU of all programs, null for any. */
  readonly cpu: number | null;
  /** Whether they run at a real-time priority: otherwise a busy machine leaves few slices that count. */
  readonly realTime: boolean;
}

/** Whether this user may give a real-time priority. */
export function mayRunRealTime(): boolean {
  return spawnSync(REAL_TIME[0], [...REAL_TIME.slice(1), 'true']).status === 0;
}

async function slice(child: Child): Promise<number> {
  const at = child.lines.length;
  child.say('');
  await child.line(() => true, at, SLICE_MS);
  const [ns, switches, gap] = child.lines[at].split(' ').map(Number);
  return switches > 0 || gap > GAP_US ? Number.NaN : ns;
}

/**
 * Starts all programs on one CPU, lets them take turns, and ends them.
 * @param number of this start: who starts first alternates, too
 * @throws BenchError
 */
export async function alternate(
  commands: readonly Command[],
  { turns, cpu, realTime }: Slicing,
  number: number,
): Promise<Start> {
  const children = new Map<Command, Child>();
  for (const command of inTurn(commands, number)) {
    const [program, ...args] = [...(realTime ? REAL_TIME : []), ...command];
    const child = new Child(program, args, { name: command.join(' '), cpu });
    children.set(command, child);
    await child.line((line) => line === 'ready', 0, READY_MS);
  }
  const start: number[][] = [];
  for (let turn = -WARM_TURNS; turn < turns; turn++) {
    const row = new Map<Command, number>();
    for (const [command, child] of inTurn([...children], turn & 1)) {
      row.set(command, await slice(child));
    }
    if (turn >= 0) start.push(commands.map((command) => row.get(command) ?? Number.NaN));
  }
  await Promise.all([...children.values()].map((child) => child.stop()));
  return start;
}
