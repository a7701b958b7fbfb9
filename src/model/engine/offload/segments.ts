// TCP segmentation (TSE): what a request's context descriptor asks for, and the headers of each
// frame that is cut from it. 82599 DS sec 7.2.4; flag masks as DTXTCPFLGL and DTXTCPFLGH come up.
// Which bytes go where, tags and padding are frames.ts. Of a tunnel only the outer IP header and the TCP
// header change: a driver asks for segments of one size and has the rest right for it. UDP is not modelled.

import {
  ETHER_HEADER,
  TX_CONTEXT_COMMAND,
  TX_CONTEXT_LENGTHS,
  TX_CONTEXT_SEGMENT,
} from '../../../hw/descriptors.ts';

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
const L4T_TCP = 1;

/** FIN and PSH stand only in the last segment, CWR only in the first. */
const FIN_PSH = 0x09;
const CWR = 0x80;

/** What a context descriptor says about the frames to cut. Lengths in bytes. */
export interface SegmentPlan {
  readonly ipv4: boolean;
  /** From the first byte of the frame. */
  readonly ipOffset: number;
  readonly tcpOffset: number;
  /** Ethernet, IP and TCP header: what every frame starts with. */
  readonly headerBytes: number;
  /** Payload of every frame but the last. */
  readonly mss: number;
}

/**
 * Reads a context descriptor.
 * @param lengths word 0 (IPLEN, MACLEN)
 * @param commands word 2 (IPV4, L4T)
 * @param sizes word 3 (L4LEN, MSS)
 * @returns the plan, or what is wrong with the request
 */
export function planSegments(
  lengths: number,
  commands: number,
  sizes: number,
): SegmentPlan | string {
  const { IPV4, L4T } = TX_CONTEXT_COMMAND.mask;
  const { IPLEN, MACLEN } = TX_CONTEXT_LENGTHS.mask;
  const { L4LEN, MSS } = TX_CONTEXT_SEGMENT.mask;
  const ipv4 = (commands & IPV4) !== 0;
  const type = (commands & L4T) >>> TX_CONTEXT_COMMAND.shift.L4T;
  const macBytes = (lengths & MACLEN) >>> TX_CONTEXT_LENGTHS.shift.MACLEN;
  const ipBytes = lengths & IPLEN;
  const tcpBytes = (sizes & L4LEN) >>> TX_CONTEXT_SEGMENT.shift.L4LEN;
  const mss = (sizes & MSS) >>> TX_CONTEXT_SEGMENT.shift.MSS;
  const leastIp = ipv4 ? IPV4_BYTES : IPV6_BYTES;
  if (type !== L4T_TCP) return `L4T expected 1 (TCP) for TSE, got ${type}`;
  if (mss === 0) return 'MSS expected 1 or more for TSE, got 0';
  if (macBytes < ETHER_HEADER) return `MACLEN expected 14 or more for TSE, got ${macBytes}`;
  if (ipBytes < leastIp) return `IPLEN expected ${leastIp} or more for TSE, got ${ipBytes}`;
  if (tcpBytes < TCP_BYTES) return `L4LEN expected ${TCP_BYTES} or more for TSE, got ${tcpBytes}`;
  const tcpOffset = macBytes + ipBytes;
  return { ipv4, ipOffset: macBytes, tcpOffset, headerBytes: tcpOffset + tcpBytes, mss };
}

/**
 * Makes the headers of one frame from those of the request, all but the checksums; the L4 field then
 * holds the pseudo-header's sum, to which the request's (without a length) is completed.
 * @param at heap byte offset of the frame: the request's headers, then this frame's payload
 * @param index of the frame, from 0
 * @param payloadBytes of this frame
 * @param last of the request
 */
export function segmentHeaders(
  bytes: Uint8Array,
  at: number,
  plan: SegmentPlan,
  index: number,
  payloadBytes: number,
  last: boolean,
): void {
  const ip = at + plan.ipOffset;
  const tcp = at + plan.tcpOffset;
  const tcpBytes = plan.headerBytes - plan.tcpOffset + payloadBytes;
  if (plan.ipv4) {
    store16(bytes, ip + 2, plan.tcpOffset - plan.ipOffset + tcpBytes);
    store16(bytes, ip + 4, load16(bytes, ip + 4) + index);
  } else {
    store16(bytes, ip + 4, plan.tcpOffset - plan.ipOffset - IPV6_BYTES + tcpBytes);
  }
  const low = load16(bytes, tcp + 6) + index * plan.mss;
  store16(bytes, tcp + 6, low);
  store16(bytes, tcp + 4, load16(bytes, tcp + 4) + Math.floor(low / 0x1_0000));
  const flags = tcp + 13;
  if (!last) bytes[flags] = bytes[flags] & ~FIN_PSH;
  if (index > 0) bytes[flags] = bytes[flags] & ~CWR;
  const sum = load16(bytes, tcp + 16) + tcpBytes;
  store16(bytes, tcp + 16, (sum & 0xffff) + (sum >>> 16));
}

function load16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/** Big-endian, the low 16 bits. */
function store16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >>> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}
