// Rates for a person to read.

const PREFIXES = ['', 'k', 'M', 'G', 'T'];
const DIGITS = 3;

/**
 * A rate with three digits and the prefix that fits: "5 pps", "812 kpps", "7.44 Mpps", "1.20 Gbit/s".
 * @param perSecond 0 or more
 */
export function scaled(perSecond: number, unit: 'pps' | 'bit/s'): string {
  let value = Number(perSecond.toPrecision(DIGITS));
  let steps = 0;
  for (; value >= 1000 && steps < PREFIXES.length - 1; steps++) value /= 1000;
  return `${steps === 0 ? value : value.toPrecision(DIGITS)} ${PREFIXES[steps]}${unit}`;
}
