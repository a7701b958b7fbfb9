// Requests of TCP segmentation, built by hand as a driver posts them: headers with preset
// checksums, a context descriptor in slot 1, data descriptors. Test support.

import { Bench, macOf, type RawVf } from '../../nic-fixture.ts';

export const OUT = [2, 0, 0, 0, 0, 7];
/** Status bits: CC 7, IXSM 8, TXSM 9; command bits: EOP 24, IFCS 25, RS 27, DEXT 29, VLE 30, TSE 31. */
export const STATUS = 0x380;
const COMMAND = ((3 << 20) | (1 << 25) | (1 << 29) | (1 << 31)) >>> 0;
export const ACK = 0x10;
export const FIN_PSH = 0x09;
export const CWR = 0x80;

export function sum16(bytes: readonly number[], start = 0): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) {
    total += (bytes[i] << 8) + ((bytes[i + 1] as number | undefined) ?? 0);
  }
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x1_0000);
  return total;
}

export const word = (bytes: readonly number[], at: number): number =>
  (bytes[at] << 8) | bytes[at + 1];
export const long = (bytes: readonly number[], at: number): number =>
  word(bytes, at) * 0x1_0000 + word(bytes, at + 2);

export const ADDRESSES4 = [10, 0, 0, 1, 10, 0, 0, 2];
export const ADDRESSES6 = [...new Array(15).fill(0), 1, ...new Array(15).fill(0), 2];

/** Sum of a pseudo-header without its length, as the driver leaves it in the TCP header. */
export const pseudo = (addresses: readonly number[]): number => sum16(addresses, 6);

export function tcp(addresses: readonly number[], flags: number, sequence = 0xffff_ff00): number[] {
  const preset = pseudo(addresses);
  return [
    ...[0x12, 0x34, 0x00, 0x50],
    ...[sequence >>> 24, (sequence >>> 16) & 255, (sequence >>> 8) & 255, sequence & 255],
    ...[0, 0, 0, 1, 0x50, flags, 0x10, 0x00, preset >> 8, preset & 255, 0, 0],
  ];
}

export function request4(payload: readonly number[], flags = ACK): number[] {
  const ip = [0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0, ...ADDRESSES4];
  return [...OUT, ...macOf(0, 0), 8, 0, ...ip, ...tcp(ADDRESSES4, flags), ...payload];
}

export const payloadOf = (length: number): number[] =>
  Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255);

interface Context {
  readonly ipv4?: boolean;
  readonly l4?: number;
  readonly ipBytes?: number;
  readonly l4Bytes?: number;
  readonly mss?: number;
  readonly tci?: number;
}

/** Posts a context in slot 1 and the request over descriptors of `sizes` bytes. @returns the last one's index */
export function post(
  vf: RawVf,
  bytes: readonly number[],
  context: Context,
  sizes = [bytes.length],
  more: { payload?: number; status?: number; vle?: boolean } = {},
): number {
  const { ipv4 = true, l4 = 1, ipBytes = 20, l4Bytes = 20, mss = 100, tci = 0 } = context;
  vf.descriptor([
    ((tci << 16) | (14 << 9) | ipBytes) >>> 0,
    0,
    ((1 << 29) | (2 << 20) | (l4 << 11) | (ipv4 ? 1 << 10 : 0)) >>> 0,
    ((mss << 16) | (l4Bytes << 8) | (1 << 4)) >>> 0,
  ]);
  const payload = more.payload ?? bytes.length - 14 - ipBytes - l4Bytes;
  const status = (more.status ?? STATUS) | (1 << 4);
  const big = vf.memory.take(bytes.length, 64);
  vf.memory.views.u8.set(bytes, big);
  let from = 0;
  let last = 0;
  for (const [i, size] of sizes.entries()) {
    last = vf.txTail;
    const end = i === sizes.length - 1 ? (1 << 24) | (1 << 27) : 0;
    const tag = more.vle === true ? 1 << 30 : 0;
    vf.descriptor([
      (big + from) >>> 0,
      1,
      (size | COMMAND | end | tag) >>> 0,
      i === 0 ? ((payload << 14) | status) >>> 0 : 0,
    ]);
    from += size;
  }
  vf.kick();
  return last;
}

export function started(count = 64): { bench: Bench; vf: RawVf } {
  const bench = new Bench([{ vfs: 1 }]);
  const vf = bench.vf(0, 0);
  vf.startTx({ count });
  return { bench, vf };
}

export const sent = (bench: Bench): number[][] =>
  (bench.wires[0]?.frames ?? []).map((f) => f.bytes);
