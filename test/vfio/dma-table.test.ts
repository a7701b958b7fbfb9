import { describe, expect, test } from 'vitest';
import type { Iova } from '../../src/memory/iova.ts';
import { VfioError } from '../../src/support/errors.ts';
import type { DmaMapping } from '../../src/vfio/device.ts';
import { DmaTable } from '../../src/vfio/dma-table.ts';

const MB2 = 0x20_0000;

function mapping(iova: number, sizeBytes = MB2, over: Partial<DmaMapping> = {}): DmaMapping {
  return { iova: iova as Iova, sizeBytes, offset: 0, address: 0, fd: 3, fdOffset: 0, ...over };
}

function errnoOf(run: () => void): number {
  try {
    run();
  } catch (error) {
    if (error instanceof VfioError) return error.errno;
    throw error;
  }
  return 0;
}

describe('a DMA mapping', () => {
  const table = new DmaTable(2, [{ first: 0, last: 2 ** 39 - 1 }], '/run/vf.sock');
  table.add(2 ** 32, MB2);

  test.each([
    ['off a page', mapping(2 ** 33 + 16), 22],
    ['of part of a page', mapping(2 ** 33, 100), 22],
    ['of nothing', mapping(2 ** 33, 0), 22],
    ['from the middle of a page of its file', mapping(2 ** 33, MB2, { fdOffset: 8 }), 22],
    ['without an fd', mapping(2 ** 33, MB2, { fd: -1 }), 22],
    ['beyond 39 bits', mapping(2 ** 39), 22],
    ['across the end of 39 bits', mapping(2 ** 39 - 4096), 22],
    ['below zero', mapping(-MB2), 22],
    ['over another', mapping(2 ** 32), 17],
    ['over the last page of another', mapping(2 ** 32 + MB2 - 4096), 17],
    ['around another', mapping(2 ** 32 - MB2, 3 * MB2), 17],
  ])('%s is refused', (_, bad, errno) => {
    expect(errnoOf(() => table.checkMap(bad))).toBe(errno);
  });

  test('beside another is accepted, on both sides', () => {
    expect(errnoOf(() => table.checkMap(mapping(2 ** 32 + MB2)))).toBe(0);
    expect(errnoOf(() => table.checkMap(mapping(2 ** 32 - MB2)))).toBe(0);
  });

  test('beyond the number the server takes is refused', () => {
    const full = new DmaTable(1, [{ first: 0, last: 2 ** 39 - 1 }], '/run/vf.sock');
    full.add(0, MB2);
    expect(errnoOf(() => full.checkMap(mapping(2 ** 32)))).toBe(28);
    full.remove(0);
    expect(errnoOf(() => full.checkMap(mapping(2 ** 32)))).toBe(0);
  });

  test('is unmapped whole or not at all', () => {
    expect(errnoOf(() => table.checkUnmap(2 ** 33, MB2))).toBe(2);
    expect(errnoOf(() => table.checkUnmap(2 ** 32, 4096))).toBe(22);
    expect(errnoOf(() => table.checkUnmap(2 ** 32 + 4096, 4096))).toBe(22);
    expect(errnoOf(() => table.checkUnmap(2 ** 32, 2 * MB2))).toBe(22);
    expect(errnoOf(() => table.checkUnmap(2 ** 32, MB2))).toBe(0);
  });
});
