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
  private readonly arena: Arena;
  private readonly name: string;
  private file = -1;
  private closed = false;

  /** @throws VfioError where the system has no memory or no fd left */
  constructor(arena: Arena, port: number, vf: number) {
    this.arena = arena;
    this.name = `ixy-bar0-p${port}v${vf}`;
    this.offset = arena.reserveWindow(BAR0_SIZE);
    try {
      this.renew();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The file; byte n of it is byte n of BAR0. */
  get fd(): number {
    return this.file;
  }

  /**
   * Puts another file, of zeros, in the place of the one before, which those who mapped it keep.
   * @throws VfioError where the system has no memory or no fd left; then nothing has changed
   */
  renew(): void {
    const shim = native();
    const { name, arena } = this;
    const fd = checked(shim.memfdCreate(name, MFD_ALLOW_SEALING), name);
    try {
      checked(shim.ftruncate(fd, BAR0_SIZE), name);
      checked(shim.addSeals(fd, F_SEAL.SHRINK | F_SEAL.GROW | F_SEAL.SEAL), name);
      const address = arena.address + this.offset;
      checked(shim.mmapFixed(address, BAR0_SIZE, PROT_READ_WRITE, MAP_SHARED, fd, 0), name);
    } catch (error) {
      shim.close(fd);
      throw error;
    }
    if (this.file >= 0) shim.close(this.file);
    this.file = fd;
  }

  /** Unmaps it here; a client that mapped it keeps its own mapping. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.arena.releaseWindow(this.offset);
    if (this.file >= 0) native().close(this.file);
  }
}

function checked(result: number, name: string): number {
  if (result < 0) throw new VfioError('make BAR memory', -result, name);
  return result;
}
