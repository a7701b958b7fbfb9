// What `ixy doctor` prints: a line a finding, or a JSON object a step, and a last one that sums up.

import { release } from 'node:os';
import { printable } from '../run/print.ts';
import type { StepReport } from './examine.ts';
import { type Finding, type Verdict, worst } from './finding.ts';

/** As wide as the longest verdict. */
const VERDICT_WIDTH = 'other than expected'.length;

/** What is said at the end. */
export interface Summary {
  readonly device: string;
  readonly peer: string | null;
  readonly kernel: string;
  readonly node: string;
  /** Of the worst finding; "skipped" where nothing was looked at. */
  readonly verdict: Verdict;
  readonly counts: Readonly<Record<string, number>>;
  /** What `ixy model --silicon` takes to answer alike, as far as that is no default; '' for nothing. */
  readonly silicon: string;
  /** Told to end before it was done. */
  readonly interrupted: boolean;
  readonly final: true;
}

/** Sums an examination up. */
export function summaryOf(
  device: string,
  peer: string | undefined,
  reports: readonly StepReport[],
  interrupted: boolean,
): Summary {
  const findings = reports.flatMap((report) => report.findings);
  const counts: Record<string, number> = {};
  for (const { verdict } of findings) counts[verdict] = (counts[verdict] ?? 0) + 1;
  // A question may be asked twice; the model takes each mode once.
  const modes = new Map(
    findings.flatMap(({ silicon = '' }) =>
      silicon === '' ? [] : [[silicon.split('=')[0], silicon]],
    ),
  );
  return {
    device,
    peer: peer ?? null,
    kernel: release(),
    node: process.version,
    verdict: worst(findings),
    counts,
    silicon: [...modes.values()].join(','),
    interrupted,
    final: true,
  };
}

/** A finding as one line. */
export function findingLine({ what, expected, source, seen, verdict, silicon }: Finding): string {
  const mode = silicon === undefined ? '' : ` [--silicon ${silicon}]`;
  const line = `${verdict.padEnd(VERDICT_WIDTH)}  ${what}: ${seen}${mode}; expected ${expected} (${source})`;
  return `  ${printable(line.replace(/\s*\n\s*/g, ' '))}`;
}

/** The end of the report, for a person. */
export function summaryLine(summary: Summary): string {
  const counts = Object.entries(summary.counts).map(([verdict, count]) => `${count} ${verdict}`);
  const same = summary.silicon === '' ? '' : `\nanswers as: ixy model --silicon ${summary.silicon}`;
  const why = summary.interrupted ? ', interrupted' : '';
  return `verdict: ${summary.verdict}${why} (${counts.join(', ') || 'nothing looked at'})${same}`;
}
