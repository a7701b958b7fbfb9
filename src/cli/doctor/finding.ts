// What the doctor says of a device: findings, one a line. Each has what sources let one expect, which
// source that is, and what was seen, raw; so a report from hardware can be read by somebody who was not there.

/** `unusable` ends the examination; `skipped` says in `seen` why nothing was looked at. */
export type Verdict = 'as expected' | 'other than expected' | 'unusable' | 'skipped';

/** One thing that was looked at. */
export interface Finding {
  readonly what: string;
  readonly expected: string;
  /** "docs/82599-vf.md sec 4.1", a function of Linux or DPDK, or a manual page. */
  readonly source: string;
  /** As it was read, with times. */
  readonly seen: string;
  readonly verdict: Verdict;
  /** The mode of `ixy model --silicon` that answers so, where sources leave the answer open: "rstd=now". */
  readonly silicon?: string;
  /** The same as numbers, where there are too many for a line; in the JSON report only. */
  readonly raw?: unknown;
}

/** What a finding may have beside the rest. */
export type Extras = Pick<Finding, 'silicon' | 'raw'>;

/** The hardware reference of this repository. */
export const docs = (section: string): string => `docs/82599-vf.md sec ${section}`;

/** Something that can be judged: `holds` makes it as expected. */
export function judged(
  holds: boolean,
  what: string,
  expected: string,
  source: string,
  seen: string,
  extras: Extras = {},
): Finding {
  const verdict = holds ? 'as expected' : 'other than expected';
  return { what, expected, source, seen, verdict, ...extras };
}

/** Something that was not looked at. @param why "seen on the host only" */
export function skipped(what: string, expected: string, source: string, why: string): Finding {
  return { what, expected, source, seen: why, verdict: 'skipped' };
}

/** Something without which nothing further can be looked at. */
export function unusable(what: string, expected: string, source: string, seen: string): Finding {
  return { what, expected, source, seen, verdict: 'unusable' };
}

/** The worst of some verdicts; 'skipped' where nothing else is there. */
export function worst(findings: readonly Finding[]): Verdict {
  const order: readonly Verdict[] = ['unusable', 'other than expected', 'as expected', 'skipped'];
  return order.find((verdict) => findings.some((one) => one.verdict === verdict)) ?? 'skipped';
}

/** "0x2000000" */
export function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

/** Microseconds as a person reads them: "3 us", "12.4 ms". */
export function time(us: number): string {
  if (us < 1000) return `${Math.round(us * 10) / 10} us`;
  return us < 1e6 ? `${Math.round(us / 100) / 10} ms` : `${Math.round(us / 1e4) / 100} s`;
}
