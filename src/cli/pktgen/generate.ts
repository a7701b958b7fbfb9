// HOT. Makes the frames of `ixy pktgen` in packet buffers: every one different. The template of a
// length is written into a buffer once, as long as nothing was received into it; of each frame five
// words are written. Format: traffic/test-frame.ts.

import { BUF_LIMIT, BUF_SHIFT, LENGTH_TABLE, viewsOf } from '../../memory/layout.ts';
import type { Mempool } from '../../memory/mempool.ts';
import { portHalf, streamHalf, WORD } from '../../traffic/test-frame.ts';

// Imported bindings do not fold into the code of a loop; constants of this module do.
const BUF_WORD_SHIFT = BUF_SHIFT - 2;
const LENGTHS = LENGTH_TABLE >>> 1;
const PORTS = WORD.PORTS;
const LOW = WORD.LOW;
const STREAM = WORD.STREAM;

/** Fills buffers with the next frames to be sent. */
export interface FrameSource {
  /**
   * Takes up to `n` buffers from the mempool and fills them.
   * @param bufs receives them at 0..
   * @returns how many; 0 where none is due or none to be had
   */
  fill(bufs: Int32Array, n: number): number;
  /** True when there will be no more. */
  readonly ended: boolean;
  /** `n` buffers of bufs[0..] were received into: what was in them is gone. */
  spoil(bufs: Int32Array, n: number): void;
}

/** What is generated. */
export interface GeneratorOptions {
  readonly mempool: Mempool;
  /** Templates in the heap with their MACs: word index of each, and its bytes without CRC. Offered in turn. */
  readonly templates: readonly { readonly word: number; readonly length: number }[];
  /** Places in `templates`, in the order of the frames. */
  readonly turns: readonly number[];
  readonly flows: number;
  readonly stream: number;
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

/** Makes a source of generated frames. */
export function makeGenerator(options: GeneratorOptions): FrameSource {
  const { mempool, flows } = options;
  const { i32: heap, u16 } = viewsOf(mempool.handle.memory);
  const headroomWords = mempool.headroomBytes >>> 2;
  const words = Int32Array.from(options.templates, ({ word }) => word);
  const lengths = Int32Array.from(options.templates, ({ length }) => length);
  const turns = Int32Array.from(options.turns);
  const skip = turnsToSkip(flows, turns.length);
  const stream = streamHalf(options.stream) << 16;
  const host = heap[words[0] + PORTS] & 0xffff;
  /** Template that each buffer holds, plus 1. Shared memory: a plain ArrayBuffer is slower on Node 20 and 22. */
  const holds = new Uint8Array(new SharedArrayBuffer(BUF_LIMIT));
  /** Turn, flow, number in the flow: low 32 bits, high 16. */
  const state = new Int32Array(new SharedArrayBuffer(16));

  function prepare(buf: number, template: number): void {
    const to = ((buf << BUF_WORD_SHIFT) + headroomWords) | 0;
    const from = words[template];
    const count = (lengths[template] + 3) >>> 2;
    for (let k = 0; k < count; k = (k + 1) | 0) heap[to + k] = heap[from + k];
    holds[buf] = template + 1;
  }

  function fill(bufs: Int32Array, n: number): number {
    const count = mempool.takeBatch(bufs, 0, n);
    let turn = state[0];
    let flow = state[1];
    let low = state[2];
    let high = state[3];
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const buf = bufs[i];
      const template = turns[turn];
      if (holds[buf] !== template + 1) prepare(buf, template);
      const w = ((buf << BUF_WORD_SHIFT) + headroomWords) | 0;
      const port = portHalf(flow);
      heap[w + PORTS] = host | (port << 16);
      heap[w + LOW] = low;
      heap[w + LOW + 1] = ~low;
      heap[w + LOW + 2] = high | (~high << 16);
      heap[w + STREAM] = stream | (port ^ 0xffff);
      u16[LENGTHS + buf] = lengths[template];
      turn = (turn + 1) | 0;
      flow = (flow + 1) | 0;
      if (flow === flows) {
        flow = 0;
        low = (low + 1) | 0;
        if (low === 0) high = (high + 1) & 0xffff;
        turn = (turn + skip) | 0;
      }
      if (turn >= turns.length) turn = (turn % turns.length) | 0;
    }
    state[0] = turn;
    state[1] = flow;
    state[2] = low;
    state[3] = high;
    return count;
  }

  function spoil(bufs: Int32Array, n: number): void {
    for (let i = 0; i < n; i = (i + 1) | 0) holds[bufs[i]] = 0;
  }

  return { fill, ended: false, spoil };
}
