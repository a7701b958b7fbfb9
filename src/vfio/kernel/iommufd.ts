// A device's own file and iommufd, the ABI of Linux 6.6 and later: no groups to open, one IOAS a
// process to which every device is attached. Sequence: docs/82599-vf.md sec 9.5, linux driver-api/vfio.rst
// "VFIO Device cdev", userspace-api/iommufd.rst.

import type { IovaRange } from '../../memory/iova.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';
import type { DmaMapping } from '../device.ts';
import { notGiven, notIsolated } from './advice.ts';
import type { Attachment } from './device.ts';
import { foreign } from './ffi.ts';
import { cdevFiles, openVfioFile } from './files.ts';
import { call, IOAS_MAP_FLAG, type OpenFile, tryCall } from './ioctl.ts';
import { type IommuSpace, SharedMappings } from './shared-mappings.ts';
import { allocate, exactU64, structAt, structType } from './structs.ts';
import type { Machine, PciFacts } from './sysfs.ts';

/** An open /dev/iommu with one IOAS. */
interface Iommufd {
  readonly file: OpenFile;
  /** -1 until it is allocated. */
  ioas: number;
  /** Devices attached, or about to be. */
  users: number;
  readonly mappings: SharedMappings;
}

/** One a process; by path, since a test may have /dev elsewhere. */
const iommufds = new Map<string, Iommufd>();

/** Ranges asked for at first; a VF of this family has two or three. */
const FIRST_RANGES = 16;
/** The kernel may find more each time it is asked; it is asked this often. */
const RANGE_ATTEMPTS = 3;
const MAX_RANGES = 1 << 16;

/**
 * Opens a device through its own file.
 * @throws VfioError with cause and cure; nothing stays open then
 */
export function attachByCdev(machine: Machine, facts: PciFacts): Attachment {
  const device = openVfioFile(machine, cdevFiles(facts, machine.dev)[0], facts.pci);
  let iommufd: Iommufd | undefined;
  try {
    iommufd = useIommufd(machine, facts);
    const shared = iommufd;
    // Until it is bound every other request on the device fails; binding resets it (VFLR).
    bind(device, shared.file.fd, facts.pci);
    if (shared.ioas < 0) shared.ioas = allocateIoas(shared.file);
    attach(device, shared.ioas, facts.pci);
    // After the attachment: reserved ranges, such as the MSI window, appear only with it.
    const iovaRanges = queryRanges(shared.file, shared.ioas);
    return {
      file: device,
      iovaRanges,
      map: (mapping) => shared.mappings.acquire(mapping),
      unmap: (iova, sizeBytes) => shared.mappings.release(iova, sizeBytes),
      release: () => {
        const { buffer } = allocate('vfio_device_detach_iommufd_pt');
        // What fails here closing the device does too.
        tryCall(device.fd, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', buffer);
        native().close(device.fd);
        leaveIommufd(shared);
      },
    };
  } catch (error) {
    native().close(device.fd);
    if (iommufd !== undefined) leaveIommufd(iommufd);
    throw error;
  }
}

function useIommufd(machine: Machine, facts: PciFacts): Iommufd {
  const [, wanted] = cdevFiles(facts, machine.dev);
  let iommufd = iommufds.get(wanted.path);
  if (iommufd === undefined) {
    const file = openVfioFile(machine, wanted, facts.pci);
    const space = ioasSpace(file, () => iommufd?.ioas ?? -1);
    iommufd = { file, ioas: -1, users: 0, mappings: new SharedMappings(space) };
    iommufds.set(file.path, iommufd);
  }
  iommufd.users++;
  return iommufd;
}

function leaveIommufd(iommufd: Iommufd): void {
  iommufd.users--;
  if (iommufd.users > 0) return;
  iommufds.delete(iommufd.file.path);
  if (iommufd.ioas >= 0) {
    const { buffer } = allocate('iommu_destroy', { id: iommufd.ioas });
    tryCall(iommufd.file.fd, 'IOMMU_DESTROY', buffer);
  }
  native().close(iommufd.file.fd);
}

function bind(device: OpenFile, iommufd: number, pci: string): void {
  const request = 'VFIO_DEVICE_BIND_IOMMUFD';
  const { buffer } = allocate('vfio_device_bind_iommufd', { iommufd });
  const result = tryCall(device.fd, request, buffer);
  if (result < 0) throw notGiven(device.path, request, -result, pci);
}

function allocateIoas(iommufd: OpenFile): number {
  const { fields, buffer } = allocate('iommu_ioas_alloc');
  call(iommufd, 'make IOMMU address space', 'IOMMU_IOAS_ALLOC', buffer);
  return fields.out_ioas_id;
}

function attach(device: OpenFile, ioas: number, pci: string): void {
  const request = 'VFIO_DEVICE_ATTACH_IOMMUFD_PT';
  const { buffer } = allocate('vfio_device_attach_iommufd_pt', { pt_id: ioas });
  const result = tryCall(device.fd, request, buffer);
  if (result < 0) throw notIsolated(device.path, request, -result, pci);
}

function queryRanges(iommufd: OpenFile, ioas: number): readonly IovaRange[] {
  const name = 'IOMMU_IOAS_IOVA_RANGES';
  const { size } = structType('iommu_iova_range');
  let room = FIRST_RANGES;
  let result = 0;
  for (let attempt = 0; attempt < RANGE_ATTEMPTS && room <= MAX_RANGES; attempt++) {
    const list = Buffer.alloc(room * size);
    const { fields, buffer } = allocate('iommu_ioas_iova_ranges', {
      ioas_id: ioas,
      num_iovas: room,
      allowed_iovas: foreign().addressOf(list),
    });
    result = tryCall(iommufd.fd, name, buffer);
    const count = fields.num_iovas;
    if (result >= 0 && count <= room) return readRanges(list, count);
    if (result >= 0 || -result !== ERRNO.EMSGSIZE) break;
    room = count; // how many there are
  }
  throw new VfioError('query IOVA ranges', Math.max(-result, 0), iommufd.path, name);
}

function readRanges(list: Buffer, count: number): readonly IovaRange[] {
  const { size } = structType('iommu_iova_range');
  return Array.from({ length: count }, (_, i) => {
    const range = structAt('iommu_iova_range', list, i * size);
    return { first: exactU64(range?.start ?? 0), last: exactU64(range?.last ?? 0) };
  });
}

function ioasSpace(iommufd: OpenFile, ioas: () => number): IommuSpace {
  return {
    path: iommufd.path,
    map({ iova, sizeBytes, address }: DmaMapping): number {
      const flags = IOAS_MAP_FLAG.FIXED_IOVA | IOAS_MAP_FLAG.WRITEABLE | IOAS_MAP_FLAG.READABLE;
      const { buffer } = allocate('iommu_ioas_map', {
        flags,
        ioas_id: ioas(),
        user_va: address,
        length: sizeBytes,
        iova,
      });
      return Math.min(tryCall(iommufd.fd, 'IOMMU_IOAS_MAP', buffer), 0);
    },
    unmap(iova: number, sizeBytes: number): number {
      const range = allocate('iommu_ioas_unmap', { ioas_id: ioas(), iova, length: sizeBytes });
      const result = tryCall(iommufd.fd, 'IOMMU_IOAS_UNMAP', range.buffer);
      return result < 0 ? result : exactU64(range.fields.length);
    },
    room: () => -1, // no limit but memory
  };
}
