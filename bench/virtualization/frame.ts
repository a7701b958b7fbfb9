// The frame of virtualization: Ethernet, IPv4, UDP; the last byte of the destination address is
// the receiver; a sequence number of that receiver and the time at which the wire offered it follow.
// Words are those of an Int32Array of a little-endian machine.

/** Words of the frame. */
export const FRAME = { RECEIVER: 8, SEQUENCE: 11, STAMP: 12 } as const;
/** Steps of the stamp in a microsecond; its 32 bits turn over after four minutes. */
export const STAMP_PER_US = 16;
const CRC_BYTES = 4;

/** "02:09:c0:00:00:VV" as bytes: what the PF assigns. */
export function vfMac(vf: number): Uint8Array {
  return Uint8Array.of(0x02, 0x09, 0xc0, 0x00, 0x00, vf);
}

/** Bytes of a frame for a receiver. @param size with CRC */
export function makeFrame(size: number, mac: Uint8Array, receiver: number): Uint8Array {
  const frame = new Uint8Array(size - CRC_BYTES);
  const ip = frame.length - 14;
  frame.set(mac, 0);
  frame.set([0x02, 0, 0, 0, 0, 1], 6);
  frame.set([0x08, 0x00, 0x45, 0, ip >> 8, ip & 0xff, 0, 0, 0x40, 0, 64, 17, 0, 0], 12);
  frame.set([198, 18, 0, 1, 198, 19, 0, receiver, 0xc0, 0, 0, 9], 26);
  frame.set([(ip - 20) >> 8, (ip - 20) & 0xff], 38);
  return frame;
}

/** The receiver in word FRAME.RECEIVER. */
export function receiverOf(word: number): number {
  return (word >>> 8) & 0xff;
}
