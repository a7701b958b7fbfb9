// A shared WebAssembly.Memory, typed here because Node's own types leave it to
// the DOM library, which a Node program has no business loading.

import { VfioError } from '../support/errors.ts';
import { ERRNO } from '../support/linux.ts';

/** The one kind of SharedArrayBuffer that can grow in place and is always a mapping of its own. */
export interface SharedMemory {
  /** The memory at its present length; a new object after each grow, over the same bytes. */
  readonly buffer: SharedArrayBuffer;
  /** Grows by 64 KiB pages; returns the former page count. Throws RangeError when it cannot. */
  grow(pages: number): number;
}

interface MemoryConstructor {
  new (descriptor: { initial: number; maximum: number; shared: true }): SharedMemory;
}

/**
 * Makes a shared memory of `initial` pages that may grow to `maximum` pages of 64 KiB.
 * @throws VfioError where the process may not reserve that much address space
 */
export function makeSharedMemory(initial: number, maximum: number): SharedMemory {
  const wasm = (globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } })
    .WebAssembly;
  try {
    return new wasm.Memory({ initial, maximum, shared: true });
  } catch {
    const detail =
      'expected 12 GB of address space, which is not memory, to reserve; `ulimit -v` has to be unlimited or above that';
    throw new VfioError('reserve address space', ERRNO.ENOMEM, 'arena', detail);
  }
}
