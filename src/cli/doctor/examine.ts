// Runs the steps on a patient, one after the other. A step that fails is a finding too; what makes a device
// unusable ends the examination. No step goes on for longer than its time, and none holds up a signal for long.

import { setImmediate } from 'node:timers/promises';
import { type Finding, unusable, type Verdict, worst } from './finding.ts';
import type { Patient } from './patient.ts';
import type { Step } from './steps/index.ts';

/** How long a step may go on; what it waits for inside is bounded by itself. */
const STEP_US = 5_000_000;

/** What a step found. */
export interface StepReport {
  readonly step: number;
  readonly name: string;
  readonly milliseconds: number;
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
}

/** Who follows an examination. */
export interface Observer {
  /** True once it is to end before the next finding. */
  over(): boolean;
  begun(step: Step): void;
  found(finding: Finding): void;
  done(report: StepReport): void;
}

/** @returns the reports of the steps that were done, up to the first that found the device unusable */
export async function examine(
  patient: Patient,
  steps: readonly Step[],
  observer: Observer,
): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  for (const step of steps) {
    if (observer.over()) break;
    observer.begun(step);
    const report = await take(patient, step, observer);
    observer.done(report);
    reports.push(report);
    if (report.verdict === 'unusable') break;
  }
  return reports;
}

async function take(patient: Patient, step: Step, observer: Observer): Promise<StepReport> {
  const { clock } = patient;
  const startUs = clock.nowUs();
  const findings: Finding[] = [];
  const take = (finding: Finding): void => {
    findings.push(finding);
    observer.found(finding);
  };
  try {
    for await (const finding of step.look(patient)) {
      take(finding);
      // Signals and a reader that went away are seen here.
      await setImmediate();
      if (observer.over()) break;
      if (clock.nowUs() - startUs < STEP_US) continue;
      take({
        what: 'time of this step',
        expected: `${STEP_US / 1e6} s at most`,
        source: 'the doctor',
        seen: 'longer; what was left of it is left out',
        verdict: 'other than expected',
      });
      break;
    }
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    take(unusable(`${step.name}, to its end`, 'no error', 'the doctor', said));
  }
  const milliseconds = Math.round((clock.nowUs() - startUs) / 100) / 10;
  return { step: step.number, name: step.name, milliseconds, verdict: worst(findings), findings };
}
