import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeAllocator } from '../../src/memory/ranges.ts';

describe('RangeAllocator', () => {
  it('refuses to release what it did not hand out', () => {
    const ranges = new RangeAllocator();
    ranges.add(0, 100);
    expect(() => ranges.release(0)).toThrow(RangeError);
    const start = ranges.take(10, 1);
    ranges.release(start);
    expect(() => ranges.release(start)).toThrow(/expected the start of an allocation/);
  });

  it('gives -1 when nothing free is large enough', () => {
    const ranges = new RangeAllocator();
    ranges.add(0, 100);
    expect(ranges.take(101, 1)).toBe(-1);
  });

  it('aligns counted from an origin', () => {
    const ranges = new RangeAllocator();
    ranges.add(5, 1000);
    expect(ranges.take(10, 64)).toBe(64);
    expect(ranges.take(10, 100, 7)).toBe(7);
    expect(ranges.take(10, 100, 7)).toBe(107);
  });

  it('never hands out overlapping pieces and gets everything back in one piece', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            size: fc.integer({ min: 1, max: 50 }),
            align: fc.constantFrom(1, 4, 16),
            drop: fc.boolean(),
          }),
          { maxLength: 60 },
        ),
        (steps) => {
          const ranges = new RangeAllocator();
          ranges.add(0, 1000);
          const live: { start: number; size: number }[] = [];
          for (const step of steps) {
            if (step.drop && live.length > 0) {
              ranges.release((live.shift() as { start: number }).start);
              continue;
            }
            const start = ranges.take(step.size, step.align);
            if (start < 0) continue;
            expect(start % step.align).toBe(0);
            expect(
              live.every((o) => start + step.size <= o.start || start >= o.start + o.size),
            ).toBe(true);
            live.push({ start, size: step.size });
          }
          for (const piece of live) ranges.release(piece.start);
          expect(ranges.used).toBe(0);
          expect(ranges.take(1000, 1)).toBe(0);
        },
      ),
    );
  });
});
