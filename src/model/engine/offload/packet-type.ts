// HOT. What the parser of the 82599 says of a frame: the packet type bits of the rx
// write-back (82599 DS sec 7.1.6.2). Knows IPv4, IPv6 and their first protocol; no tunnels, no IPsec.

import { PACKET_TYPE } from '../../../hw/descriptors.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../frame.ts';

const { IPV4, IPV4_OPTIONS, IPV6, IPV6_EXTENSIONS, TCP, UDP, SCTP } = PACKET_TYPE.mask;

function protocolType(protocol: number): number {
  if (protocol === 17) return UDP;
  if (protocol === 6) return TCP;
  return protocol === 132 ? SCTP : 0;
}

/**
 * Packet type bits of a frame of at least 60 bytes, in place for write-back word 0.
 * @param w heap word of its first byte; one more where it carries a tag
 */
export function packetType(h: Int32Array, w: number): number {
  const typeWord = h[w + 3];
  const ethertype = typeWord & 0xffff;
  if (ethertype === ETHERTYPE_IPV4) {
    const protocolWord = h[w + 5];
    const headerWords = (typeWord >>> 16) & 0x0f;
    const type = headerWords > 5 ? IPV4 | IPV4_OPTIONS : IPV4;
    return (protocolWord & 0xff3f) === 0 ? type | protocolType(protocolWord >>> 24) : type;
  }
  if (ethertype !== ETHERTYPE_IPV6) return 0;
  const next = h[w + 5] & 0xff;
  if (next === 0 || next === 43 || next === 44 || next === 60) return IPV6 | IPV6_EXTENSIONS;
  return IPV6 | protocolType(next);
}
