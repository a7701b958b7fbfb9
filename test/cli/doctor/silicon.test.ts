// What the doctor finds on a model, and what each mode of the model changes in that: which findings are other than
// on the default model, and which mode is named. Model and doctor in one thread; time passes only by being waited for.

import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { examine, type StepReport } from '../../../src/cli/doctor/examine.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { Patient, type Surroundings } from '../../../src/cli/doctor/patient.ts';
import { summaryOf } from '../../../src/cli/doctor/report.ts';
import { STEPS, type Step } from '../../../src/cli/doctor/steps/index.ts';
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

/** What the host does: before the examination, and when the doctor asks for something. */
interface Person {
  readonly before?: (model: LocalModel) => void;
  readonly asked?: (model: LocalModel, what: string) => void;
}

/** Examines model:0.0 with model:0.1 for its peer. Events are asked for where somebody is there. */
async function examined(
  options: Partial<LocalModelOptions>,
  { before, asked }: Person = {},
): Promise<readonly StepReport[]> {
  const clock = new SteppingClock(() => void model.step());
  const ports = [{ vfs: 2, wire: 'none' }];
  const model: LocalModel = createModel({ ports, clock: clock.model, ...options });
  models.push(model);
  before?.(model);
  const patient = new Patient({
    address: 'model:0.0',
    peer: 'model:0.1',
    clock,
    surroundings: NOWHERE,
    ask: (what) => asked?.(model, what),
    over: () => false,
    open: async (address) => model.device(0, Number(address.slice(-1))),
  });
  const silent = { begun: () => {}, found: () => {}, done: () => {} };
  const steps = STEPS.filter(({ extra }) => extra !== 'load');
  const alone = asked === undefined ? 'nobody is there' : '';
  const whyNot = ({ extra }: Step): string => (extra === 'events' ? alone : '');
  const reports = await examine(patient, steps, whyNot, silent);
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
    .map(({ what, seen, verdict }) => (verdict === 'unusable' ? `${what}: ${seen}` : what))
    .filter((what) => !['memlock', 'huge pages'].includes(what));
}

const modes = (reports: readonly StepReport[]): string =>
  summaryOf('', undefined, reports, false).silicon;

describe('on the default model', () => {
  it.each([['82599'], ['x540'], ['x550']] as const)(
    'an %s is as expected in all steps',
    async (macType) => {
      const reports = await examined({ macType });
      expect(others(reports)).toEqual([]);
      expect(modes(reports)).toBe('rstd=now');
      expect(reports.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    },
  );

  it('so is one whose pages are all trapped, where every rule of the hardware is watched', async () => {
    const reports = await examined({ trapAll: true });
    expect(others(reports)).toEqual([]);
  });

  it('and one on a port where others send too', async () => {
    const ports = [{ vfs: 2, wire: 'gen:rate=2k' }];
    const reports = await examined({ ports });
    expect(others(reports)).toEqual([]);
  });

  it('each finding says what was expected and by which source, which exists', async () => {
    const page = readFileSync('docs/82599-vf.md', 'utf8');
    const sections = new Set(
      [...page.matchAll(/^#+ (\d+(?:\.\d+)*)/gm)].map(([, number]) => number),
    );
    for (const one of findings(await examined({}))) {
      for (const text of [one.what, one.expected, one.source, one.seen]) {
        expect(text, one.what).not.toBe('');
      }
      const [, cited = ''] = /^docs\/82599-vf\.md sec ([\d., ]+)/.exec(one.source) ?? [];
      for (const [number] of cited.matchAll(/\d+(?:\.\d+)*/g)) expect(sections).toContain(number);
    }
  });
});

/** What each mode makes the doctor find. */
interface Row {
  readonly mode: string;
  /** As the summary names it, without rstd=now. */
  readonly named: string | RegExp;
  readonly others: readonly string[];
  readonly macType?: LocalModelOptions['macType'];
}

const ROWS: readonly Row[] = [
  { mode: 'rstd=none', named: 'rstd=none', others: [] },
  { mode: 'rstd=late:5000', named: /^rstd=late:5\d{3}$/, others: [] },
  {
    mode: 'rstd=late:60000',
    named: /^rstd=late:60\d{3}$/,
    others: ['VFMAILBOX for 100 ms after RST'],
  },
  { mode: 'ungranted=0', named: 'rstd=now,ungranted=0', others: [] },
  { mode: 'ungranted=ones', named: 'rstd=now,ungranted=ones', others: [] },
  { mode: 'ungranted=enable', named: 'rstd=now,ungranted=enable', others: [] },
  {
    mode: 'reset-lag=3000',
    named: /^reset-lag=3\d{3},rstd=now$/,
    others: ['all ones after FLR', 'all ones after RST'],
  },
  {
    mode: 'stale-mrqc',
    macType: 'x550',
    named: 'stale-mrqc,rstd=now',
    others: ['VFMRQC.RSSEN after FLR'],
  },
  { mode: 'vfte=ties-enable', named: 'rstd=now,vfte=ties-enable', others: [] },
  { mode: 'enable-lag=2000', named: /^rstd=now,enable-lag=2\d{3}$/, others: [] },
  {
    mode: 'enable-lag=50000',
    named: 'rstd=now',
    others: ['ENABLE of rx queues 0 to 3, written 1', 'ENABLE of tx queues 0 to 3, written 1'],
  },
  {
    mode: 'msix-lost',
    named: 'rstd=now,msix-lost',
    others: ['MSI-X vector 0, set by VTEICS'],
  },
  { mode: 'late-dma=90', named: /^rstd=now,late-dma=\d\d$/, others: [] },
  {
    mode: 'late-dma=400',
    named: /^rstd=now,late-dma=[34]\d\d$/,
    others: ['writes after ENABLE of rx queue 0 reads 0'],
  },
  { mode: 'mbx-lag=20000', named: /^rstd=now,mbx-lag=20\d{3}$/, others: [] },
];

describe('a mode is named, and changes no other verdict', () => {
  it.each(ROWS)('$mode', async ({ mode, named, others: expected, macType = '82599' }) => {
    const reports = await examined({ silicon: mode, macType });
    expect(others(reports)).toEqual(expected);
    expect(modes(reports)).toMatch(named);
  });
});

describe('what the host does', () => {
  it('is seen, and named by what the VF is told', async () => {
    const asked = (model: LocalModel, what: string): void => {
      const pf = model.pf(0);
      if (/pull the cable/.test(what)) model.host.setCable(0, false);
      if (/put the cable back/.test(what)) model.host.setCable(0, true);
      if (/PF down/.test(what)) pf.goDown();
      if (/PF up/.test(what)) pf.comeUp();
      if (/trust on/.test(what)) pf.setTrust(0, true);
    };
    const reports = await examined({}, { asked });
    expect(others(reports)).toEqual([]);
    const { findings: seen = [] } = reports.find(({ name }) => name === 'events') ?? {};
    expect(seen.map(({ what, verdict }) => [what, verdict])).toEqual(
      ['cable out', 'cable in', 'PF down', 'PF up', 'trust changed', 'registered again'].map(
        (what) => [what, 'as expected'],
      ),
    );
  });

  it.each<[string, Partial<LocalModelOptions>, string, readonly string[]]>([
    ['shows on an 82599', {}, 'off', []],
    ['shows on an X540', { macType: 'x540' }, 'off', []],
    ['is hidden by an X550', { macType: 'x550' }, 'on', []],
    ['on an 82599 that hides it', { silicon: 'hide-vlan=on' }, 'on', ['tag of the port VLAN']],
    [
      'on an X550 that shows it',
      { macType: 'x550', silicon: 'hide-vlan=off' },
      'off',
      ['tag of the port VLAN'],
    ],
  ])('a port VLAN %s', async (_what, options, hides, further) => {
    const before = (model: LocalModel): void => {
      for (const vf of [0, 1]) model.pf(0).setPortVlan(vf, 5);
    };
    const reports = await examined(options, { before });
    expect(others(reports)).toEqual(['GET_QUEUES', ...further]);
    expect(modes(reports)).toBe(`rstd=now,hide-vlan=${hides}`);
  });

  const LOST = [
    'a frame after the tx fault and a restart',
    'a frame after the rx fault and a restart',
  ];
  it.each<[string, number, readonly string[]]>([
    [
      'the VF',
      0,
      [
        ...['GET_LINK_STATE', 'link', '1 frame at the peer', '33 frames at the peer'],
        'VFGPTC, VFGOTC, and VFGPRC of the peer',
      ],
    ],
    ['its peer', 1, ['lengths']],
  ])('with %s disabled is gone on from', async (_who, vf, expected) => {
    const before = (model: LocalModel): void => model.pf(0).setLinkState(vf, 'disable');
    const reports = await examined({}, { before });
    expect(others(reports)).toEqual([...expected, ...LOST]);
  });

  it('that nobody did is skipped', async () => {
    const reports = await examined({}, { asked: () => {} });
    const { findings: seen = [] } = reports.find(({ name }) => name === 'events') ?? {};
    expect(seen[0]).toMatchObject({ what: 'cable out', verdict: 'skipped' });
    expect(seen[0].seen).toMatch(/nothing else in 60 s$/);
  });
});
