// Where things lie in the arena, and the views through which code reaches it. They
// are numbers only, so a Worker that was posted the memory builds the same views.
//
//   0            null page: buffer 0 and offset 0 never exist, so 0 means "none"
//   CONTROL      ring and mempool state, free stacks: shared between threads, never seen by a device
//   *_TABLE      metadata of every possible buffer, indexed by buffer
//   SPACE        address space for DMA chunks, BAR pages and windows onto foreign memory

import type { SharedMemory } from './shared-memory.ts';

export const WASM_PAGE = 65_536;
export const MAX_WASM_PAGES = 65_536;
export const ARENA_LIMIT = WASM_PAGE * MAX_WASM_PAGES;
export const HUGE_PAGE = 2 * 1024 * 1024;
export const SMALL_PAGE = 4096;

/** A buffer index counts units of this many bytes from the arena's start. */
export const BUF_SHIFT = 11;
export const BUF_UNIT = 1 << BUF_SHIFT;
/** Every possible buffer index is below this. */
export const BUF_LIMIT = ARENA_LIMIT / BUF_UNIT;

export const CONTROL_OFFSET = WASM_PAGE;
export const CONTROL_SIZE = 32 * 1024 * 1024 - WASM_PAGE;

/** u16: bytes of data in the buffer; always valid for a buffer that carries a frame. */
export const LENGTH_TABLE = CONTROL_OFFSET + CONTROL_SIZE;
/** u32: flags of the metadata variants. */
export const FLAGS_TABLE = LENGTH_TABLE + BUF_LIMIT * 2;
/** u16: VLAN TCI. */
export const VLAN_TABLE = FLAGS_TABLE + BUF_LIMIT * 4;
/** u32: RSS hash. */
export const HASH_TABLE = VLAN_TABLE + BUF_LIMIT * 2;
/** u8: who owns the buffer; written in debug mode only. */
export const OWNER_TABLE = HASH_TABLE + BUF_LIMIT * 4;

export const SPACE_OFFSET = OWNER_TABLE + BUF_LIMIT;

/** The arena as typed arrays. A view keeps its length when the arena grows; take fresh ones then. */
export interface ArenaViews {
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly u16: Uint16Array;
  readonly u8: Uint8Array;
  readonly f64: Float64Array;
  /** Only ever copied from and to: a BigInt that takes part in arithmetic would be allocated. */
  readonly u64: BigUint64Array;
}

/** Builds views over the memory's present length. */
export function viewsOf(memory: SharedMemory): ArenaViews {
  const buffer = memory.buffer;
  return {
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    u8: new Uint8Array(buffer),
    f64: new Float64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}
