// What a process of virtualization says of itself: CPU time and counts at each change of phase.

import { processArena } from '#dist/memory/arena.js';
import { systemClock } from '#dist/support/clock.js';
import { PHASE } from './board.ts';

/** A process at the moment a phase began. */
export interface Snapshot<C> {
  readonly phase: number;
  readonly atUs: number;
  /** User and system time of all threads of the process, us. */
  readonly cpuUs: number;
  readonly counts: C;
}

/** Turns between two looks at whether the parent still lives. */
const PARENT_TURNS = 4096;

/** Follows the phase word. */
export class Phases<C> {
  private readonly words = processArena().views.i32;
  private readonly board: number;
  private readonly counts: () => C;
  private readonly snapshots: Snapshot<C>[] = [];
  private readonly parent = process.ppid;
  private turns = 0;
  private seen: number = PHASE.START;

  /** @param board word of the phase @param counts copies what the process counted */
  constructor(board: number, counts: () => C) {
    this.board = board;
    this.counts = counts;
  }

  /** The phase; at a change a snapshot is taken. The end, once the parent is gone. */
  look(): number {
    const phase = this.words[this.board];
    if (phase !== this.seen) {
      this.seen = phase;
      const { user, system } = process.cpuUsage();
      const atUs = systemClock.nowUs();
      this.snapshots.push({ phase, atUs, cpuUs: user + system, counts: this.counts() });
    }
    this.turns = (this.turns + 1) % PARENT_TURNS;
    const orphan = this.turns === 0 && process.ppid !== this.parent;
    return orphan ? PHASE.END : phase;
  }

  /** Prints that the process is ready. */
  ready(): void {
    process.stdout.write('{"ready":true}\n');
  }

  /** Prints what was seen. */
  report(): void {
    process.stdout.write(`${JSON.stringify({ snapshots: this.snapshots })}\n`);
  }
}

/** The snapshot at the beginning of a phase. */
export function snapshotAt<C>(snapshots: readonly Snapshot<C>[], phase: number): Snapshot<C> {
  const found = snapshots.find((snapshot) => snapshot.phase === phase);
  if (found === undefined) throw new Error(`no snapshot of phase ${phase}`);
  return found;
}

/** CPU time of a process in the measured phase, and what it would have taken idle, us. */
export function cpuOf(snapshots: readonly Snapshot<unknown>[]): {
  readonly usedUs: number;
  readonly idleUs: number;
} {
  const [idle, warm, start, end] = [PHASE.IDLE, PHASE.WARM, PHASE.MEASURE, PHASE.END].map((phase) =>
    snapshotAt(snapshots, phase),
  );
  const idleShare = (warm.cpuUs - idle.cpuUs) / (warm.atUs - idle.atUs);
  return { usedUs: end.cpuUs - start.cpuUs, idleUs: idleShare * (end.atUs - start.atUs) };
}
