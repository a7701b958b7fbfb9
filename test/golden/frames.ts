// Test frames written out a second time, byte by byte, so that an error in src/traffic cannot agree with itself: the
// checksums were computed by another program from RFC 791, 768 and 1071. MACs as the model's port 3 has them.

const MACS = '0209c0000300 0209c0ff0300';

/** The pattern from byte 60 on: the low 16 bits of 0x9ffd * (byte / 4), little-endian, then their complement. */
const PATTERN = [
  'd35f2ca0 d0ff2f00 cd9f3260 ca3f35c0', // bytes 60 to 75: 0x9ffd * 15 is 0x95fd3
  'c7df3820 c47f3b80 c11f3ee0 bebf4140',
  'bb5f44a0 b8ff4700 b59f4a60 b23f4dc0',
  'afdf5020 ac7f5380 a91f56e0 a6bf5940',
  'a35f5ca0', // 124 to 127
].join('');

export interface GoldenFrame {
  /** Bytes without CRC. */
  readonly length: number;
  readonly stream: number;
  readonly flow: number;
  readonly sequence: number;
  readonly stamped: boolean;
  /** The frame's first bytes; where it is longer, the pattern goes on. */
  readonly hex: string;
  /** The last bytes of a frame that is longer than `hex`. */
  readonly end?: string;
}

export const FRAMES: readonly GoldenFrame[] = [
  {
    ...{ length: 60, stream: 0, flow: 0, sequence: 0, stamped: false },
    hex: [
      MACS,
      '0800', // IPv4
      '45 00 002e 0000 4000 40 11 ae97', // 46 bytes, don't fragment, TTL 64, UDP, checksum
      'c6120001 c6130001', // 198.18.0.1 to 198.19.0.1
      '8000 0009 001a 2912', // ports 32768 and 9, 26 bytes, checksum
      '4978', // "Ix"
      '00000000 ffffffff 0000 ffff', // number 0: low 32 bits, complement; high 16 bits, complement
      '7fff', // complement of the source port
      '00ff', // stream 0, complement
    ].join(''),
  },
  {
    ...{ length: 64, stream: 3, flow: 258, sequence: 1, stamped: false },
    hex: [
      MACS,
      '0800',
      '45 00 0032 0000 4000 40 11 a893',
      'c6120301 c6130301',
      '8102 0009 001e 200d', // port 32768 + 258
      '4978',
      '01000000 feffffff 0000 ffff', // little-endian
      '7efd 03fc',
      PATTERN.slice(0, 8),
    ].join(''),
  },
  {
    ...{ length: 128, stream: 200, flow: 5, sequence: 0x1234_5678_9abc, stamped: true },
    hex: [
      MACS,
      '0800',
      '45 00 0072 0000 4000 40 11 1e52',
      'c612c801 c613c801',
      '8005 0009 005e d14e',
      '4979', // "Iy": its latency is measured
      'bc9a7856 436587a9 3412 cbed',
      '7ffa c837',
      PATTERN,
    ].join(''),
  },
  {
    ...{ length: 1518, stream: 255, flow: 16_383, sequence: 2 ** 32, stamped: false },
    hex: [
      MACS,
      '0800',
      '45 00 05e0 0000 4000 40 11 aae3',
      'c612ff01 c613ff01',
      'bfff 0009 05cc 91ce', // the last port
      '4978',
      '00000000 ffffffff 0100 feff',
      '4000 ff00',
      PATTERN,
    ].join(''),
    end: '9b5b64a4 98fb6704 959b6a64 923b6dc4 8fdb', // words 375 to 378 and half of 379
  },
];
