// The frame that generator and sink agree on: Ethernet, IPv4 (RFC 791), UDP (RFC 768)
// and a payload that says which stream, flow and sequence number it is. Addresses are
// of the range for benchmarks (RFC 2544). Every changing 16-bit word has its complement
// in the same frame, so the UDP checksum depends on stream and length only.
//
//   byte 34  UDP source port 49152 + flow    44  sequence number, low 32 bits
//        36  UDP destination port 9          48  its complement
//        42  magic, or that of stamped ones   52  sequence number, high 16 bits; complement
//                                            56  complement of the source port bytes
//        60  pattern to the end              58  stream (port index); complement
//
// All words below are as an Int32Array of a little-endian machine holds them.

/** Bytes before the pattern, and the smallest frame. */
export const HEADER_BYTES = 60;
/** Longest frame without CRC. */
export const MAX_FRAME = 9724;
export const STREAMS = 256;

/** Payload bytes 42 and 43. */
const MAGIC = 0x4978;
/** The same of a frame whose latency is measured. */
const STAMPED_MAGIC = 0x4979;
const DESTINATION_PORT = 9;
const SOURCE_NET = 0xc612; // 198.18
const DESTINATION_NET = 0xc613; // 198.19
const HOST = 1;

/** Swaps the two bytes of a 16-bit number. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** The word whose bytes on the wire are the big-endian 16-bit numbers `first`, `second`. */
function wordOf(first: number, second: number): number {
  return swap16(first) | (swap16(second) << 16);
}

/** Bytes 12..15: EtherType IPv4, version 4 with 5 header words, TOS 0. */
export const WORD_TYPE = wordOf(0x0800, 0x4500);
/** Bytes 20..23: don't fragment, TTL 64, UDP. */
export const WORD_PROTOCOL = wordOf(0x4000, 0x4011);
/** Low half of the word at byte 36 and at byte 24 (high half), and at byte 40 (high half). */
export const HALF_DESTINATION_PORT = swap16(DESTINATION_PORT);
export const HALF_SOURCE_NET = swap16(SOURCE_NET);
export const HALF_DESTINATION_NET = swap16(DESTINATION_NET);
export const HALF_MAGIC = swap16(MAGIC);
export const HALF_STAMPED_MAGIC = swap16(STAMPED_MAGIC);

/** Bytes 32 and 33, the low half of word 8. */
export function halfDestinationHost(stream: number): number {
  return swap16((stream << 8) | HOST);
}

/** Bytes 58 and 59, the high half of word 14. */
export function halfStream(stream: number): number {
  return stream | ((~stream & 0xff) << 8);
}

/**
 * Word k of the pattern, k = byte / 4 from the frame's start, 15..2430; no two k share one, and each sums
 * to zero. The factor is the first from 0x9e37 up with which no word, as the upper half of a double,
 * makes it a NaN or an infinity: the sink compares doubles.
 */
export function patternWord(k: number): number {
  const half = Math.imul(k, 0x9ffd) & 0xffff;
  return half | (~half << 16);
}

/** Ones-complement sum of 16-bit numbers, complemented: a checksum in host order. */
function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

function ipChecksum(length: number, stream: number): number {
  const host = (stream << 8) | HOST;
  return fold(
    0x4500 + (length - 14) + 0x4000 + 0x4011 + SOURCE_NET + DESTINATION_NET + host + host,
  );
}

function udpChecksum(length: number, stream: number, magic: number): number {
  const host = (stream << 8) | HOST;
  const udpLength = length - 34;
  let sum = SOURCE_NET + DESTINATION_NET + host + host + 17 + udpLength;
  sum += DESTINATION_PORT + udpLength + magic + ((stream << 8) | (~stream & 0xff));
  // Whole pattern words sum to zero; one to three bytes of the last do not.
  const last = patternWord(length >>> 2);
  if ((length & 3) >= 1) sum += (last & 0xff) << 8;
  if ((length & 3) >= 2) sum += (last >>> 8) & 0xff;
  if ((length & 3) === 3) sum += ((last >>> 16) & 0xff) << 8;
  const checksum = fold(sum);
  // RFC 768: a computed zero is sent as all ones, since zero means "none".
  return checksum === 0 ? 0xffff : checksum;
}

/** Words 4, 6, 7, 9 and 10: what depends on stream and length alone. */
export const wordLength = (length: number): number => wordOf(length - 14, 0);
export const wordIpChecksum = (length: number, stream: number): number =>
  wordOf(ipChecksum(length, stream), SOURCE_NET);
export const wordHosts = (stream: number): number => wordOf((stream << 8) | HOST, DESTINATION_NET);
export const wordUdpLength = (length: number): number => wordOf(DESTINATION_PORT, length - 34);
export const wordUdpChecksum = (length: number, stream: number, stamped = false): number => {
  const magic = stamped ? STAMPED_MAGIC : MAGIC;
  return wordOf(udpChecksum(length, stream, magic), magic);
};

/**
 * Writes all of a frame but its MACs, flow and sequence number.
 * @param i32 the heap
 * @param word word index of the frame; the buffer holds `length` rounded up to 4
 * @param length bytes without CRC, 60..9724
 */
export function writeTemplate(i32: Int32Array, word: number, length: number, stream: number): void {
  i32[word + 3] = WORD_TYPE;
  i32[word + 4] = wordLength(length);
  i32[word + 5] = WORD_PROTOCOL;
  i32[word + 6] = wordIpChecksum(length, stream);
  i32[word + 7] = wordHosts(stream);
  i32[word + 9] = wordUdpLength(length);
  i32[word + 10] = wordUdpChecksum(length, stream);
  for (let k = HEADER_BYTES / 4; k * 4 < length; k++) i32[word + k] = patternWord(k);
}
