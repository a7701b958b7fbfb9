// The 16 KiB of one VF's BAR0: a memfd of their own, mapped into the arena, so that the pages
// with the rings' registers can be shared with a client by fd. Sealed, so that no client can
// make it shorter or longer. Which pages are shared is told by regions.ts.

import { BAR0_SIZE } from '../../hw/registers.ts';
import type { Arena } from '../../memory/arena.ts';
import { VfioError } from '../../support/errors.ts';
import { F_SEAL, MAP_SHARED, PROT_READ_WRITE } from '../../support/linux.ts';
import { native } from '../../support/native.ts';

// linux/memfd.h, linux/fcntl.h, asm-generic/mman-common.h
const MFD_ALLOW_SEALING = 0x2;

/** The memory of one VF's BAR0. Owns its fd and its window in the arena. */
export class BarMemory {
  /** Heap byte offset of BAR0, a multiple of 4096. */
  readonly offset: number;
  /** The file; byte n of it is byte n of BAR0. */
  readonly fd: number;
  private readonly arena: Arena;
  private closed = false;

  /** @throws VfioError where the system has no memory or no fd left */
  constructor(arena: Arena, port: number, vf: number) {
    const shim = native();
    const name = `ixy-bar0-p${port}v${vf}`;
    this.arena = arena;
    this.fd = checked(shim.memfdCreate(name, MFD_ALLOW_SEALING), name);
    this.offset = arena.reserveWindow(BAR0_SIZE);
    try {
      checked(shim.ftruncate(this.fd, BAR0_SIZE), name);
      checked(shim.addSeals(this.fd, F_SEAL.SHRINK | F_SEAL.GROW | F_SEAL.SEAL), name);
      const address = arena.address + this.offset;
      checked(shim.mmapFixed(address, BAR0_SIZE, PROT_READ_WRITE, MAP_SHARED, this.fd, 0), name);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Unmaps it here; a client that mapped it keeps its own mapping. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.arena.releaseWindow(this.offset);
    native().close(this.fd);
  }
}

function checked(result: number, name: string): number {
  if (result < 0) throw new VfioError('make BAR memory', -result, name);
  return result;
}
