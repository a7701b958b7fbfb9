// The one interface to a device. Three backends implement it: kernel VFIO,
// a vfio-user client, and the in-process model. The driver sees only this and
// cannot tell them apart. Contracts live here; backends do not repeat them.

import type { Iova, IovaRange } from '../memory/iova.ts';

/** A piece of arena memory to be made visible to a device. */
export interface DmaMapping {
  /** Where the device sees it; a multiple of 4096. */
  readonly iova: Iova;
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  /** Byte offset in the arena. */
  readonly offset: number;
  /** The same place as a user-space address. */
  readonly address: number;
  /** The memfd that backs it, and where in that file it starts. The mapping does not own the fd. */
  readonly fd: number;
  readonly fdOffset: number;
}

/** What the host may have to tell of a device; bits of what `takeEvents` returns. */
export const DEVICE_EVENT = {
  /** The host asks for the device back: VFIO's REQ. Whoever removes it there waits until the device is closed. */
  REMOVAL: 0x1,
  /** The device reported a PCIe error that it does not recover from by itself: VFIO's ERR. */
  ERROR: 0x2,
} as const;

/** What VFIO says of a function, raw: flags of the device and of its BAR0 (linux/vfio.h). */
export interface VfioFlags {
  readonly device: number;
  readonly bar0: number;
}

/**
 * A PCI function handed to this process.
 *
 * Register access is synchronous on every backend. Accesses are 32 bits, aligned, unsigned.
 * After `close()` every other method throws VfioError; `close()` itself is idempotent.
 */
export interface VfioDevice {
  /** The address it was opened by: "0000:03:10.0", "vfio-user:/path", "model:0.1". */
  readonly address: string;
  /** PCI device id, such as 0x10ed. */
  readonly deviceId: number;
  /** IOVAs this device can be given. */
  readonly iovaRanges: readonly IovaRange[];
  /** MSI-X vectors the function has. */
  readonly vectors: number;
  /** For reports; absent where no VFIO is in between. */
  readonly vfioFlags?: VfioFlags;

  /**
   * Reads BAR0 at a byte offset (0..0x3ffc, multiple of 4).
   * @returns the unsigned 32-bit value; 0xffffffff when the function is gone
   * @throws VfioError when the backend lost the device
   */
  read32(offset: number): number;
  /**
   * Writes BAR0 at a byte offset. Posted: a later read32 is the flush.
   * Every earlier store of this thread, to memory or to a mapped page, is visible to the device before this one.
   * @throws VfioError when the backend lost the device
   */
  write32(offset: number, value: number): void;
  /**
   * Where a 4 KiB page of BAR0 is mapped.
   * @param page 0..3
   * @returns its byte offset in the arena, or -1 where accesses must go through read32 and write32
   */
  pageOffset(page: number): number;

  /** Reads 16 bits of config space. */
  readConfig16(offset: number): number;
  /** Writes 16 bits of config space. */
  writeConfig16(offset: number, value: number): void;

  /**
   * Makes arena memory readable and writable by the device.
   * @throws VfioError EEXIST where it overlaps a mapping, EINVAL where misaligned or outside iovaRanges,
   *   ENOMEM beyond the memory lock limit, ENOSPC beyond the number of mappings
   */
  mapDma(mapping: DmaMapping): void;
  /**
   * Takes a mapping back, whole. On return the device has no access under way to it.
   * @throws VfioError EINVAL for a part of a mapping, ENOENT where there is none
   */
  unmapDma(iova: Iova, sizeBytes: number): void;

  /**
   * Connects MSI-X vectors to eventfds, all in one call, replacing what was there.
   * @param eventFds one fd a vector from vector 0 on; -1 leaves a vector unconnected
   * @throws VfioError, RangeError for more than `vectors`
   */
  enableVectors(eventFds: readonly number[]): void;
  /** Disconnects all vectors. */
  disableVectors(): void;

  /**
   * What the host told since the last call; each event is told once. Never blocks, so it may be asked every few
   * milliseconds; not for the datapath, since it makes a system call or two.
   * @returns bits of DEVICE_EVENT, 0 where there is nothing to tell, or the backend cannot know
   */
  takeEvents(): number;

  /**
   * Function level reset. Clears bus mastering; registers that an 82599 VF keeps over VFLR stay.
   * @throws VfioError; EAGAIN while the host waits for the device to be given back
   */
  reset(): void;

  /** Gives the function back: no DMA or interrupt after it returns. Idempotent. */
  close(): void;
}

/** What `readConfig16` and `writeConfig16` take. @throws RangeError */
export function checkConfigOffset(operation: string, offset: number, configBytes: number): void {
  const last = configBytes - 2;
  if (Number.isInteger(offset) && offset >= 0 && offset <= last && offset % 2 === 0) return;
  throw new RangeError(`${operation}: expected an even offset from 0 to ${last}, got ${offset}`);
}

/** What `enableVectors` takes. @returns an fd, or -1, for each vector that the device has. @throws RangeError */
export function wantedVectors(eventFds: readonly number[], vectors: number): readonly number[] {
  if (eventFds.length > vectors) {
    throw new RangeError(`eventFds: expected at most ${vectors}, got ${eventFds.length}`);
  }
  for (const fd of eventFds) {
    if (!Number.isInteger(fd) || fd < -1)
      throw new RangeError(`eventfd: expected -1 up, got ${fd}`);
  }
  return Array.from({ length: vectors }, (_, i) => eventFds[i] ?? -1);
}
