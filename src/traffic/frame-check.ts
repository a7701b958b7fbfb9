// What a receiver of test frames keeps in the heap to check them against: the headers that frames of each length and
// stream must have, made when such a frame is first seen, and the pattern. Every byte but the two MACs is compared,
// since a forwarder rewrites those.

import { type FrameLoops, LINE_WORDS, LINES } from './frame-loops.ts';
import { LONGEST, MARK, writeHeaders, writePattern } from './test-frame.ts';

const CACHE_WORDS = LINES * LINE_WORDS;
/** Heap bytes that a FrameCheck takes: lines of ordinary frames, lines of stamped ones, the pattern. */
export const FRAME_CHECK_BYTES = 2 * CACHE_WORDS * 4 + LONGEST;

/** Expected numbers for `pass` where any number will do. */
export const ANY_NUMBER = new Int32Array(new SharedArrayBuffer(0));

/** Finds out which frames of a run are intact. */
export class FrameCheck {
  /** Heap word of the pattern; index 0 is word 0 of a frame. */
  readonly pattern: number;
  private readonly lines: number;

  /** @param offset of FRAME_CHECK_BYTES of zeroed heap memory, a multiple of 8; the object's from here on */
  constructor(i32: Int32Array, offset: number) {
    this.lines = offset >>> 2;
    this.pattern = this.lines + 2 * CACHE_WORDS;
    writePattern(i32, this.pattern, LONGEST);
  }

  /**
   * Passes over the frames i to n - 1 of the loops' run that are intact, of this stream and mark, of a length seen
   * before or the given one, and the expected ones of their flows; moves the expectations on.
   * @param length bytes of frame i without CRC, 60..9724
   * @param expected as `FrameLoops.inOrder` takes it, or ANY_NUMBER
   * @returns the index of the first that is not so
   */
  pass(
    loops: FrameLoops,
    i32: Int32Array,
    i: number,
    n: number,
    length: number,
    stream: number,
    expected: Int32Array,
    mark = MARK,
  ): number {
    const lines = this.lines + (mark === MARK ? 0 : CACHE_WORDS);
    const line = lines + ((length ^ stream) & (LINES - 1)) * LINE_WORDS;
    if (i32[line] !== ((stream << 16) | length)) {
      writeHeaders(i32, line, length, stream, mark);
      i32[line] = (stream << 16) | length;
    }
    return loops.inOrder(i, n, stream, lines, this.pattern, expected);
  }
}
