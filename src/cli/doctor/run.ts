// `ixy doctor` at work: has the patient examined and prints what is found, and gives everything back whatever
// happens. The doctor is not told whether a device is a model.

import { spawnSync } from 'node:child_process';
import { openDevice } from '../../open.ts';
import { systemClock } from '../../support/clock.ts';
import { silentLog } from '../../support/log.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { fileAccess } from '../../vfio/kernel/sysfs.ts';
import { VfioUserDevice } from '../../vfio/user/client.ts';
import { HostedModel } from '../run/hosted-model.ts';
import { Session } from '../run/session.ts';
import { examine, type Observer } from './examine.ts';
import { Patient, type Surroundings } from './patient.ts';
import type { DoctorPlan } from './plan.ts';
import { findingLine, summaryLine, summaryOf } from './report.ts';
import { STEPS, type Step } from './steps/index.ts';

/** `ip` answers in some ms, or its kernel side hangs. */
const IP_MS = 2000;

/** This machine. */
const SURROUNDINGS: Surroundings = {
  sysfs: '/sys',
  dev: '/dev',
  proc: '/proc',
  access: fileAccess,
  ipLink(name) {
    const { status, stdout } = spawnSync('ip', ['-j', '-d', 'link', 'show', name], {
      encoding: 'utf8',
      timeout: IP_MS,
    });
    return status === 0 ? stdout : undefined;
  },
};

async function takeDevice(address: string): Promise<VfioDevice> {
  const device = await openDevice(address, undefined, silentLog);
  if (device instanceof VfioUserDevice) device.started();
  return device;
}

/** Examines a device. @returns the exit status: 1 where it is unusable */
export async function runDoctor(plan: DoctorPlan): Promise<number> {
  const session = new Session({ durationSeconds: 0, intervalSeconds: 0 });
  let model: HostedModel | undefined;
  let patient: Patient | undefined;
  try {
    model = await HostedModel.startFor(plan, session);
    session.catchSignals();
    patient = new Patient({
      address: plan.address,
      peer: plan.peer,
      clock: systemClock,
      surroundings: SURROUNDINGS,
      ask: (what) => process.stderr.write(`ixy doctor: ${what}\n`),
      over: () => session.over,
      open: (address) => takeDevice(model?.resolve(address) ?? address),
    });
    const whyNot = (step: Step): string => whyNotDone(step, plan);
    const reports = await examine(patient, STEPS, whyNot, observer(plan, session));
    patient.close();
    const interrupted = session.over;
    const summary = summaryOf(plan.address, plan.peer, reports, interrupted);
    session.print(plan.json ? JSON.stringify(summary) : summaryLine(summary));
    const fatal = reports.flatMap(({ findings }) => findings).find(isFatal);
    if (fatal !== undefined) session.fail(new Error(fatal.seen));
    session.end();
    await model?.close();
    return session.status();
  } finally {
    patient?.close();
    await model?.close();
  }
}

const isFatal = ({ verdict }: { readonly verdict: string }): boolean => verdict === 'unusable';

/** Why the user does not get a step; '' where it is done. */
function whyNotDone({ dma, extra }: Step, { noDma, extras }: DoctorPlan): string {
  if (dma && noDma) return '--no-dma was given';
  return extra === undefined || extras.includes(extra) ? '' : `--${extra} was not given`;
}

function observer(plan: DoctorPlan, session: Session): Observer {
  const { json } = plan;
  const tell = (line: string): void => {
    if (!json) session.print(line);
  };
  return {
    begun: ({ number, name }) => tell(`${number}. ${name}`),
    found: (finding) => tell(findingLine(finding)),
    done: (report) => {
      if (json) session.print(JSON.stringify(report));
    },
  };
}
