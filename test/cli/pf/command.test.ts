// `ixy pf` as a process, on `ixy model` as another.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { open } from '../../../src/open.ts';
import { type Ended, killAll, run, start } from '../run-ixy.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ixy-pf-'));
});

afterEach(() => {
  killAll();
  rmSync(directory, { recursive: true });
});

function pf(words: string): Promise<Ended> {
  return run('pf', '--dir', directory, ...words.split(' ').filter((word) => word !== ''));
}

async function startModel(...options: string[]): Promise<void> {
  await start('model', '--dir', directory, ...options).line(/^ready$/);
}

describe('wrong words', () => {
  test.each([
    ['', /expected "show", or words such as .*, got none; see/],
    ['show me', /expected "show" alone, got "show me"/],
    ['--json 0 reset', /--json: expected with "show", got "0 reset"/],
    ['zero reset', /expected a port number, got "zero"; see 'ixy pf --help'/],
    ['0 reboot', /expected reset, down, up, mtu, cable, tc after "0", got "reboot"/],
    ['0 vf 1 vlan x', /expected "0 vf 1 vlan ID \[qos P\]", got "0 vf 1 vlan x"/],
    ['0 vf 1 mac 02:00', /mac: expected a MAC address such as/],
    ['0 vf 0 vlan 1 qos 2 and so on', /expected at most 9 arguments beside options, got 10/],
  ])('%s is a usage error', async (words, why) => {
    const { status, stdout, stderr } = await pf(words);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(why);
  });
});

describe('no model', () => {
  test('a directory without one says how to start it', async () => {
    const { status, errors } = await pf('show');
    expect(status).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/control\.sock\): ENOENT: no model serves this directory; start one/);
  });

  test('a socket that a dead model left says that', async () => {
    const model = start('model', '--dir', directory);
    await model.line(/^ready$/);
    model.child.kill('SIGKILL');
    await model.end();
    const { status, errors } = await pf('0 reset');
    expect(status).toBe(1);
    expect(errors[0]).toMatch(/ECONNREFUSED: the model that made this socket is gone/);
  });

  test('a server that says nothing, or hangs up, is told of', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(join(directory, 'control.sock'), resolve));
    const { status, errors } = await pf('show');
    server.close();
    expect(status).toBe(1);
    expect(errors[0]).toMatch(/the model ended, or hangs/);
  });
});

describe('a running model', () => {
  test('does what it is told, and shows it', async () => {
    await startModel('--ports', '2', '--vfs', '2', '--set', '1 vf 1 vlan 9', '--set', '0 tc 2');
    expect(existsSync(join(directory, 'control.sock'))).toBe(true);
    for (const words of [
      '0 vf 1 mac 02:aa:00:00:00:01',
      '0 vf 1 vlan 7 qos 3',
      '0 vf 1 trust on',
      '0 vf 1 spoofchk off',
      '0 vf 1 state disable',
      '0 vf 1 rate 100',
      '0 vf 1 query_rss on',
      '0 mtu 9000',
      '1 cable out',
    ]) {
      expect(await pf(words), words).toMatchObject({ status: 0, stdout: '', stderr: '' });
    }
    const text = (await pf('show')).stdout;
    expect(text.split('\n')).toEqual([
      '0: <UP,LOWER_UP> mtu 9000 pf linux-6.1 cable in wire none tc 2 default 0',
      '    vf 0     link/ether 02:09:c0:00:00:00, spoof checking on, link-state auto, trust off, query_rss off',
      '             free, not registered; delivered 0, missed 0, filtered 0, spoofed 0',
      '    vf 1     link/ether 02:aa:00:00:00:01, vlan 7, qos 3, tx rate 100 (Mbps), spoof checking off, link-state disable, trust on, query_rss on',
      '             free, not registered; delivered 0, missed 0, filtered 0, spoofed 0',
      '1: <NO-CARRIER,UP> mtu 1500 pf linux-6.1 cable out wire none',
      '    vf 0     link/ether 02:09:c0:00:01:00, spoof checking on, link-state auto, trust off, query_rss off',
      '             free, not registered; delivered 0, missed 0, filtered 0, spoofed 0',
      '    vf 1     link/ether 02:09:c0:00:01:01, vlan 9, spoof checking on, link-state auto, trust off, query_rss off',
      '             free, not registered; delivered 0, missed 0, filtered 0, spoofed 0',
      '',
    ]);
    await using vf = await open(`vfio-user:${join(directory, 'p1v0.sock')}`);
    expect(vf.link().up).toBe(false);
    const { ports } = JSON.parse((await pf('show --json')).stdout) as { ports: unknown[] };
    expect(ports).toMatchObject([
      { port: 0, pf: 'linux-6.1', up: true, mtu: 9000, link: true, tc: 2, vfs: [{}, {}] },
      { cable: 'out', link: false, vfs: [{ vf: 0, registered: true, attached: true }, {}] },
    ]);
  });

  test('refuses with status 1 what it cannot do', async () => {
    await startModel();
    for (const [words, why] of [
      ['5 reset', /5 reset .*: expected a port from 0 to 1, got 5/],
      ['0 vf 1 trust on', /expected a VF from 0 to 0, got 1/],
      ['0 vf 0 vlan 4095', /VID: expected 0 to 4094, got 4095/],
      ['0 vf 0 plug', /expected one that is unplugged, got one that is plugged/],
    ] as const) {
      const { status, errors } = await pf(words);
      expect([status, errors.length], words).toEqual([1, 1]);
      expect(errors[0]).toMatch(why);
    }
  });

  test('takes a VF away and brings it back', async () => {
    await startModel('--vfs', '2');
    const socket = join(directory, 'p0v1.sock');
    const vf = await open(`vfio-user:${socket}`);
    // Nobody looks at its events here, so it is cut off after a second.
    expect(await pf('0 vf 1 unplug')).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(socket)).toBe(false);
    expect((await pf('show')).stdout).toContain('             unplugged, ');
    expect(await pf('0 vf 1 plug')).toMatchObject({ status: 0, stderr: '' });
    vf.close();
    await using again = await open(`vfio-user:${socket}`);
    expect(again.mac).toBe('02:09:c0:00:00:01');
  });
});

test('--help names all words', async () => {
  const { status, stdout } = await run('pf', '--help');
  expect(status).toBe(0);
  expect(stdout).toContain('  show\n  PORT reset\n');
  expect(stdout).toContain('  PORT vf VF vlan ID [qos P]\n');
  expect(stdout).toContain('--dir DIR');
});
