// The 16-byte descriptors of an 82599, as four little-endian 32-bit words.
// 82599 DS sec 7.1.6 (rx) and 7.2.3 (tx), as carried by linux ixgbevf/defines.h
// and DPDK ixgbe_type.h. Only the advanced formats: a VF cannot use the legacy
// ones, since they cannot carry CC.

import { fields } from './define.ts';

export const DESCRIPTOR_SIZE = 16;
/** Ring base alignment and ring length granularity, bytes. */
export const RING_ALIGN = 128;
export const MIN_RING = 64;
export const MAX_RING = 4096;
/** Bytes of the longest frame of the chip. */
export const MAX_FRAME_WITH_CRC = 9728;
/** Bytes of the shortest frame on the wire; the chip pads to it. */
export const MIN_FRAME_WITHOUT_CRC = 60;
/** PAYLEN below this is not sent (linux ixgbevf pads shorter frames). */
export const MIN_TX_LENGTH = 17;
export const CRC_SIZE = 4;
export const ETHER_HEADER = 14;

// Rx, read format: words 0,1 buffer address; words 2,3 header buffer address, 0 in one-buffer mode.

/** Rx write-back, word 0. */
export const RX_INFO = fields({
  RSS_TYPE: [3, 0],
  PACKET_TYPE: [15, 4],
  RSC_COUNT: [20, 17],
  HEADER_LENGTH: [30, 21],
  SPH: [31, 31],
});

/** RX_INFO.RSS_TYPE: which fields the hash covers. */
export const RSS_TYPE = {
  NONE: 0,
  IPV4_TCP: 1,
  IPV4: 2,
  IPV6_TCP: 3,
  IPV6_EX: 4,
  IPV6: 5,
  IPV6_EX_TCP: 6,
  IPV4_UDP: 7,
  IPV6_UDP: 8,
  IPV6_EX_UDP: 9,
} as const;

/** Bits of word 0 that tell what was parsed, in place. */
export const PACKET_TYPE = fields({
  IPV4: [4, 4],
  IPV4_OPTIONS: [5, 5],
  IPV6: [6, 6],
  IPV6_EXTENSIONS: [7, 7],
  TCP: [8, 8],
  UDP: [9, 9],
  SCTP: [10, 10],
  NFS: [11, 11],
  IPSEC_ESP: [12, 12],
  IPSEC_AH: [13, 13],
  LINKSEC: [14, 14],
  ETHERTYPE_FILTER: [15, 15],
});

// Rx write-back, word 1: the RSS hash.

/** Rx write-back, word 2: status in bits 19:0, errors in bits 31:20. */
export const RX_STATUS = fields({
  DD: [0, 0],
  EOP: [1, 1],
  FLM: [2, 2],
  VP: [3, 3],
  UDPCS: [4, 4],
  L4CS: [5, 5],
  IPCS: [6, 6],
  PIF: [7, 7],
  CRCV: [8, 8],
  VEXT: [9, 9],
  UDPV: [10, 10],
  DYNINT: [11, 11],
  TSIP: [15, 15],
  TS: [16, 16],
  SECP: [17, 17],
  LB: [18, 18],
  FD_LENGTH: [20, 20],
  FD_DROP: [21, 21],
  FD_COLLISION: [22, 22],
  HBO: [23, 23],
  CE: [24, 24],
  LE: [25, 25],
  OUTER_IPE: [26, 26],
  PE: [27, 27],
  OSE: [28, 28],
  USE: [29, 29],
  TCPE: [30, 30],
  IPE: [31, 31],
});
/** A frame with any of these is damaged and is dropped, as linux drops it. */
export const RX_FRAME_ERRORS =
  (RX_STATUS.mask.CE |
    RX_STATUS.mask.LE |
    RX_STATUS.mask.PE |
    RX_STATUS.mask.OSE |
    RX_STATUS.mask.USE) >>>
  0;

/**
 * What the metadata variant of an rx queue keeps of words 0 and 2 (RX_INFO, RX_STATUS) as one word a frame:
 * the low half of word 0, bits 7:0 of the status, and the two checksum errors in place.
 */
export const RX_FLAGS = fields({
  RSS_TYPE: [3, 0],
  PACKET_TYPE: [15, 4],
  VP: [19, 19],
  UDPCS: [20, 20],
  L4CS: [21, 21],
  IPCS: [22, 22],
  PIF: [23, 23],
  TCPE: [30, 30],
  IPE: [31, 31],
});

/** Rx write-back, word 3. */
export const RX_LENGTH = fields({ LENGTH: [15, 0], VLAN: [31, 16] });

/** Tx data descriptor, word 2. The first two words are the buffer address. */
export const TX_COMMAND = fields({
  DTALEN: [15, 0],
  LINKSEC: [18, 18],
  TSTAMP: [19, 19],
  DTYP: [23, 20],
  EOP: [24, 24],
  IFCS: [25, 25],
  RS: [27, 27],
  ISCSI: [28, 28],
  DEXT: [29, 29],
  VLE: [30, 30],
  TSE: [31, 31],
});
export const DTYP_CONTEXT = 2;
export const DTYP_DATA = 3;

/** Tx data descriptor, word 3. CC must be 1 for a VF. DD is set by the write-back. */
export const TX_STATUS = fields({
  DD: [0, 0],
  IDX: [6, 4],
  CC: [7, 7],
  IXSM: [8, 8],
  TXSM: [9, 9],
  IPSEC: [10, 10],
  PAYLEN: [31, 14],
});

/** Tx context descriptor, word 0. */
export const TX_CONTEXT_LENGTHS = fields({
  IPLEN: [8, 0],
  MACLEN: [15, 9],
  VLAN: [31, 16],
});
// Word 1: IPsec SA index, 0 here.
/** Tx context descriptor, word 2. L4T: 0 UDP, 1 TCP, 2 SCTP, 3 none. */
export const TX_CONTEXT_COMMAND = fields({
  ESP_LENGTH: [8, 0],
  IPV4: [10, 10],
  L4T: [12, 11],
  ESP: [13, 13],
  ENCRYPT: [14, 14],
  DTYP: [23, 20],
  DEXT: [29, 29],
});
/** Tx context descriptor, word 3. */
export const TX_CONTEXT_SEGMENT = fields({
  IDX: [6, 4],
  L4LEN: [15, 8],
  MSS: [31, 16],
});
/** L4T of a context that asks for no L4 work. */
export const L4T_NONE = 3;
/** Data descriptors a packet may span, less WTHRESH. */
export const MAX_TX_DESCRIPTORS = 40;
