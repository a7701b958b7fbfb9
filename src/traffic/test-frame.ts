// The test frame of `ixy pktgen` and of the model's gen ports: Ethernet, IPv4 (RFC 791), UDP (RFC 768), and a payload
// that says which stream, flow and sequence number it is. Addresses are of the range for benchmarks (RFC 2544). Each
// 16-bit word that changes from frame to frame has its complement in the same frame, so the UDP checksum is the same
// for all frames of one stream and length.
//
//   byte 26  source 198.18.S.1, destination 198.19.S.1, S the stream
//        34  UDP source port 32768 + flow         44  sequence number in the flow, low 32 bits
//        36  UDP destination port 9               48  its complement
//        42  mark: "Ix", or "Iy" in a frame       52  sequence number, high 16 bits; complement
//            whose latency is measured            56  complement of the source port
//        60  pattern to the end                   58  stream; complement
//
// Words below are 32-bit words of a frame as an Int32Array of a little-endian machine holds them; halves are 16 bits.

import { CRC_SIZE, ETHER_HEADER, MAX_FRAME_WITH_CRC } from '../hw/descriptors.ts';

/** Numbers of streams. A gen port uses the index of its port, `ixy pktgen` draws one from FIRST_PKTGEN_STREAM on. */
export const STREAMS = 256;
export const FIRST_PKTGEN_STREAM = 64;
/** UDP source ports 32768 to 49151, one a flow. */
export const MAX_FLOWS = 16_384;
/** Bytes of the shortest test frame without CRC: everything but the pattern. */
export const PATTERN_START = 60;
/** Bytes of the longest test frame without CRC. */
export const LONGEST = MAX_FRAME_WITH_CRC - CRC_SIZE;

/** Bytes 42 and 43 of an ordinary frame, and of one whose latency is measured. */
export const MARK = 0x4978;
export const STAMPED_MARK = 0x4979;

/** Words of the frame that its users look at. */
export const WORD = {
  /** Low half of the destination address; source port, which tells the flow. */
  PORTS: 8,
  /** UDP checksum, mark. */
  MARK: 10,
  /** Sequence number: low 32 bits, their complement, high 16 bits with their complement above. */
  LOW: 11,
  LOW_COMPLEMENT: 12,
  HIGH: 13,
  /** Complement of the source port, stream. */
  STREAM: 14,
} as const;

/** tcpdump takes no port of this range for a protocol; 49152, the first dynamic one, it takes for Broadcom's BCM-LI. */
const FIRST_PORT = 32_768;
const DISCARD_PORT = 9;
const SOURCE_NET = 0xc612; // 198.18
const DESTINATION_NET = 0xc613; // 198.19
const IPV4 = 0x0800;
const VERSION_AND_HEADER = 0x4500;
const DONT_FRAGMENT = 0x4000;
const TTL_AND_UDP = 0x4011;
const UDP = 17;
const UDP_START = ETHER_HEADER + 20;
/** Of the six marks of `looksLikeTestFrame`, how many it takes. A foreign UDP frame to port 9 shows two. */
const MARKS_NEEDED = 3;

/** Swaps the two bytes of a 16-bit number. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** The word whose bytes on the wire are the big-endian 16-bit numbers `first`, `second`. */
function wordOf(first: number, second: number): number {
  return swap16(first) | (swap16(second) << 16);
}

/** Words 3 and 5, the same in all frames. */
export const TYPE_WORD = wordOf(IPV4, VERSION_AND_HEADER);
export const PROTOCOL_WORD = wordOf(DONT_FRAGMENT, TTL_AND_UDP);

/** The flow whose source port lies in memory as `half`; at least MAX_FLOWS where it is no flow's port. */
export function flowOf(half: number): number {
  return (swap16(half) - FIRST_PORT) & 0xffff;
}

/** The number of a frame in its flow, below 2**48. @param w heap word of the frame */
export function sequenceOf(i32: Int32Array, w: number): number {
  return (i32[w + WORD.LOW] >>> 0) + (i32[w + WORD.HIGH] & 0xffff) * 2 ** 32;
}

/** The stream that a frame claims to be of. @param w heap word of the frame */
export function streamOf(i32: Int32Array, w: number): number {
  return (i32[w + WORD.STREAM] >>> 16) & 0xff;
}

/**
 * Word k of the pattern, k = byte / 4 from the frame's start, 15..2430. No two k share one, and its two halves are
 * complements, so each word adds nothing to the checksum. The factor is the first from 0x9e37 up with which no word, as
 * the upper half of a double, makes it a NaN or an infinity: checks compare doubles.
 */
function patternWord(k: number): number {
  const half = Math.imul(k, 0x9ffd) & 0xffff;
  return half | (~half << 16);
}

/**
 * Sum of big-endian 16-bit numbers in bytes[from, to) in ones' complement, an odd last byte padded (RFC 1071).
 * @param start added to it
 */
function sum16(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let i = from; i + 1 < to; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  if (((to - from) & 1) !== 0) sum += bytes[to - 1] << 8;
  return folded(sum);
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + (rest >>> 16);
  return rest;
}

function udpChecksum(length: number, stream: number, mark: number): number {
  const host = (stream << 8) | 1;
  let sum = SOURCE_NET + DESTINATION_NET + 2 * host + UDP + 2 * (length - UDP_START);
  sum += DISCARD_PORT + mark + ((stream << 8) | (~stream & 0xff));
  // Of the pattern only the one to three bytes of an incomplete last word count.
  const last = patternWord(length >>> 2);
  const tail = Uint8Array.of(last & 0xff, (last >>> 8) & 0xff, (last >>> 16) & 0xff);
  const checksum = ~sum16(tail, 0, length & 3, sum) & 0xffff;
  // RFC 768: a computed zero is sent as all ones, since zero means "none".
  return checksum === 0 ? 0xffff : checksum;
}

/** Word 10 of all frames of a stream, length and mark. */
export function markWord(length: number, stream: number, mark: number): number {
  return wordOf(udpChecksum(length, stream, mark), mark);
}

/**
 * Writes words 3 to 14, all but MACs and pattern, of the first frame of flow 0.
 * @param w heap word of the frame
 * @param length bytes without CRC, 60..9724
 */
export function writeHeaders(
  i32: Int32Array,
  w: number,
  length: number,
  stream: number,
  mark = MARK,
): void {
  const ipBytes = length - ETHER_HEADER;
  const host = (stream << 8) | 1;
  const ipSum = VERSION_AND_HEADER + ipBytes + DONT_FRAGMENT + TTL_AND_UDP;
  const ipChecksum = ~folded(ipSum + SOURCE_NET + DESTINATION_NET + 2 * host) & 0xffff;
  i32[w + 3] = TYPE_WORD;
  i32[w + 4] = wordOf(ipBytes, 0);
  i32[w + 5] = PROTOCOL_WORD;
  i32[w + 6] = wordOf(ipChecksum, SOURCE_NET);
  i32[w + 7] = wordOf(host, DESTINATION_NET);
  i32[w + 8] = wordOf(host, FIRST_PORT);
  i32[w + 9] = wordOf(DISCARD_PORT, length - UDP_START);
  i32[w + 10] = markWord(length, stream, mark);
  i32[w + 11] = 0;
  i32[w + 12] = -1;
  i32[w + 13] = wordOf(0, 0xffff);
  i32[w + 14] = wordOf(~FIRST_PORT & 0xffff, (stream << 8) | (~stream & 0xff));
}

/** Writes the pattern of a frame at heap word w that ends before byte `length`; a last word is written whole. */
export function writePattern(i32: Int32Array, w: number, length: number): void {
  for (let k = PATTERN_START / 4; k * 4 < length; k++) i32[w + k] = patternWord(k);
}

/**
 * Whether lengths and checksums of IPv4 (without options) and UDP hold: for frames that a router or NAT has rightly
 * changed.
 */
export function checksumsHold(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const udpBytes = frame.length - UDP_START;
  return (
    udpBytes >= 8 &&
    view.getUint16(12) === IPV4 &&
    frame[14] === VERSION_AND_HEADER >>> 8 &&
    frame[23] === UDP &&
    view.getUint16(16) === frame.length - ETHER_HEADER &&
    view.getUint16(38) === udpBytes &&
    sum16(frame, ETHER_HEADER, UDP_START) === 0xffff &&
    (view.getUint16(40) === 0 ||
      sum16(frame, UDP_START, frame.length, sum16(frame, 26, UDP_START, UDP + udpBytes)) === 0xffff)
  );
}

/**
 * Whether a frame that is not intact was a test frame once. It has several independent marks, so that damage to one
 * of them cannot hide it among the traffic of others.
 */
export function looksLikeTestFrame(u8: Uint8Array, offset: number, length: number): boolean {
  const half = (at: number): number =>
    at + 2 <= length ? (u8[offset + at] << 8) | u8[offset + at + 1] : -1;
  const opposite = (a: number, b: number): boolean =>
    b + 2 <= length && (half(a) ^ half(b)) === 0xffff;
  let marks = 0;
  if (half(12) === IPV4 && half(14) === VERSION_AND_HEADER) marks++;
  if (half(26) === SOURCE_NET && half(30) === DESTINATION_NET) marks++;
  if (half(36) === DISCARD_PORT) marks++;
  if (half(42) === MARK || half(42) === STAMPED_MARK) marks++;
  if (opposite(44, 48) && opposite(46, 50) && opposite(52, 54)) marks++;
  if (opposite(34, 56)) marks++;
  return marks >= MARKS_NEEDED;
}
