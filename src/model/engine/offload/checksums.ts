// The checksums that a tx descriptor may ask for: IPv4 header (IXSM) and TCP or UDP (TXSM),
// 82599 DS sec 7.2.5. The driver has preset the L4 field to the pseudo-header's sum. Plain loops:
// not on the hot path. SCTP's CRC32c is not modelled.

import { TX_CONTEXT_COMMAND, TX_CONTEXT_LENGTHS } from '../../../hw/descriptors.ts';

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
    bytes[ipAt + 10] = 0;
    bytes[ipAt + 11] = 0;
    store(bytes, ipAt + 10, sum(bytes, ipAt, l4At));
  }
  if (!l4) return '';
  const type = (commands & TX_CONTEXT_COMMAND.mask.L4T) >>> TX_CONTEXT_COMMAND.shift.L4T;
  if (type > 1) return `L4T expected 0 (UDP) or 1 (TCP) for TXSM, got ${type}`;
  const field = l4At + (type === 1 ? 16 : 6);
  if (field + 2 > end) return 'the L4 header is cut short';
  const checksum = store(bytes, field, sum(bytes, l4At, end));
  if (type === 0 && checksum === 0) {
    // RFC 768: 0 on the wire would mean "none".
    bytes[field] = 0xff;
    bytes[field + 1] = 0xff;
  }
  return '';
}
