// What the doctor finds on a model, and what each mode of the model changes in that: which findings are other than
// on the default model, and which mode is named. Model and doctor in one thread; time passes only by being waited for.

import { afterEach, describe, expect, it } from 'vitest';
import { examine, type StepReport } from '../../../src/cli/doctor/examine.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { Patient, type Surroundings } from '../../../src/cli/doctor/patient.ts';
import { summaryOf } from '../../../src/cli/doctor/report.ts';
import { STEPS } from '../../../src/cli/doctor/steps/index.ts';
import {
  createModel,
  type LocalModel,
  type LocalModelOptions,
} from '../../../src/model/local-model.ts';
import { SteppingClock } from '../../support/stepping-clock.ts';

const NOWHERE: Surroundings = {
  sysfs: '/nonexistent',
  dev: '/nonexistent',
  proc: '/nonexistent',
  access: () => 'absent',
  ipLink: () => undefined,
};

const models: LocalModel[] = [];
afterEach(() => {
  for (const model of models.splice(0)) model.close();
});

/** Examines model:0.0 with model:0.1 for its peer. @param prepare what the host sets before */
async function examined(
  options: Partial<LocalModelOptions>,
  prepare: (model: LocalModel) => void = () => {},
): Promise<readonly StepReport[]> {
  const clock = new SteppingClock(() => void model.step());
  const ports = [{ vfs: 2, wire: 'none' }];
  const model: LocalModel = createModel({ ports, clock: clock.model, ...options });
  models.push(model);
  prepare(model);
  const patient = new Patient({
    address: 'model:0.0',
    peer: 'model:0.1',
    clock,
    surroundings: NOWHERE,
    open: async (address) => model.device(0, Number(address.slice(-1))),
  });
  const silent = { over: () => false, begun: () => {}, found: () => {}, done: () => {} };
  const reports = await examine(patient, STEPS, silent);
  patient.close();
  expect(model.recorder.violations).toEqual([]);
  return reports;
}

const findings = (reports: readonly StepReport[]): Finding[] =>
  reports.flatMap((report) => report.findings);

/** Names of findings that are other than expected, or end the examination. */
function others(reports: readonly StepReport[]): string[] {
  return findings(reports)
    .filter(({ verdict }) => verdict === 'other than expected' || verdict === 'unusable')
    .map(({ what }) => what)
    .filter((what) => !['memlock', 'huge pages'].includes(what));
}

const modes = (reports: readonly StepReport[]): string =>
  summaryOf('', undefined, reports, false).silicon;

describe('on the default model', () => {
  it.each([['82599'], ['x540']] as const)('an %s is as expected in all steps', async (macType) => {
    const reports = await examined({ macType });
    expect(others(reports)).toEqual([]);
    expect(modes(reports)).toBe('rstd=now');
    expect(reports.map(({ step }) => step)).toEqual(STEPS.map(({ number }) => number));
  });

  it('each finding says what was expected and by which source', async () => {
    for (const one of findings(await examined({}))) {
      for (const text of [one.what, one.expected, one.source, one.seen]) {
        expect(text, one.what).not.toBe('');
      }
    }
  });
});
