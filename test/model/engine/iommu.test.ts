import { describe, expect, it } from 'vitest';
import { Iommu } from '../../../src/model/engine/iommu.ts';

const EEXIST = -17;
const EINVAL = -22;

describe('iommu map', () => {
  it('refuses an IOVA, size or heap offset that is no multiple of 4096', () => {
    const iommu = new Iommu();
    expect(iommu.map(0x1001, 0x1000, 0, true, true)).toBe(EINVAL);
    expect(iommu.map(0x1000, 0x800, 0, true, true)).toBe(EINVAL);
    expect(iommu.map(0x1000, 0, 0, true, true)).toBe(EINVAL);
    expect(iommu.map(0x1000, 0x1000, 0x10, true, true)).toBe(EINVAL);
    expect(iommu.map(-0x1000, 0x1000, 0, true, true)).toBe(EINVAL);
    expect(iommu.count).toBe(0);
  });

  it('refuses IOVAs above 2^52', () => {
    expect(new Iommu().map(2 ** 52, 0x1000, 0, true, true)).toBe(EINVAL);
  });

  it('refuses every kind of overlap and leaves the first mapping as it was', () => {
    const iommu = new Iommu();
    expect(iommu.map(0x10000, 0x4000, 0x100000, true, true)).toBe(0);
    for (const [start, size] of [
      [0x10000, 0x4000],
      [0xf000, 0x2000],
      [0x13000, 0x2000],
      [0x11000, 0x1000],
      [0x8000, 0x10000],
    ] as const) {
      expect(iommu.map(start, size, 0, true, true)).toBe(EEXIST);
    }
    expect(iommu.translate(0x10010, 0, 16, true)).toBe(0x100010);
    expect(iommu.count).toBe(1);
  });
});

describe('iommu unmap', () => {
  it('refuses to cut a mapping at either end and changes nothing', () => {
    const iommu = new Iommu();
    iommu.map(0x10000, 0x4000, 0, true, true);
    iommu.map(0x20000, 0x1000, 0x8000, true, true);
    expect(iommu.unmap(0x11000, 0x20000)).toBe(EINVAL);
    expect(iommu.unmap(0x0, 0x12000)).toBe(EINVAL);
    expect(iommu.unmap(0x11000, 0x1000)).toBe(EINVAL);
    expect(iommu.unmap(0x10000, 0x800)).toBe(EINVAL);
    expect(iommu.count).toBe(2);
    expect(iommu.translate(0x20000, 0, 4096, false)).toBe(0x8000);
  });

  it('succeeds with 0 bytes where nothing is mapped', () => {
    expect(new Iommu().unmap(0x1000, 0x1000)).toBe(0);
  });

  it('drops all mappings inside the range, also when it is the whole address space', () => {
    const iommu = new Iommu();
    for (let i = 0; i < 1000; i++) iommu.map(0x100000 + i * 0x2000, 0x1000, i * 0x1000, true, true);
    expect(iommu.unmap(0x100000, 0x2000 * 10)).toBe(10 * 0x1000);
    expect(iommu.unmap(0, 2 ** 63)).toBe(990 * 0x1000);
    expect(iommu.count).toBe(0);
    expect(iommu.translate(0x100000 + 20 * 0x2000, 0, 1, false)).toBe(-1);
  });

  it('cuts the middle out of neighbours that translation had joined', () => {
    const iommu = new Iommu();
    for (let i = 0; i < 5; i++)
      iommu.map(0x10000 + i * 0x1000, 0x1000, 0x40000 + i * 0x1000, true, true);
    expect(iommu.translate(0x10000, 0, 0x5000, true)).toBe(0x40000);
    expect(iommu.unmap(0x12000, 0x1000)).toBe(0x1000);
    expect(iommu.translate(0x11ff0, 0, 0x10, true)).toBe(0x41ff0);
    expect(iommu.translate(0x11ff0, 0, 0x11, true)).toBe(-1);
    expect(iommu.translate(0x12000, 0, 1, true)).toBe(-1);
    expect(iommu.translate(0x13000, 0, 0x2000, true)).toBe(0x43000);
    expect(iommu.map(0x12000, 0x1000, 0x42000, true, true)).toBe(0);
    expect(iommu.translate(0x10000, 0, 0x5000, true)).toBe(0x40000);
  });
});

describe('iommu translate', () => {
  it('refuses an access one byte beyond a mapping, before it, and at another high word', () => {
    const iommu = new Iommu();
    iommu.map(0x1_0000_0000, 0x2000, 0x4000, true, true);
    expect(iommu.translate(0, 1, 0x2000, true)).toBe(0x4000);
    expect(iommu.translate(1, 1, 0x2000, true)).toBe(-1);
    expect(iommu.translate(-1, 0, 1, true)).toBe(-1);
    expect(iommu.translate(0, 0, 1, true)).toBe(-1);
    expect(iommu.translate(0, -1, 1, true)).toBe(-1);
  });

  it('keeps read and write rights apart', () => {
    const iommu = new Iommu();
    iommu.map(0x1000, 0x1000, 0x1000, true, false);
    iommu.map(0x2000, 0x1000, 0x2000, false, true);
    expect(iommu.translate(0x1000, 0, 4, true)).toBe(-1);
    expect(iommu.translate(0x1000, 0, 4, false)).toBe(0x1000);
    expect(iommu.translate(0x2000, 0, 4, false)).toBe(-1);
    expect(iommu.translate(0x2000, 0, 4, true)).toBe(0x2000);
  });

  it('faults on a mapping that has no memory behind it', () => {
    const iommu = new Iommu();
    expect(iommu.map(0xfffc0000, 0x40000, -1, true, true)).toBe(0);
    expect(iommu.translate(0xfffc0000 | 0, 0, 4, false)).toBe(-1);
    expect(iommu.split(0xfffc0000 | 0, 0, 4, false, [], [])).toBe(0);
    expect(iommu.unmap(0xfffc0000, 0x40000)).toBe(0x40000);
  });

  it('joins neighbours that continue each other in IOVA and heap, in any order of mapping', () => {
    const iommu = new Iommu();
    for (const i of [3, 0, 2, 1])
      iommu.map(0x5000 + i * 0x1000, 0x1000, 0x9000 + i * 0x1000, true, true);
    expect(iommu.translate(0x5800, 0, 0x3000, true)).toBe(0x9800);
  });

  it('splits an access over neighbours that lie apart in the heap, or says no for all of it', () => {
    const iommu = new Iommu();
    iommu.map(0x1000, 0x1000, 0x8000, true, true);
    iommu.map(0x2000, 0x1000, 0x20000, true, true);
    iommu.map(0x3000, 0x1000, 0x40000, true, false);
    const offsets: number[] = [];
    const lengths: number[] = [];
    expect(iommu.translate(0x1ff0, 0, 0x20, true)).toBe(-1);
    expect(iommu.split(0x1ff0, 0, 0x20, true, offsets, lengths)).toBe(2);
    expect(offsets.slice(0, 2)).toEqual([0x8ff0, 0x20000]);
    expect(lengths.slice(0, 2)).toEqual([0x10, 0x10]);
    expect(iommu.split(0x1ff0, 0, 0x1020, true, offsets, lengths)).toBe(0);
    expect(iommu.split(0x1ff0, 0, 0x1020, false, offsets, lengths)).toBe(3);
    expect(iommu.split(0x3ff0, 0, 0x11, false, offsets, lengths)).toBe(0);
  });

  it('gives a window that holds exactly what is contiguous within one high word', () => {
    const iommu = new Iommu();
    iommu.map(0xffff_f000, 0x2000, 0x10000, true, true);
    expect(iommu.translate(0xffff_f800 | 0, 0, 16, true)).toBe(0x10800);
    expect(iommu.windowStart).toBe(0xffff_f000 | 0);
    expect(iommu.windowBytes).toBe(0x1000);
    expect(iommu.windowBase).toBe(0x10000);
    expect(iommu.translate(0xffff_f800 | 0, 0, 0x1000, true)).toBe(0x10800);
  });

  it('agrees with a page table over random maps and unmaps', () => {
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    const iommu = new Iommu();
    const pages = new Map<number, number>();
    const sizes = new Map<number, number>();
    for (let round = 0; round < 3000; round++) {
      const page = random(64);
      const count = 1 + random(4);
      const range = Array.from({ length: count }, (_, i) => page + i);
      if (random(2) === 0) {
        const heap = random(2) === 0 ? page : 100 + random(50);
        const expected = range.some((p) => pages.has(p)) ? EEXIST : 0;
        expect(iommu.map(page * 4096, count * 4096, heap * 4096, true, true)).toBe(expected);
        if (expected === 0) {
          sizes.set(page, count);
          for (const [i, p] of range.entries()) pages.set(p, heap + i);
        }
      } else {
        const inside = [...sizes].filter(([s, n]) => s < page + count && s + n > page);
        const cut = inside.some(([s, n]) => s < page || s + n > page + count);
        const bytes = inside.reduce((sum, [, n]) => sum + n * 4096, 0);
        expect(iommu.unmap(page * 4096, count * 4096)).toBe(cut ? EINVAL : bytes);
        if (!cut) {
          for (const [s, n] of inside) {
            sizes.delete(s);
            for (let i = 0; i < n; i++) pages.delete(s + i);
          }
        }
      }
      const probe = random(68);
      const first = pages.get(probe);
      const second = pages.get(probe + 1);
      expect(iommu.translate(probe * 4096, 0, 4096, true)).toBe(
        first === undefined ? -1 : first * 4096,
      );
      const joined = first !== undefined && second === first + 1;
      expect(iommu.translate(probe * 4096, 0, 8192, true)).toBe(joined ? first * 4096 : -1);
    }
    expect(iommu.count).toBe(sizes.size);
  });
});
