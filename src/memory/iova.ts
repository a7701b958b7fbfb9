// IO virtual addresses: what the device sees. Every device sees an arena byte
// at the same IOVA, since a forwarder hands a buffer from one device to the
// next: above the x86 MSI window, below 39 bits, inside one 4 GiB window, so that
// the low word is the arena offset and the high word a constant (docs/design.md sec 4).

/** An IOVA: an integer below 2**39, exact in a double. */
export type Iova = number & { readonly __iova: unique symbol };

/** High word of every arena IOVA. */
export const IOVA_HIGH = 1;
/** IOVA of arena offset 0. */
const IOVA_BASE = IOVA_HIGH * 2 ** 32;

/** IOVA of an arena byte offset (0 <= offset < 2**32). */
export function iovaOf(offset: number): Iova {
  return (IOVA_BASE + offset) as Iova;
}

/** A range of IOVAs a device can use; both ends inclusive. */
export interface IovaRange {
  readonly first: number;
  readonly last: number;
}

/** True when [first, first + sizeBytes) lies inside one of the ranges. */
export function rangesHold(
  ranges: readonly IovaRange[],
  first: number,
  sizeBytes: number,
): boolean {
  return ranges.some((range) => first >= range.first && first + sizeBytes - 1 <= range.last);
}

/** Ranges as a person reads them: "0x0-0xfedfffff, 0xfef00000-0x7fffffffff". */
export function formatRanges(ranges: readonly IovaRange[]): string {
  return ranges.map((r) => `0x${r.first.toString(16)}-0x${r.last.toString(16)}`).join(', ');
}
