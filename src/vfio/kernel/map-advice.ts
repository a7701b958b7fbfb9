// Why a DMA mapping was refused: the two limits that users meet (locked memory, number of mappings)
// with needed and allowed, everything else by its errno. Source: linux vfio_iommu_type1.c
// (vfio_pin_pages_remote, dma_avail), iommufd io_pagetable.c; limits: proc(5), setrlimit(2).

import { readFileSync } from 'node:fs';
import { VfioError } from '../../support/errors.ts';
import type { DmaMapping } from '../device.ts';
import { ERRNO } from './abi.ts';

const MAP = 'map DMA';

/** What is mapped in the address space already. */
export interface MappedNow {
  readonly bytes: number;
  readonly mappings: number;
}

/** A refused MAP_DMA or IOAS_MAP. */
export function notMapped(
  space: { readonly path: string; room(): number },
  errno: number,
  mapping: DmaMapping,
  now: MappedNow,
): VfioError {
  return new VfioError(MAP, errno, space.path, advice(space.room, errno, mapping, now));
}

function advice(room: () => number, errno: number, mapping: DmaMapping, now: MappedNow): string {
  if (errno === ERRNO.ENOMEM) return memoryAdvice(now.bytes + mapping.sizeBytes);
  const left = errno === ERRNO.ENOSPC ? room() : -1;
  if (left >= 0) {
    return `expected room for one mapping more than the ${now.mappings} there are, the container takes ${now.mappings + left}; raise it (parameter dma_entry_limit of vfio_iommu_type1), or use fewer and larger mempools`;
  }
  const { iova, sizeBytes, address } = mapping;
  return `${sizeBytes} bytes at IOVA 0x${iova.toString(16)}, address 0x${address.toString(16)}`;
}

function memoryAdvice(neededBytes: number): string {
  const allowed = lockedMemoryLimit();
  if (allowed >= neededBytes) {
    return `expected to lock ${size(neededBytes)}, which RLIMIT_MEMLOCK (${size(allowed)}) allows this process, so the system or its cgroup is out of memory, or other processes of this user have locked the rest; free memory or use smaller mempools`;
  }
  return `needs ${size(neededBytes)} of locked memory, RLIMIT_MEMLOCK allows ${size(allowed)}; raise it: \`sudo prlimit --pid $$ --memlock=unlimited\` for this shell, LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for a container, memlock in /etc/security/limits.conf for good`;
}

/** The soft limit in bytes; Infinity for none, or where it cannot be read. */
function lockedMemoryLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const limit = Number(/^Max locked memory\s+(\d+)/m.exec(limits)?.[1]);
    return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function size(bytes: number): string {
  if (bytes === Number.POSITIVE_INFINITY) return 'unlimited';
  return bytes < 2 ** 20 ? `${Math.floor(bytes / 1024)} KiB` : `${Math.floor(bytes / 2 ** 20)} MiB`;
}
