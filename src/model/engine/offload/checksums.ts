// The checksums that a tx descriptor may ask for: IPv4 header (IXSM) and TCP, UDP or SCTP (TXSM),
// 82599 DS sec 7.2.5. The hardware sums each field as the driver left it: 0 in an IPv4 header or,
// where IPLEN reaches over the headers of a tunnel, what cancels them (linux ixgbevf_tso); the
// pseudo-header's sum for TCP and UDP; 0 for SCTP. Plain loops: not on the hot path.

import { TX_CONTEXT_COMMAND, TX_CONTEXT_LENGTHS } from '../../../hw/descriptors.ts';
import { crc32c } from './crc32c.ts';

/** Where the L4 checksum lies in its header, by L4T: UDP, TCP, SCTP. */
const FIELD = [6, 16, 8];
const UDP = 0;
const SCTP = 2;

/** One's complement sum of bytes as big-endian 16-bit words, not folded. */
function sum(bytes: Uint8Array, from: number, to: number): number {
  let total = 0;
  for (let i = from; i + 1 < to; i += 2) {
    total += (bytes[i] << 8) | bytes[i + 1];
  }
  if (((to - from) & 1) !== 0) total += bytes[to - 1] << 8;
  return total;
}

function store(bytes: Uint8Array, at: number, total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  const checksum = ~folded & 0xffff;
  bytes[at] = checksum >>> 8;
  bytes[at + 1] = checksum & 0xff;
  return checksum;
}

/**
 * Fills in checksums.
 * @param at heap byte offset of the frame, without a tag that is still to be inserted
 * @param lengths word 0 of the context descriptor (IPLEN, MACLEN)
 * @param commands word 2 of the context descriptor (L4T)
 * @returns '' or what is wrong with the request
 */
export function insertChecksums(
  bytes: Uint8Array,
  at: number,
  length: number,
  lengths: number,
  commands: number,
  ip: boolean,
  l4: boolean,
): string {
  const { mask, shift } = TX_CONTEXT_LENGTHS;
  const ipAt = at + ((lengths & mask.MACLEN) >>> shift.MACLEN);
  const l4At = ipAt + (lengths & mask.IPLEN);
  const end = at + length;
  if (l4At > end) return `MACLEN and IPLEN reach ${l4At - end} bytes beyond the frame`;
  if (ip) {
    if (l4At - ipAt < 20) return `IPLEN expected 20 or more for IXSM, got ${l4At - ipAt}`;
    store(bytes, ipAt + 10, sum(bytes, ipAt, l4At));
  }
  if (!l4) return '';
  const type = (commands & TX_CONTEXT_COMMAND.mask.L4T) >>> TX_CONTEXT_COMMAND.shift.L4T;
  if (type > SCTP) return `L4T expected 0 (UDP), 1 (TCP) or 2 (SCTP) for TXSM, got ${type}`;
  const field = l4At + FIELD[type];
  if (field + (type === SCTP ? 4 : 2) > end) return 'the L4 header is cut short';
  if (type === SCTP) {
    const crc = crc32c(bytes, l4At, end);
    for (let i = 0; i < 4; i++) bytes[field + i] = (crc >>> (8 * i)) & 0xff;
    return '';
  }
  const checksum = store(bytes, field, sum(bytes, l4At, end));
  if (type === UDP && checksum === 0) {
    // RFC 768: 0 on the wire would mean "none".
    bytes[field] = 0xff;
    bytes[field + 1] = 0xff;
  }
  return '';
}
