// The interrupts of one client: DEVICE_SET_IRQS as vfio-pci answers it (linux vfio_pci_intrs.c). MSI-X
// vectors come and go one at a time; masking is the client's own business. ERR and REQ are the host's to
// raise: a PCIe error, and the wish to have the device back.

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

/** Where the eventfds of each index begin, for those that have interrupts. */
const FIRST: Readonly<Record<number, number>> = {
  [IRQ.MSIX]: 0,
  [IRQ.ERR]: VECTORS,
  [IRQ.REQ]: VECTORS + 1,
};
const EVENTFDS = VECTORS + 2;
/** Interrupts of each index. */
export const IRQ_COUNTS: readonly number[] = Array.from({ length: PCI_IRQS }, (_, index) =>
  FIRST[index] === undefined ? 0 : index === IRQ.MSIX ? VECTORS : 1,
);

/** The interrupts of one client. Owns the eventfds. */
export class ClientVectors {
  private readonly target: VfFunction;
  private readonly fds = new Int32Array(EVENTFDS).fill(-1);

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
    const first = FIRST[set.index];
    // An index without interrupts can be disabled, too: only count 0 gets here.
    if (first === undefined) return 0;
    if (!fds.every(isEventfd)) return -ERRNO.EINVAL;
    const start = first + set.start;
    const end = start + set.count;
    if (set.data === IRQ_DATA.EVENTFD) {
      const taken = fds.splice(0);
      for (let i = start; i < end; i++) this.connect(i, taken[i - start] ?? -1);
    } else if (set.count === 0) {
      for (let i = first; i < first + IRQ_COUNTS[set.index]; i++) this.connect(i, -1);
    } else {
      for (let i = start; i < end; i++) {
        if (set.data === IRQ_DATA.NONE || set.bools[i - start] !== 0) this.signal(i);
      }
    }
    return 0;
  }

  /** Disconnects all interrupts and closes their eventfds. */
  clear(): void {
    for (let i = 0; i < EVENTFDS; i++) this.connect(i, -1);
  }

  /** Tells the client of something on the host: IRQ.ERR or IRQ.REQ. Nothing happens where it did not ask for that. */
  raise(irq: number): void {
    this.signal(FIRST[irq]);
  }

  private connect(place: number, fd: number): void {
    const before = this.fds[place];
    const shim = native();
    this.fds[place] = fd;
    if (place < VECTORS) {
      // A full counter (EAGAIN) means that the reader is behind and will look anyway.
      this.target.connectVector(place, fd < 0 ? null : () => void shim.eventfdSignal(fd));
    }
    if (before >= 0) shim.close(before);
  }

  private signal(place: number): void {
    const fd = this.fds[place];
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
