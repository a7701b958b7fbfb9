// The memfd behind the arena's DMA memory: 2 MiB huge pages where the system
// has free ones, else transparent huge pages, else 4 KiB pages. Sealed against
// shrinking, so that whoever is handed the fd can trust its length.

import { readFileSync } from 'node:fs';
import { VfioError } from '../support/errors.ts';
import { F_SEAL, MAP_SHARED, PROT_READ_WRITE } from '../support/linux.ts';
import { native } from '../support/native.ts';

// linux/memfd.h, linux/fcntl.h, asm-generic/mman-common.h
const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
const MFD_HUGETLB = 0x4;
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_WRITE = 23;

/** A growing file whose ranges are mapped into the arena. */
export interface PageBacking {
  readonly kind: string;
  readonly fd: number;
  /**
   * Appends `sizeBytes` (multiple of 2 MiB) to the file and maps them at `address`, replacing what was there.
   * @returns the offset in the file
   * @throws VfioError ENOMEM
   */
  extend(address: number, sizeBytes: number): number;
}

function freeHugePages(): number {
  try {
    const path = '/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages';
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return 0;
  }
}

function transparentHugeSharedMemory(): boolean {
  try {
    const mode = readFileSync('/sys/kernel/mm/transparent_hugepage/shmem_enabled', 'utf8');
    return /\[(always|advise|within_size|force)\]/.test(mode);
  } catch {
    return false;
  }
}

function checked(result: number, operation: string): number {
  if (result < 0) throw new VfioError(operation, -result, 'arena memfd');
  return result;
}

/**
 * Makes the backing file. The huge page choice is made once: a process whose huge pages run out while
 * it grows gets ENOMEM, not a silent mixture.
 */
export function openBacking(): PageBacking {
  const shim = native();
  const huge = freeHugePages() > 0;
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0);
  const fd = checked(shim.memfdCreate('ixy-arena', flags), 'create memfd');
  checked(shim.addSeals(fd, F_SEAL.SHRINK), 'seal memfd');
  const transparent = !huge && transparentHugeSharedMemory();
  let sizeBytes = 0;
  return {
    fd,
    kind: huge ? '2 MiB huge pages' : transparent ? 'transparent huge pages' : '4 KiB pages',
    extend(address, moreBytes) {
      const fdOffset = sizeBytes;
      checked(shim.ftruncate(fd, fdOffset + moreBytes), 'grow memfd');
      sizeBytes += moreBytes;
      checked(
        shim.mmapFixed(address, moreBytes, PROT_READ_WRITE, MAP_SHARED, fd, fdOffset),
        'map memfd into the arena',
      );
      // Advice only: without it the kernel uses 4 KiB pages, which is slower and otherwise the same.
      if (transparent) shim.madvise(address, moreBytes, MADV_HUGEPAGE);
      // Advice, too, of Linux 5.14: a fault a page takes ten times as long as all pages at once.
      shim.madvise(address, moreBytes, MADV_POPULATE_WRITE);
      return fdOffset;
    },
  };
}
