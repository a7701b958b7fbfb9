// What the commands say and do where the system has no more to give: files, address space, a disk
// that can be written to, a working directory. Each time one line that says what to do, status 1.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ending, MAIN, Processes } from './processes.ts';

let processes: Processes;

beforeAll(() => {
  processes = new Processes();
});
afterAll(() => processes.close());

/** Runs `ixy` from a shell that first runs `before`. */
async function after(before: string, ...argv: string[]): Promise<Ending & { lines: string[] }> {
  const shell = ['-c', `${before} && exec "$@"`, 'sh', process.execPath, MAIN, ...argv];
  const program = processes.start('sh', shell);
  return { ...(await program.end()), lines: program.lines };
}

const dir = (name: string): string => join(processes.folder, name);

describe('too few files', () => {
  test.each([
    [256, ['model', '--ports', '8', '--vfs', '63']],
    [24, ['model', '--vfs', '4']],
    [24, ['l2fwd', '--duration', '1']],
    [24, ['dump', '--duration', '1']],
    [24, ['pktgen', '--duration', '1']],
  ])('under ulimit -n %i, ixy %j ends in one line that names it', async (limit, argv) => {
    const place = argv[0] === 'model' ? ['--dir', dir('files')] : [];
    const { stderr, status, lines } = await after(`ulimit -n ${limit}`, ...argv, ...place);
    expect(stderr).toMatch(/^ixy: [^\n]*EMFILE[^\n]*as many files open .*ulimit -n[^\n]*\n$/);
    expect([status, lines]).toEqual([1, []]);
  });
});

describe('too little address space', () => {
  // Node.js 24 and later do with less than they would like to reserve.
  const needsAll = Number.parseInt(process.versions.node, 10) < 24;
  const line = /^ixy: [^\n]*reserve address space [^\n]*ENOMEM[^\n]*ulimit -v[^\n]*\n$/;

  test.each([[['model', '--vfs', '4', '--duration', '1']], [['l2fwd', '--duration', '1']]])(
    'ixy %j ends in one line, status 1, or runs where Node.js can',
    async (argv) => {
      const { stderr, status } = await after('ulimit -v 8000000', ...argv);
      expect(stderr).toMatch(needsAll ? line : /^$/);
      expect(status).toBe(needsAll ? 1 : 0);
    },
  );
});

describe('a read-only file system', () => {
  const readOnly = 'mount -t tmpfs -o ro ixy-test "$RO"';

  /** In a mount namespace of its own, with RO a read-only folder. */
  async function underReadOnly(env: object, ...argv: string[]): Promise<Ending> {
    mkdirSync(dir('ro'), { recursive: true });
    const shell = `${readOnly} && exec "$@"`;
    const command = ['--mount', '--user', '--map-root-user', 'sh', '-c', shell, 'sh'];
    const all = { ...process.env, RO: dir('ro'), TMPDIR: processes.folder, ...env };
    return processes
      .start('unshare', [...command, process.execPath, MAIN, ...argv], { env: all })
      .end();
  }

  test('each file that is to be made: one line with the cure, status 1', async (ctx) => {
    const probe = spawnSync('unshare', ['--mount', '--user', '--map-root-user', 'true']);
    if (probe.status !== 0) ctx.skip('no user namespaces here');
    await processes.model();
    const ro = dir('ro');
    const endings = [
      await underReadOnly({ TMPDIR: ro }, 'l2fwd', '--duration', '1'),
      await underReadOnly({}, 'model', '--dir', join(ro, 'm')),
      await underReadOnly({}, 'model', '--dir', ro),
      await underReadOnly({}, 'dump', `vfio-user:${dir('p0v0.sock')}`, join(ro, 'x.pcap')),
      await underReadOnly(
        { TMPDIR: ro },
        'preload',
        '--device',
        `0000:00:05.0=${dir('p0v0.sock')}`,
        '--',
        'true',
      ),
    ];
    for (const { stderr, status } of endings) {
      expect(stderr).toMatch(
        /^(ixy preload: .*\n)?ixy: [^\n]*EROFS: the file system is read-only; use a folder [^\n]*\n$/,
      );
      expect(status).toBe(1);
    }
  });
});

describe('a working directory that is gone', () => {
  test.each([
    [['l2fwd', '--duration', '1', '--interval', '0'], /received/],
    [['pktgen', '--count', '1000', '--interval', '0'], /sent 1000, received 1000/],
    [['dump', '--count', '2'], /captured 2 frames/],
  ])('does not keep ixy %j from its work', async (argv, done) => {
    const lost = dir(`lost-${argv[0]}`);
    const before = `mkdir ${lost} && cd ${lost} && rmdir ${lost}`;
    const { stderr, status, lines } = await after(before, ...argv);
    expect(stderr).not.toMatch(/ENOENT/);
    expect(lines.join(' ') + stderr).toMatch(done);
    expect(status).toBe(0);
  });
});
