import { describe, expect, it } from 'vitest';
import { DUPLICATE, LATE, SequenceWindow } from '../../src/traffic/sequence.ts';

describe('the sequence window', () => {
  it('tells how many numbers a jump leaves out', () => {
    const window = new SequenceWindow(64);
    expect(window.accept(3, 0)).toBe(3);
    expect(window.accept(4, 4)).toBe(0);
    expect(window.accept(7, 5)).toBe(2);
  });

  it('takes a missing number as late once, and as duplicate from then on', () => {
    const window = new SequenceWindow(64);
    window.accept(5, 0);
    expect([window.accept(2, 6), window.accept(2, 6)]).toEqual([LATE, DUPLICATE]);
    expect([window.accept(0, 6), window.accept(4, 6)]).toEqual([LATE, LATE]);
  });

  it('takes a number that came in order, unseen by it, as duplicate', () => {
    const window = new SequenceWindow(64);
    expect(window.accept(9, 10)).toBe(DUPLICATE);
    expect(window.accept(0, 10)).toBe(DUPLICATE);
  });

  it('forgets holes that are more than its size back', () => {
    const window = new SequenceWindow(64);
    window.accept(1, 0);
    expect(window.accept(0, 66)).toBe(DUPLICATE);
    // 64 shares a bit with 0, and was not missing.
    expect(window.accept(64, 66)).toBe(DUPLICATE);
  });

  it('survives a jump over many times its size', () => {
    const window = new SequenceWindow(64);
    expect(window.accept(1000, 0)).toBe(1000);
    expect([window.accept(999, 1001), window.accept(999, 1001)]).toEqual([LATE, DUPLICATE]);
    expect(window.accept(900, 1001)).toBe(DUPLICATE);
    expect(window.accept(1001, 1001)).toBe(0);
  });

  it('agrees with a plain set over a random walk', () => {
    const window = new SequenceWindow(256);
    const seen = new Set<number>();
    let highest = -1;
    let state = 12_345;
    for (let k = 0; k < 5000; k++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      const number = Math.max(0, k - 100 + ((state >>> 16) % 120));
      const verdict = window.accept(number, highest + 1);
      const expected =
        number > highest ? number - highest - 1 : seen.has(number) ? DUPLICATE : LATE;
      expect(verdict).toBe(expected);
      seen.add(number);
      highest = Math.max(highest, number);
    }
  });
});
