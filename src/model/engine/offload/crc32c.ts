// CRC32c, the checksum of SCTP: RFC 9260 appendix A. A table look-up a byte, not on the hot path.

/** 0x1edc6f41 with its bits reversed, since the lowest bit of a byte is the first on the wire. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? POLYNOMIAL : 0);
  return crc;
});

/** CRC32c of bytes [from, to); the packet carries it with the lowest byte first. */
export function crc32c(bytes: Uint8Array, from: number, to: number): number {
  let crc = -1;
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]) & 0xff];
  return ~crc >>> 0;
}
