// The frames of `ixy pktgen`: Ethernet, IPv4 (RFC 791), UDP (RFC 768), and a payload in which every
// word that changes has its complement beside it, so that one UDP checksum holds for all frames of
// a length. The model's gen ports speak the same format (frame-format.ts there), so
// they check what pktgen sends; each side has its own code, and a test compares the two.
//
//   bytes 26..33  from 198.18.S.1 to 198.19.S.1 (RFC 2544), S the stream
//         34, 36  UDP ports: 49152 + flow, 9
//         42      "Ix"         44, 48  number in the flow, low 32 bits; complement
//                              52, 54  the same, high 16 bits; complement
//         56      complement of the source port          58, 59  stream; complement
//         60      pattern to the end

/** A stream nobody else on this network should have: gen ports use their port index. */
export const FIRST_STREAM = 64;
export const LAST_STREAM = 255;
export const MAX_FLOWS = 16_384;
/** Shortest frame, bytes without CRC: everything but the pattern. */
export const HEADER_BYTES = 60;

/** Words of a frame, as an Int32Array holds them, from its first byte on. */
export const WORD = {
  /** EtherType to IP identification to addresses: 3 to 7 are the same for all frames of a length. */
  TYPE: 3,
  HOSTS: 7,
  /** Last half of the destination address, source port. */
  PORTS: 8,
  /** Destination port and UDP length, then UDP checksum and mark. */
  UDP: 9,
  MARK: 10,
  LOW: 11,
  LOW_COMPLEMENT: 12,
  HIGH: 13,
  STREAM: 14,
  PATTERN: 15,
} as const;

const MARK = 0x4978;
const FIRST_PORT = 49_152;
const DISCARD_PORT = 9;
const IP_HEADER_BYTES = 20;
const ETHER_BYTES = 14;

/** The source port of a flow, as its two bytes lie in memory. */
export const portHalf = (flow: number): number =>
  ((FIRST_PORT + flow) >>> 8) | ((flow & 0xff) << 8);
/** The flow whose source port lies in memory as `half`; at least MAX_FLOWS where it is no flow's. */
export const flowOf = (half: number): number =>
  ((((half & 0xff) << 8) | (half >>> 8)) - FIRST_PORT) & 0xffff;
/** Bytes 58 and 59 as they lie in memory. */
export const streamHalf = (stream: number): number => stream | ((~stream & 0xff) << 8);
/** Bytes 42 and 43 as they lie in memory. */
export const MARK_HALF = ((MARK & 0xff) << 8) | (MARK >>> 8);

/** Pattern word k, counted from the frame's start: two halves that are complements. */
function patternWord(k: number): number {
  const half = Math.imul(k, 0x9ffd) & 0xffff;
  return half | (~half << 16);
}

/**
 * Ones-complement sum of big-endian 16-bit numbers in bytes[from, to), an odd last byte padded, folded (RFC 1071).
 * @param start added to it
 */
export function sum16(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let i = from; i + 1 < to; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  if (((to - from) & 1) !== 0) sum += bytes[to - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/**
 * The first frame of flow 0, MACs zero.
 * @param length bytes without CRC, 60..9724
 * @returns a buffer of `length` rounded up to 4 whose rest is pattern, too
 */
export function makeTemplate(length: number, stream: number): Uint8Array {
  const frame = new Uint8Array((length + 3) & ~3);
  const view = new DataView(frame.buffer);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, length - ETHER_BYTES);
  view.setUint16(20, 0x4000); // don't fragment
  view.setUint16(22, 0x4011); // TTL 64, UDP
  view.setUint32(26, (0xc612_0001 + stream * 256) >>> 0);
  view.setUint32(30, (0xc613_0001 + stream * 256) >>> 0);
  view.setUint16(34, FIRST_PORT);
  view.setUint16(36, DISCARD_PORT);
  const udpBytes = length - ETHER_BYTES - IP_HEADER_BYTES;
  view.setUint16(38, udpBytes);
  view.setUint16(42, MARK);
  view.setInt32(48, -1);
  view.setInt16(54, -1);
  view.setUint16(56, ~FIRST_PORT & 0xffff);
  view.setUint16(58, streamHalf(stream), true);
  for (let k = WORD.PATTERN; k * 4 < length; k++) view.setInt32(k * 4, patternWord(k), true);
  view.setUint16(24, ~sum16(frame, 14, 34) & 0xffff);
  const udp = ~sum16(frame, 34, length, sum16(frame, 26, 34, 17 + udpBytes)) & 0xffff;
  // RFC 768: a computed zero is sent as all ones, since zero means "none".
  view.setUint16(40, udp === 0 ? 0xffff : udp);
  return frame;
}

/**
 * Whether IPv4 and UDP checksums and lengths of a frame hold: for frames that a router or NAT has
 * rightly changed. IPv4 without options only.
 */
export function checksumsHold(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const udpBytes = frame.length - ETHER_BYTES - IP_HEADER_BYTES;
  return (
    udpBytes >= 8 &&
    view.getUint16(12) === 0x0800 &&
    frame[14] === 0x45 &&
    frame[23] === 17 &&
    view.getUint16(16) === frame.length - ETHER_BYTES &&
    view.getUint16(38) === udpBytes &&
    sum16(frame, 14, 34) === 0xffff &&
    (view.getUint16(40) === 0 ||
      sum16(frame, 34, frame.length, sum16(frame, 26, 34, 17 + udpBytes)) === 0xffff)
  );
}
