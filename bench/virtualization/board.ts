// The memory that the processes of virtualization share: the phase, which the parent sets, and a
// ring for each receiver, into which the software switch copies frames. A memfd, so that nothing of it
// is left whatever ends them. One writer a word: the switch has HEAD, the receiver TAIL.

import { writeSync } from 'node:fs';
import { processArena } from '#dist/memory/arena.js';
import { native } from '#dist/support/native.js';
import { BenchError } from '../method/life.ts';

/** What the processes are doing. They look at the word at every turn. */
export const PHASE = { START: 0, IDLE: 1, WARM: 2, MEASURE: 3, END: 4 } as const;

/** Frames that a ring holds, and words of it. Slots come after the lengths. */
export const RING = {
  SLOTS: 1024,
  SLOT_WORDS: 512,
  HEAD: 0,
  TAIL: 32,
  LENGTHS: 1024,
  FRAMES: 2048,
  WORDS: 2048 + 1024 * 512,
} as const;

/** The fd that children find it at. */
export const BOARD_FD = 3;
const PAGE_WORDS = 1024;
const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x1;

function bytesFor(receivers: number): number {
  return (PAGE_WORDS + receivers * RING.WORDS) * 4;
}

function checked(result: number, what: string): number {
  if (result < 0) throw new BenchError(`shared memory: ${what}: errno ${-result}`);
  return result;
}

/** The parent's end. */
export class Board {
  readonly fd: number;

  /** @throws BenchError where there is no memory */
  constructor(receivers: number) {
    this.fd = checked(native().memfdCreate('ixy-bench', 0), 'memfd_create');
    checked(native().ftruncate(this.fd, bytesFor(receivers)), 'ftruncate');
  }

  /** Sets the phase for all. */
  setPhase(phase: number): void {
    writeSync(this.fd, Int32Array.of(phase), 0, 4, 0);
  }

  close(): void {
    native().close(this.fd);
  }
}

/**
 * A child's end: maps it into the arena.
 * @returns word of the phase; take views of the arena after this
 */
export function mapBoard(receivers: number): number {
  const arena = processArena();
  const bytes = bytesFor(receivers);
  const offset = arena.reserveWindow(bytes);
  const address = arena.address + offset;
  checked(native().mmapFixed(address, bytes, PROT_READ_WRITE, MAP_SHARED, BOARD_FD, 0), 'mmap');
  return offset >>> 2;
}

/** Word at which the ring of a receiver starts. */
export function ringWord(board: number, receiver: number): number {
  return board + PAGE_WORDS + receiver * RING.WORDS;
}
