// The frame sizes of the benches, with CRC, as RFC 2544 and the generator's size= count them.

import { BenchError } from '../method/life.ts';

/** What the wire carries beside the frame: preamble, start delimiter, gap. */
const WIRE_OVERHEAD = 20;
const IMIX_MEAN = (7 * 64 + 4 * 594 + 1518) / 12;
const LINE_RATE = 10e9;

export const ALL_SIZES = '64,128,256,512,1024,1518,imix';

/** Sizes of --sizes. @throws BenchError */
export function parseSizes(text: string): string[] {
  const sizes = text.split(',').map((part) => part.trim().toLowerCase());
  for (const size of sizes) {
    const bytes = Number(size);
    if (size === 'imix' || (Number.isInteger(bytes) && bytes >= 64 && bytes <= 1518)) continue;
    throw new BenchError(`--sizes: expected 64 to 1518 or imix, got '${size}'`, 2);
  }
  return sizes;
}

/** Bytes of a frame with CRC, the mean for imix. */
export function bytesOf(size: string): number {
  return size === 'imix' ? IMIX_MEAN : Number(size);
}

/** Gbit/s on the wire. */
export function gigabits(mpps: number, size: string): number {
  return (mpps * 1e6 * (bytesOf(size) + WIRE_OVERHEAD) * 8) / 1e9;
}

/** Mpps of one direction of 10 Gbit Ethernet. */
export function lineRateMpps(size: string): number {
  return LINE_RATE / ((bytesOf(size) + WIRE_OVERHEAD) * 8) / 1e6;
}
