// How two things are compared here. A machine that others share changes its speed by half for seconds at a time, so
// whole runs cannot be compared: what is compared takes turns, and only neighbours are divided by each other. The
// result is the median of these ratios with its 95 % interval over several fresh starts.

import { pairedRatio, type Ratio, type Start } from './statistics.ts';

/** An interval is narrow enough when high - low is below this share of the ratio. */
const NARROW = 0.05;

/** How many fresh starts a comparison takes. */
export interface Starts {
  readonly least: number;
  /** After so many it ends, however wide the interval is. */
  readonly most: number;
}

/** Which program is divided by which: places in a turn. */
export type Division = readonly [over: number, under: number];

/** Whether an interval says enough. */
export function isNarrow({ ratio, low, high }: Ratio): boolean {
  return high - low < NARROW * ratio;
}

/** Makes fresh starts until all intervals are narrow, or `most` were made. */
export async function compare(
  { least, most }: Starts,
  divisions: readonly Division[],
  start: (number: number) => Promise<Start>,
): Promise<Start[]> {
  const starts: Start[] = [];
  while (starts.length < most) {
    starts.push(await start(starts.length));
    const enough = (division: Division): boolean => isNarrow(pairedRatio(starts, ...division));
    if (starts.length >= least && divisions.every(enough)) break;
  }
  return starts;
}

/** The order of a turn: who goes first alternates, so that being first favours nobody. */
export function inTurn<T>(all: readonly T[], turn: number): readonly T[] {
  return turn % 2 === 0 ? all : [...all].reverse();
}

/** "0.832 [0.821, 0.845]", with a word where the interval stayed too wide. */
export function ratioText(result: Ratio): string {
  const { ratio, low, high } = result;
  const text = `${ratio.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
  return isNarrow(result) ? text : `${text}, NOT narrower than ${NARROW * 100} %`;
}

/** What "no slower" means: the interval of after/before is narrow and contains 1 or lies below it. */
export function verdictText(after: Ratio): string {
  if (after.low > 1) return 'slower';
  if (!isNarrow(after)) return 'not to be told';
  return after.high < 1 ? 'faster' : 'no slower';
}
