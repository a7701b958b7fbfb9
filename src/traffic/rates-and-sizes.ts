// How rates and frame sizes are written on command lines: "250k" frames a second, "64" bytes, "imix".

import { CRC_SIZE, MAX_FRAME_WITH_CRC } from '../hw/descriptors.ts';
import { PATTERN_START } from './test-frame.ts';

/** Smallest and largest size of a frame, bytes with CRC: Ethernet's minimum, the 82599's jumbo limit. */
export const MIN_SIZE = PATTERN_START + CRC_SIZE;
export const MAX_SIZE = MAX_FRAME_WITH_CRC;
const MAX_RATE = 1e9;
/** What parseRate takes, for errors. */
export const RATES = 'frames a second above 0 and up to 1G, such as 250k or 1.5M';
/** Simple IMIX, 7:4:1 of 64, 594 and 1518 bytes with CRC, mixed so that no size comes in one block. */
const IMIX_SIZES = [64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64];

/** Frames a second, from a decimal number with k, M or G after it; null for anything else and beyond 1G. */
export function parseRate(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(text);
  const scale = { '': 1, k: 1e3, M: 1e6, G: 1e9 }[match?.[2] ?? ''] ?? Number.NaN;
  // To a thousandth of a frame: 1.1 times 1e6 is no whole number.
  const rate = Math.round(Number(match?.[1]) * scale * 1000) / 1000;
  return rate > 0 && rate <= MAX_RATE ? rate : null;
}

/** The lengths without CRC that frames of "64", or of "imix", have in turn; null for anything else. */
export function parseSize(text: string): readonly number[] | null {
  const sizes = text === 'imix' ? IMIX_SIZES : [/^\d+$/.test(text) ? Number(text) : 0];
  if (sizes.some((size) => size < MIN_SIZE || size > MAX_SIZE)) return null;
  return sizes.map((size) => size - CRC_SIZE);
}
