// Group and container, the ABI that every kernel with VFIO has: one container a process with a
// type1v2 IOMMU, into which each device's group is put, so that all devices see the same memory at
// the same IOVAs and it is pinned once. Sequence: docs/82599-vf.md sec 9.3, linux driver-api/vfio.rst.

import { native } from '../../support/native.ts';
import type { DmaMapping } from '../device.ts';
import { DMA_MAP_FLAG } from '../linux-vfio.ts';
import { noType1, notGiven, notIsolated, notVfio } from './advice.ts';
import { iommuFacts } from './capabilities.ts';
import type { Attachment } from './device.ts';
import { blockersOf, notViable } from './diagnose.ts';
import { groupFiles, openVfioFile } from './files.ts';
import {
  call,
  GROUP_FLAG,
  type OpenFile,
  tryCall,
  VFIO_API_VERSION,
  VFIO_TYPE1v2_IOMMU,
} from './ioctl.ts';
import { type IommuSpace, SharedMappings } from './shared-mappings.ts';
import { allocate, exactU64 } from './structs.ts';
import type { Machine, PciFacts } from './sysfs.ts';

interface Group {
  readonly file: OpenFile;
  /** Devices of it that this process has open. */
  users: number;
}

/** An open /dev/vfio/vfio with the groups in it. */
interface Container {
  readonly file: OpenFile;
  readonly groups: Map<number, Group>;
  readonly mappings: SharedMappings;
}

/** One a process; by path, since a test may have /dev elsewhere. */
const containers = new Map<string, Container>();

/**
 * Opens a device through its group.
 * @throws VfioError with cause and cure; nothing stays open then
 */
export function attachByGroup(machine: Machine, facts: PciFacts): Attachment {
  const container = openContainer(machine, facts);
  let group: Group | undefined;
  try {
    group = joinGroup(container, machine, facts);
    // Asked anew with each group: a group may narrow what the container can map.
    const { iovaRanges } = iommuFacts(container.file);
    const path = group.file.path;
    const fd = deviceFd(group.file, facts.pci);
    return {
      file: { fd, path },
      iovaRanges,
      map: (mapping) => container.mappings.acquire(mapping),
      unmap: (iova, sizeBytes) => container.mappings.release(iova, sizeBytes),
      release: () => {
        native().close(fd);
        leaveGroup(container, facts.group);
      },
    };
  } catch (error) {
    if (group === undefined) closeIfUnused(container);
    else leaveGroup(container, facts.group);
    throw error;
  }
}

function openContainer(machine: Machine, facts: PciFacts): Container {
  const [, wanted] = groupFiles(facts, machine.dev);
  const { path } = wanted;
  const open = containers.get(path);
  if (open !== undefined) return open;
  const file = openVfioFile(machine, wanted, facts.pci);
  const container: Container = {
    file,
    groups: new Map(),
    mappings: new SharedMappings(type1Space(file)),
  };
  containers.set(path, container);
  try {
    const version = tryCall(file.fd, 'VFIO_GET_API_VERSION', 0);
    if (version < 0) throw notVfio(path, -version, 'a file that is not VFIO');
    if (version !== VFIO_API_VERSION) throw notVfio(path, 0, `version ${version}`);
    if (tryCall(file.fd, 'VFIO_CHECK_EXTENSION', VFIO_TYPE1v2_IOMMU) !== 1) throw noType1(path);
  } catch (error) {
    closeIfUnused(container);
    throw error;
  }
  return container;
}

function joinGroup(container: Container, machine: Machine, facts: PciFacts): Group {
  const joined = container.groups.get(facts.group);
  if (joined !== undefined) {
    // A group is opened once (EBUSY otherwise): its devices share the fd.
    joined.users++;
    return joined;
  }
  const file = openVfioFile(machine, groupFiles(facts, machine.dev)[0], facts.pci);
  try {
    const status = allocate('vfio_group_status');
    call(file, 'query group', 'VFIO_GROUP_GET_STATUS', status.buffer);
    if ((status.fields.flags & GROUP_FLAG.VIABLE) === 0) {
      throw notViable(file.path, facts.pci, blockersOf(facts, machine.sysfs));
    }
    const containerFd = Buffer.alloc(4);
    containerFd.writeInt32LE(container.file.fd);
    attachStep(file, 'VFIO_GROUP_SET_CONTAINER', containerFd, facts.pci);
    // The IOMMU is chosen once, with the first group: the kernel refuses a second time.
    if (container.groups.size === 0) {
      attachStep(container.file, 'VFIO_SET_IOMMU', VFIO_TYPE1v2_IOMMU, facts.pci);
    }
  } catch (error) {
    native().close(file.fd);
    throw error;
  }
  const group = { file, users: 1 };
  container.groups.set(facts.group, group);
  return group;
}

function attachStep(
  file: OpenFile,
  request: 'VFIO_GROUP_SET_CONTAINER' | 'VFIO_SET_IOMMU',
  argument: Buffer | number,
  pci: string,
): void {
  const result = tryCall(file.fd, request, argument);
  if (result < 0) throw notIsolated(file.path, request, -result, pci);
}

/** Opening the device resets it (VFLR) and clears its bus mastering. */
function deviceFd(group: OpenFile, pci: string): number {
  const request = 'VFIO_GROUP_GET_DEVICE_FD';
  const result = tryCall(group.fd, request, Buffer.from(`${pci}\0`, 'latin1'));
  if (result < 0) throw notGiven(group.path, request, -result, pci);
  return result;
}

function leaveGroup(container: Container, number: number): void {
  const group = container.groups.get(number);
  if (group === undefined) return;
  group.users--;
  if (group.users > 0) return;
  container.groups.delete(number);
  // The kernel takes the group out of its container when its last fd is closed.
  native().close(group.file.fd);
  closeIfUnused(container);
}

function closeIfUnused(container: Container): void {
  if (container.groups.size > 0) return;
  containers.delete(container.file.path);
  native().close(container.file.fd);
}

function type1Space(container: OpenFile): IommuSpace {
  return {
    path: container.path,
    map({ iova, sizeBytes, address }: DmaMapping): number {
      const flags = DMA_MAP_FLAG.READ | DMA_MAP_FLAG.WRITE;
      const { buffer } = allocate('vfio_iommu_type1_dma_map', {
        flags,
        vaddr: address,
        iova,
        size: sizeBytes,
      });
      return Math.min(tryCall(container.fd, 'VFIO_IOMMU_MAP_DMA', buffer), 0);
    },
    unmap(iova: number, sizeBytes: number): number {
      const range = allocate('vfio_iommu_type1_dma_unmap', { iova, size: sizeBytes });
      const result = tryCall(container.fd, 'VFIO_IOMMU_UNMAP_DMA', range.buffer);
      return result < 0 ? result : exactU64(range.fields.size);
    },
    room: () => iommuFacts(container).mappingsLeft,
  };
}
