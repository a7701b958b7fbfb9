// Runs the steps on a patient, one after the other. A step that fails is a finding too; what makes a device
// unusable ends the examination. No step goes on for longer than its time, and none holds up a signal for long.

import { setImmediate } from 'node:timers/promises';
import { type Finding, skipped, unusable, type Verdict, worst } from './finding.ts';
import type { Patient } from './patient.ts';
import type { Step } from './steps/index.ts';

/** How long a step may go on unless it says so; what it waits for inside is bounded by itself. */
const STEP_SECONDS = 5;

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
  begun(step: Step): void;
  found(finding: Finding): void;
  done(report: StepReport): void;
}

/** Why a step is not done; '' where it is. */
export type WhyNot = (step: Step) => string;

/**
 * Takes the steps in order.
 * @returns their reports, to where it was ended; steps after one that found the device unusable are skipped
 */
export async function examine(
  patient: Patient,
  steps: readonly Step[],
  whyNot: WhyNot,
  observer: Observer,
): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  let stopped = '';
  for (const step of steps) {
    if (patient.subject.over()) break;
    observer.begun(step);
    const why = stopped === '' ? whyNot(step) : stopped;
    const report = await (why === '' ? take(patient, step, observer) : leave(step, why, observer));
    observer.done(report);
    reports.push(report);
    if (report.verdict === 'unusable') stopped = `step ${step.number} found the device unusable`;
  }
  return reports;
}

async function leave({ number, name }: Step, why: string, observer: Observer): Promise<StepReport> {
  const finding = skipped(name, 'to be asked for, of a device that is usable', 'the doctor', why);
  observer.found(finding);
  return { step: number, name, milliseconds: 0, verdict: 'skipped', findings: [finding] };
}

async function take(patient: Patient, step: Step, observer: Observer): Promise<StepReport> {
  const { clock } = patient;
  const { seconds = STEP_SECONDS } = step;
  const startUs = clock.nowUs();
  const findings: Finding[] = [];
  const keep = (finding: Finding): void => {
    findings.push(finding);
    observer.found(finding);
  };
  try {
    for await (const finding of step.look(patient)) {
      keep(finding);
      // Signals and a reader that went away are seen here.
      await setImmediate();
      if (patient.subject.over()) break;
      if (clock.nowUs() - startUs < seconds * 1e6) continue;
      keep({
        what: 'time of this step',
        expected: `${seconds} s at most`,
        source: 'the doctor',
        seen: 'longer; what was left of it is left out',
        verdict: 'other than expected',
      });
      break;
    }
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    keep(unusable(`${step.name}, to its end`, 'no error', 'the doctor', said));
  }
  const milliseconds = Math.round((clock.nowUs() - startUs) / 100) / 10;
  return { step: step.number, name: step.name, milliseconds, verdict: worst(findings), findings };
}
