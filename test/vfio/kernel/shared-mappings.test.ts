// Reference counts of the mappings that devices of one address space share.

import { describe, expect, it } from 'vitest';
import { iovaOf } from '../../../src/memory/iova.ts';
import type { DmaMapping } from '../../../src/vfio/device.ts';
import { SharedMappings } from '../../../src/vfio/kernel/shared-mappings.ts';

const mapping = (
  offset: number,
  sizeBytes: number,
  address = 0x7000_0000 + offset,
): DmaMapping => ({
  iova: iovaOf(offset),
  sizeBytes,
  offset,
  address,
  fd: 3,
  fdOffset: 0,
});

/** A space that notes its calls and answers with what it is told. */
function recorded(answers: { map?: number; unmap?: number; room?: number } = {}) {
  const calls: string[] = [];
  const mappings = new SharedMappings({
    path: '/dev/x',
    map({ offset, sizeBytes }) {
      calls.push(`map ${offset} ${sizeBytes}`);
      return answers.map ?? 0;
    },
    unmap(iova, sizeBytes) {
      calls.push(`unmap ${iova - 2 ** 32} ${sizeBytes}`);
      return answers.unmap ?? sizeBytes;
    },
    room: () => answers.room ?? -1,
  });
  return { mappings, calls };
}

describe('mappings that devices share', () => {
  it('refuse other memory over what is mapped, whichever way it overlaps', () => {
    const { mappings, calls } = recorded();
    mappings.acquire(mapping(0x4000, 0x4000));
    const over = [
      mapping(0x4000, 0x4000, 0x1000),
      mapping(0x4000, 0x2000),
      mapping(0x7000, 0x2000),
      mapping(0x3000, 0x2000),
      mapping(0x3000, 0x9000),
      mapping(0x5000, 0x1000),
    ];
    for (const wrong of over) expect(() => mappings.acquire(wrong)).toThrow(/EEXIST/);
    mappings.acquire(mapping(0x3000, 0x1000));
    mappings.acquire(mapping(0x8000, 0x1000));
    expect(calls).toEqual(['map 16384 16384', 'map 12288 4096', 'map 32768 4096']);
  });

  it('are made by the first and end with the last that asks', () => {
    const { mappings, calls } = recorded();
    const shared = mapping(0x4000, 0x1000);
    mappings.acquire(shared);
    mappings.acquire(shared);
    mappings.acquire(shared);
    mappings.release(shared.iova, 0x1000);
    mappings.release(shared.iova, 0x1000);
    expect(calls).toEqual(['map 16384 4096']);
    mappings.release(shared.iova, 0x1000);
    expect(calls).toEqual(['map 16384 4096', 'unmap 16384 4096']);
    mappings.acquire(shared);
    expect(calls).toHaveLength(3);
  });

  it('that the kernel refused are not counted', () => {
    const { mappings, calls } = recorded({ map: -14 });
    expect(() => mappings.acquire(mapping(0x4000, 0x1000))).toThrow(/EFAULT/);
    expect(() => mappings.acquire(mapping(0x4000, 0x1000))).toThrow(/EFAULT/);
    expect(calls).toHaveLength(2);
  });

  it('beyond the limit of the container are refused with that limit', () => {
    const answers: { map?: number; room: number } = { room: 0 };
    const { mappings } = recorded(answers);
    mappings.acquire(mapping(0x4000, 0x1000));
    mappings.acquire(mapping(0x5000, 0x1000));
    answers.map = -28;
    expect(() => mappings.acquire(mapping(0x6000, 0x1000))).toThrow(
      /ENOSPC: expected room for one mapping more than the 2 there are, the container takes 2;/,
    );
  });

  it('that the kernel takes back in part or not at all stay, and can be tried again', () => {
    const answers: { unmap?: number } = { unmap: 0x1000 };
    const { mappings, calls } = recorded(answers);
    const { iova } = mapping(0x4000, 0x2000);
    mappings.acquire(mapping(0x4000, 0x2000));
    expect(() => mappings.release(iova, 0x2000)).toThrow(/expected 8192 bytes .* taken back/);
    answers.unmap = -16;
    expect(() => mappings.release(iova, 0x2000)).toThrow(/EBUSY/);
    answers.unmap = 0x2000;
    mappings.release(iova, 0x2000);
    mappings.release(iova, 0x2000);
    expect(calls).toHaveLength(4);
  });
});
