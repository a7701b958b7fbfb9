// Where a generator of test frames lies in the heap: a state block, and for each length a template that holds all that
// its frames have in common. The loop that writes the frames: frame-loops.ts.

import type { ArenaViews } from '../memory/layout.ts';
import { STREAMS, swap16, writeHeaders, writePattern } from './test-frame.ts';

/** Words of a generator's state block in the heap. */
export const GEN = {
  /** Next flow, and the sequence number of this round, the same in all flows: low 32 bits, high 16. */
  FLOW: 0,
  LOW: 1,
  HIGH: 2,
  /** Index of the next length among those that take turns; their number; turns to skip after each round of the flows. */
  TURN: 3,
  TURNS: 4,
  SKIP: 5,
  FLOWS: 6,
  /** Low half of word 8 and high half of word 14 of all frames: host and stream. */
  HOST: 7,
  STREAM: 8,
  /** Two words a turn: heap word of the template, bytes of the frame. */
  TABLE: 9,
} as const;

/** What a generator makes. */
export interface GeneratorOptions {
  /** Bytes of the frames without CRC, 60..9724, in the order in which they are sent. */
  readonly lengths: readonly number[];
  /** Flows that take turns, 1..16,384. */
  readonly flows: number;
  /** 0..255. */
  readonly stream: number;
}

/** Where a generator lies in the heap. */
export interface GeneratorPlace {
  /** Heap word of its state block, which GEN describes. */
  readonly state: number;
  /** Heap words of its templates, one a length; bytes 0 to 11, the MACs, are the owner's to fill. */
  readonly templates: readonly number[];
}

function coprime(a: number, b: number): boolean {
  return b === 0 ? a === 1 : coprime(b, a % b);
}

/** Turns to skip after each round of the flows, so that every flow gets every length. */
export function turnsToSkip(flows: number, turns: number): number {
  let skip = 0;
  while (!coprime(flows + skip, turns)) skip++;
  return skip;
}

/**
 * Lays out a generator in the heap: its state block and its templates.
 * @param allocate takes zeroed heap memory; returns its byte offset, a multiple of 8
 * @param views the heap after an allocation
 * @throws RangeError for a stream that does not fit into a frame
 */
export function layOutGenerator(
  { lengths, flows, stream }: GeneratorOptions,
  allocate: (sizeBytes: number) => number,
  views: () => ArenaViews,
): GeneratorPlace {
  if (stream < 0 || stream >= STREAMS) {
    throw new RangeError(`test frames: expected a stream from 0 to ${STREAMS - 1}, got ${stream}`);
  }
  const templates = new Map<number, number>();
  for (const length of new Set(lengths)) {
    const word = allocate((length + 7) & ~7) >>> 2;
    writeHeaders(views().i32, word, length, stream);
    writePattern(views().i32, word, length);
    templates.set(length, word);
  }
  const state = allocate((GEN.TABLE + 2 * lengths.length) * 4) >>> 2;
  const { i32 } = views();
  i32[state + GEN.TURNS] = lengths.length;
  i32[state + GEN.SKIP] = turnsToSkip(flows, lengths.length);
  i32[state + GEN.FLOWS] = flows;
  i32[state + GEN.HOST] = swap16((stream << 8) | 1);
  i32[state + GEN.STREAM] = (stream << 16) | (~stream << 24);
  for (const [turn, length] of lengths.entries()) {
    i32[state + GEN.TABLE + 2 * turn] = templates.get(length) ?? 0;
    i32[state + GEN.TABLE + 2 * turn + 1] = length;
  }
  return { state, templates: [...templates.values()] };
}
