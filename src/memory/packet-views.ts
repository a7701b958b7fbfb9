// How an application looks at frames. A frame is a buffer index; its bytes are
// in the arena and its length in a table. Hot loops index `length`, `bytes` and
// `words` directly; `frame` makes a view object and is for slow paths.

import {
  BUF_LIMIT,
  BUF_SHIFT,
  FLAGS_TABLE,
  HASH_TABLE,
  LENGTH_TABLE,
  VLAN_TABLE,
  viewsOf,
} from './layout.ts';
import type { Mempool } from './mempool.ts';

/** Typed arrays over the whole arena, and where a buffer's frame lies in them. */
export interface PacketViews {
  /** Bytes of the frame without CRC, indexed by buffer. Write it before sending. */
  readonly length: Uint16Array;
  /** RX_FLAGS of a received frame, RSS hash, and VLAN tag where it was stripped: of queues opened with `metadata`. */
  readonly flags: Uint32Array;
  readonly hash: Uint32Array;
  readonly vlan: Uint16Array;
  /** The arena as bytes: bytes[offset(buf)] is the first byte of the destination MAC. */
  readonly bytes: Uint8Array;
  /** The arena as little-endian 32-bit words: words[offset(buf) >>> 2]. */
  readonly words: Int32Array;
  /** Byte offset of a buffer's frame: a multiple of 4. */
  offset(buf: number): number;
  /** The frame's bytes as an array of their own; they stay in the buffer. Allocates. */
  frame(buf: number): Uint8Array;
  /** Copies a frame into a buffer and sets its length. @throws RangeError where it does not fit */
  fill(buf: number, frame: Uint8Array): void;
}

/** Views for the buffers of a mempool. Take them after every mempool was made: they keep their length. */
export function packetViews(mempool: Mempool): PacketViews {
  const { memory } = mempool.handle;
  const { u8: bytes, i32: words } = viewsOf(memory);
  const length = new Uint16Array(memory.buffer, LENGTH_TABLE, BUF_LIMIT);
  const { headroomBytes } = mempool;
  const room = mempool.bufferBytes - headroomBytes;
  const offset = (buf: number): number => ((buf << BUF_SHIFT) >>> 0) + headroomBytes;
  return {
    length,
    flags: new Uint32Array(memory.buffer, FLAGS_TABLE, BUF_LIMIT),
    hash: new Uint32Array(memory.buffer, HASH_TABLE, BUF_LIMIT),
    vlan: new Uint16Array(memory.buffer, VLAN_TABLE, BUF_LIMIT),
    bytes,
    words,
    offset,
    frame: (buf) => bytes.subarray(offset(buf), offset(buf) + length[buf]),
    fill(buf, frame) {
      if (frame.length > room) {
        throw new RangeError(`frame: expected at most ${room} bytes, got ${frame.length}`);
      }
      bytes.set(frame, offset(buf));
      length[buf] = frame.length;
    },
  };
}
