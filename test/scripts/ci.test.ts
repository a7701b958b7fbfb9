// .ci/run in a folder of its own, with stages that take no time.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

let folder: string;
const at = (name: string) => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-ci-'));
  mkdirSync(at('.ci'));
  cpSync(fileURLToPath(new URL('../../.ci/run', import.meta.url)), at('.ci/run'));
  // A stage that counts its own tests, one of which was skipped.
  const counts = { passed: 3, failed: 0, skips: ['a.test.ts: sends frames: no ping'] };
  writeFileSync(at('counting'), `echo '${JSON.stringify(counts)}' >"$IXY_TEST_COUNTS"`);
  writeFileSync(at('skipped'), 'echo some words; echo no network; exit 77');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs these stages. @returns exit status, the lines that say what failed or was skipped, and the last line */
function run(stages: string[], { skips = '', deadline = 60 } = {}) {
  writeFileSync(at('.ci/stages'), [`deadline ${deadline}`, '# words', ...stages, ''].join('\n'));
  writeFileSync(at('.ci/skips'), skips);
  const { status, stdout } = spawnSync('bash', [at('.ci/run')], { encoding: 'utf8' });
  const lines = stdout.trim().split('\n');
  return {
    status,
    said: lines.filter((line) => /^(failed|skipped):/.test(line)),
    last: lines.at(-1),
  };
}

it('adds up the tests of stages that count them and the status of those that do not', () => {
  expect(run(['one 9 true', 'two 9 bash counting', 'three 9 bash skipped'])).toEqual({
    status: 0,
    said: ['skipped: a.test.ts: sends frames: no ping', 'skipped: three: no network'],
    last: '4 passed, 0 failed, 2 skipped',
  });
});

it('fails with a stage that fails, and runs the others', () => {
  expect(run(['one 9 false', 'two 9 bash counting'])).toMatchObject({
    status: 1,
    said: ['failed: one: status 1 before any test was counted', expect.any(String)],
    last: '3 passed, 1 failed, 1 skipped',
  });
});

it('after the deadline fails by name what ran and what was still to run', () => {
  const begin = performance.now();
  expect(run(['one 9 true', 'two 50 sleep 50', 'three 50 true'], { deadline: 2 })).toEqual({
    status: 1,
    said: [
      expect.stringMatching(/^failed: two: ended after [12] s$/),
      'failed: three: did not begin, the deadline of 2 s had passed',
    ],
    last: '1 passed, 2 failed, 0 skipped',
  });
  expect(performance.now() - begin).toBeLessThan(20_000);
});

it('ends a stage at its own limit where that comes first', () => {
  expect(run(['one 1 sleep 50', 'two 9 true'])).toEqual({
    status: 1,
    said: ['failed: one: ended after 1 s'],
    last: '1 passed, 1 failed, 0 skipped',
  });
});

it('fails a skip that no pattern with a reason names, once the packages are there', () => {
  const stages = ['packages 9 true', 'one 9 bash counting', 'two 9 bash skipped'];
  const skips = '# words\n^two: no network$  # it may be offline\n^a.test.ts  #\n';
  expect(run(stages, { skips })).toEqual({
    status: 1,
    said: [
      'failed: skipped, which .ci/skips does not allow: a.test.ts: sends frames: no ping',
      'skipped: two: no network',
    ],
    last: '4 passed, 1 failed, 1 skipped',
  });
  const offline = ['packages 9 bash skipped', ...stages.slice(1)];
  expect(run(offline)).toMatchObject({ status: 0, last: '3 passed, 0 failed, 3 skipped' });
});

it('ends every process that a stage left behind', async () => {
  writeFileSync(at('leaving'), `setsid sleep 100 & echo $! >${at('pid')}`);
  expect(run(['one 9 bash leaving']).status).toBe(0);
  const stat = `/proc/${readFileSync(at('pid'), 'utf8').trim()}/stat`;
  // It is gone, or dead and not yet waited for by its new parent.
  const state = () => (existsSync(stat) ? readFileSync(stat, 'utf8').split(') ')[1]?.[0] : 'Z');
  await expect.poll(state).toBe('Z');
});

it('has a reason for each skip that it allows', () => {
  const text = readFileSync(new URL('../../.ci/skips', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const row of rows) expect(row).toMatch(/\S\s+# \S/);
});
