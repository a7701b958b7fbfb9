// Axes of the report's plots: from a value to a place, and where the ticks go. No I/O.

/** An axis. */
export interface Axis {
  /** With its unit. */
  readonly label: string;
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  /** Place of a value: 0 at the start of the axis, 1 at its end; beyond them it is cut off. */
  place(value: number): number;
}

const clamp = (share: number): number => Math.min(1, Math.max(0, share));

/** A round step of which `max` holds four to eight. */
function roundStep(max: number): number {
  const power = 10 ** Math.floor(Math.log10(max / 4));
  const lead = max / 4 / power;
  return power * (lead >= 5 ? 5 : lead >= 2 ? 2 : 1);
}

/** From 0 to a round number at or above `max`. */
export function linearAxis(label: string, max: number): Axis {
  const top = max > 0 ? max : 1;
  const step = roundStep(top);
  const count = Math.ceil(top / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return {
    label,
    ticks: Array.from({ length: count + 1 }, (_, i) => ({
      at: i * step,
      text: (i * step).toFixed(digits),
    })),
    place: (value) => clamp(value / (count * step)),
  };
}

/** Logarithmic, powers of ten, from the one below `min` to the one above `max`. */
export function logAxis(
  label: string,
  min: number,
  max: number,
  text: (at: number) => string,
): Axis {
  const low = Math.floor(Math.log10(min) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(max) - 1e-9));
  return {
    label,
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map((at) => ({
      at,
      text: text(at),
    })),
    place: (value) => clamp((Math.log10(value) - low) / (high - low)),
  };
}

/** Logarithmic with a tick at each of `values`, ascending. */
export function powersAxis(label: string, values: readonly number[]): Axis {
  const low = Math.log2(values[0]);
  const span = Math.log2(values[values.length - 1]) - low || 1;
  return {
    label,
    ticks: values.map((at) => ({ at, text: String(at) })),
    place: (value) => clamp((Math.log2(value) - low) / span),
  };
}

/**
 * Percentiles as an HdrHistogram shows them: each further nine takes the same room. The largest value, at 100 %, would be
 * infinitely far away and stands at the end.
 * @param highest percentile of that end
 */
export function ninesAxis(label: string, highest: number): Axis {
  const nines = (percentile: number): number =>
    -Math.log10(Math.max(1e-9, 1 - Math.min(percentile, highest) / 100));
  const end = nines(highest) || 1;
  const all = [0, 90, 99, 99.9, 99.99, 99.999, 99.9999];
  return {
    label,
    ticks: [
      ...all.filter((at) => at <= highest).map((at) => ({ at, text: `${at} %` })),
      { at: 100, text: 'max' },
    ],
    place: (percentile) => clamp(nines(percentile) / end),
  };
}

/** Names side by side; value i is the middle of the i-th. */
export function categoryAxis(label: string, names: readonly string[]): Axis {
  return {
    label,
    ticks: names.map((text, at) => ({ at, text })),
    place: (value) => clamp((value + 0.5) / names.length),
  };
}
