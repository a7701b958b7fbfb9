// The MSI-X vectors of one client: DEVICE_SET_IRQS as vfio-pci answers it (linux
// vfio_pci_intrs.c). Vectors come and go one at a time; masking is the client's own business.

import { readlinkSync } from 'node:fs';
import { VECTORS } from '../../hw/registers.ts';
import { ERRNO } from '../../support/linux.ts';
import { native } from '../../support/native.ts';
import {
  IRQ,
  IRQ_ACTION,
  IRQ_DATA,
  PCI_IRQS,
  type SetIrqsCommand,
} from '../../vfio/user/protocol.ts';
import type { VfFunction } from '../types.ts';

/** Interrupts of each index: MSI-X only. */
export const IRQ_COUNTS: readonly number[] = Array.from({ length: PCI_IRQS }, (_, index) =>
  index === IRQ.MSIX ? VECTORS : 0,
);

/** The MSI-X vectors of one client. Owns the eventfds. */
export class ClientVectors {
  private readonly target: VfFunction;
  private readonly fds = new Int32Array(VECTORS).fill(-1);

  constructor(target: VfFunction) {
    this.target = target;
  }

  /**
   * @param set checked against IRQ_COUNTS by its decoder
   * @param fds the eventfds that came along; taken out where they are kept, the others stay the caller's
   * @returns 0, -22 for an fd that is no eventfd, or -25 for masking, which MSI-X has in its table
   */
  set(set: SetIrqsCommand, fds: number[]): number {
    if (set.action !== IRQ_ACTION.TRIGGER) return -ERRNO.ENOTTY;
    const end = set.start + set.count;
    // An index without interrupts can be disabled, too: only count 0 gets here.
    if (set.index !== IRQ.MSIX) return 0;
    if (!fds.every(isEventfd)) return -ERRNO.EINVAL;
    if (set.data === IRQ_DATA.EVENTFD) {
      const taken = fds.splice(0);
      for (let v = set.start; v < end; v++) this.connect(v, taken[v - set.start] ?? -1);
    } else if (set.count === 0) {
      this.clear();
    } else {
      for (let v = set.start; v < end; v++) {
        if (set.data === IRQ_DATA.NONE || set.bools[v - set.start] !== 0) this.signal(v);
      }
    }
    return 0;
  }

  /** Disconnects all vectors and closes their eventfds. */
  clear(): void {
    for (let v = 0; v < VECTORS; v++) this.connect(v, -1);
  }

  private connect(vector: number, fd: number): void {
    const before = this.fds[vector];
    const shim = native();
    this.fds[vector] = fd;
    // A full counter (EAGAIN) means that the reader is behind and will look anyway.
    this.target.connectVector(vector, fd < 0 ? null : () => void shim.eventfdSignal(fd));
    if (before >= 0) shim.close(before);
  }

  private signal(vector: number): void {
    const fd = this.fds[vector];
    if (fd >= 0) native().eventfdSignal(fd);
  }
}

/** As vfio-pci; a client's own socket, kept here, would also keep its hanging up from being noticed. */
function isEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
  } catch {
    return false;
  }
}
