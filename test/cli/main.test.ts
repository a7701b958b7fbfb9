// What `ixy` itself answers, before any command: usage, help, version, and an output that takes nothing.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run } from './run-ixy.ts';

const COMMANDS = [
  'l2fwd',
  'pktgen',
  'dump',
  'model',
  'doctor',
  'list',
  'bind',
  'unbind',
  'preload',
];
const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

describe('ixy', () => {
  it('alone prints its usage, as a wrong command line: on stderr, status 2', async () => {
    const { status, stdout, stderr } = await run();
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toBe((await run('--help')).stdout);
    for (const name of COMMANDS) expect(stderr).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it.each([['--version'], ['-V']])('%s prints the version of the package', async (option) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await run(option)).toMatchObject({
      status: 0,
      stdout: `ixy.ts ${version}\n`,
      stderr: '',
    });
  });

  it.each([['--help'], ['-h'], ['help']])('%s prints the usage', async (option) => {
    const { status, stdout } = await run(option);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^usage: ixy COMMAND/);
  });

  it.each(COMMANDS)('help %s, and %s with -h or --help, say the same', async (name) => {
    const texts = await Promise.all([run('help', name), run(name, '-h'), run(name, '--help')]);
    expect(texts[0].stdout).toMatch(new RegExp(`^usage: ixy ${name} [^]*\\n {2}-h, --help  `));
    for (const { status, stdout } of texts) expect([status, stdout]).toEqual([0, texts[0].stdout]);
  });

  it.each([['--help'], ['help l2fwd'], ['bind -h'], ['--version'], ['list'], ['list --json']])(
    '%s > /dev/full ends in one line, status 1; into a closed pipe in none',
    (argv) => {
      const command = `"$0" "$1" ${argv}`;
      const sh = (line: string) =>
        spawnSync('sh', ['-c', line, process.execPath, MAIN], { encoding: 'utf8' });
      const full = sh(`${command} > /dev/full`);
      expect(full.stderr).toMatch(
        /^ixy: write \(standard output\): ENOSPC: the disk is full; [^\n]*\n$/,
      );
      expect(full.status).toBe(1);
      expect(sh(`{ sleep 0.1; ${command}; } | true`).stderr).toBe('');
    },
  );
});
