// `ixy doctor` as a process, on the software 82599: what it prints, and how it ends.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { childrenOf, exists, killAll, modelFolder, parseLine, run, start } from '../run-ixy.ts';

const MAIN = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'ixy-doctor-'));
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (stdout: string): string[] => stdout.trim().split('\n');

describe('ixy doctor refuses with status 2 and one line', () => {
  it.each([
    [['nonsense'], 'expected 0000:03:10.0 (a PCI address)'],
    [['model:0.0', 'nonsense'], "got 'nonsense'"],
    [['model:0.0', 'model:0.0'], 'PEER: expected another VF than model:0.0'],
    [['model:0.0', 'model:0.1', 'model:0.2'], 'expected at most 2'],
    [['model:9.0'], 'expected ports 0 to 7'],
    [['--silicon', 'rstd=none'], '--silicon'],
    [['--no-dma', '--load'], '--no-dma: expected no --load beside it'],
  ])('%j', async (argv, message) => {
    const { status, errors, stdout } = await run('doctor', ...argv);
    expect(errors.length).toBe(1);
    expect(errors[0]).toContain(message);
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('ixy doctor', () => {
  it('examines a model of its own', async () => {
    const { status, stdout, errors } = await run('doctor');
    expect([status, errors]).toEqual([0, []]);
    const said = lines(stdout);
    expect(said[0]).toBe('no address given: started a software 82599, ports none');
    expect(stdout).toMatch(/^1\. host\n {2}as expected +kernel: Linux [^\n]*docs\/82599-vf\.md/m);
    expect(stdout).toMatch(/^ {2}as expected +RESET: sent 00000001, got 80000001 /m);
    expect(stdout).toMatch(/^verdict: [^\n]*\nanswers as: ixy model --silicon rstd=now/m);
  });

  it.each([
    ['one VF, which sends to itself', ['model:0.0']],
    ['VFs of two ports, joined by a cable', ['model:0.0', 'model:1.0']],
    ['no memory given', ['--no-dma']],
  ])('%s', async (_what, argv) => {
    const { status, stdout, errors } = await run('doctor', '--json', ...argv);
    expect([status, errors]).toEqual([0, []]);
    const objects = lines(stdout).map(parseLine);
    const last = objects.pop();
    expect(last).toMatchObject({ device: 'model:0.0', interrupted: false, final: true });
    expect(objects.map(({ step }) => step)).toEqual(objects.map((_, i) => i + 1));
    for (const { findings } of objects) {
      for (const one of findings as Record<string, unknown>[]) {
        expect(Object.keys(one)).toEqual(
          expect.arrayContaining(['what', 'expected', 'source', 'seen', 'verdict']),
        );
        expect(one.verdict, JSON.stringify(one)).not.toBe('unusable');
      }
    }
  });

  it.each([
    ['a socket that nobody serves', `vfio-user:${folder}/none.sock`, /none\.sock/],
    ['a PCI function that is not there', '00ff:00:00.0', /00ff:00:00\.0/],
  ])('says where it ends: %s', async (_what, address, message) => {
    const { status, stdout, errors } = await run('doctor', '--json', address);
    expect(status).toBe(1);
    expect(errors.length).toBe(1);
    expect(errors[0]).toMatch(message);
    const objects = lines(stdout).map(parseLine);
    const verdicts = objects.map(({ verdict }) => verdict);
    expect(verdicts.slice(1)).toEqual(['unusable', ...Array(10).fill('skipped'), 'unusable']);
  });

  it('ends at a signal, says how far it came, and leaves no model behind', async () => {
    const running = start('doctor');
    await running.line(/^1\. host/);
    const models = childrenOf(running.child.pid);
    expect(models.length).toBe(1);
    const sockets = modelFolder(models[0]);
    running.child.kill('SIGINT');
    const { status, stdout, errors } = await running.end();
    expect([status, errors]).toEqual([0, []]);
    expect(stdout).toMatch(/^verdict: [^\n]*, interrupted /m);
    expect(exists(models[0])).toBe(false);
    expect(existsSync(sockets)).toBe(false);
  });

  it('says that the device went away under it', async () => {
    const model = start('model', '--dir', folder, '--ports', '1', '--vfs', '2');
    await model.line(/^ready/);
    const running = start(
      'doctor',
      `vfio-user:${folder}/p0v0.sock`,
      `vfio-user:${folder}/p0v1.sock`,
    );
    await running.line(/^3\. registers/);
    model.child.kill('SIGKILL');
    const { status, stdout, errors } = await running.end();
    expect(status).toBe(1);
    expect(errors.length).toBe(1);
    expect(errors[0]).toContain('p0v0.sock');
    expect(stdout).toMatch(/^verdict: unusable /m);
  });

  it.each([['doctor'], ['doctor --json']])('%s > /dev/full is status 1', (argv) => {
    const line = `"$0" "$1" ${argv} > /dev/full`;
    const { status, stderr } = spawnSync('sh', ['-c', line, process.execPath, MAIN], {
      encoding: 'utf8',
    });
    expect(stderr).toMatch(/^ixy: write \(standard output\): ENOSPC: [^\n]*\n$/);
    expect(status).toBe(1);
  });

  it('ends quietly when its reader goes', () => {
    const line = '{ "$0" "$1" doctor; echo $? >&2; } | head -1';
    const { stderr } = spawnSync('sh', ['-c', line, process.execPath, MAIN], { encoding: 'utf8' });
    expect(stderr).toBe('0\n');
  });
});
