// What a new user gets wrong: each time one clear line on stderr that names the thing, nothing on
// stdout that could be taken for a result, status 2 for the command line and 1 for the rest.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from './namespace.ts';
import { type Ending, MAIN, Processes, type Program } from './processes.ts';

/** A user without any right. */
const NOBODY = 65534;

let processes: Processes;

beforeAll(() => {
  processes = new Processes();
  writeFileSync(join(processes.folder, 'file'), '');
});
afterAll(() => processes.close());

function expectOneLine({ stderr }: Ending, pattern: RegExp): void {
  expect(stderr).toMatch(pattern);
  expect(stderr).toMatch(/^ixy: [^\n]+\n$/);
}

describe('bad usage', () => {
  test.concurrent.each([
    [['help', 'forward'], /expected a command \(l2fwd, .*\), got 'forward'/],
    [['toString'], /expected a command \(l2fwd, .*\), got 'toString'/],
    [['forward'], /expected a command \(l2fwd, .*\), got 'forward'/],
    [['l2fwd', '--bogus'], /Unknown option '--bogus'; see 'ixy l2fwd --help'/],
    [['l2fwd', '--batch'], /'--batch <value>' argument missing; see 'ixy l2fwd --help'/],
    [['l2fwd', '--duration', '-1'], /'--duration' argument is ambiguous.*see 'ixy l2fwd --help'/],
    [['l2fwd', '--batch', '0'], /--batch: expected an integer from 1 to 256, got '0'/],
    [['l2fwd', '--batch', '257'], /--batch: expected an integer from 1 to 256, got '257'/],
    [['l2fwd', '--duration', '0'], /--duration: expected seconds above 0 .*got '0'/],
    [['l2fwd', '--interval', '-1'], /'--interval' argument is ambiguous/],
    [['l2fwd', '--interval', 'now'], /--interval: expected seconds from 0 to 3600, got 'now'/],
    [
      ['l2fwd', '--rx-ring', '1000'],
      /--rx-ring: expected a power of two from 64 to 4096, got '1000'/,
    ],
    [['l2fwd', '--tx-ring', '32'], /--tx-ring: expected an integer from 64 to 4096, got '32'/],
    [['l2fwd', '--queues', '9'], /--queues: expected an integer from 1 to 8, got '9'/],
    [['l2fwd', '--eth-peer0', 'zz'], /--eth-peer0: expected a MAC address .*got zz/],
    [['l2fwd', '--eth-peer1', 'ff:ff:ff:ff:ff:ff'], /--eth-peer1: expected .*got ff:ff/],
    [['l2fwd', 'eth0', 'eth1'], /device address: expected 0000:03:10.0 .*got 'eth0'/],
    [['l2fwd', 'vfio-user:', 'vfio-user:'], /expected two different devices/],
    [['l2fwd', 'vfio-user:', 'model:1.0'], /device address: expected .*got 'vfio-user:'/],
    [['l2fwd', '03:20.0', '03:10.1'], /device address: expected .*got '03:20.0'/],
    [['l2fwd', 'model:0.0'], /expected two addresses or none, got one: model:0.0/],
    [['l2fwd', 'model:0.0', 'model:0.0'], /expected two different devices, got model:0.0 twice/],
    [['l2fwd', 'model:0.0', 'model:9.0'], /model:P.V: expected ports 0 to 7/],
    [['l2fwd', 'model:0.0', 'model:1.64'], /expected an integer from 1 to 63, got '65'/],
    [
      ['l2fwd', 'a', 'b', 'c'],
      /l2fwd: expected at most 2 arguments beside options, got 3: a b c; see/,
    ],
    [
      ['l2fwd', '--port0', 'gen', 'vfio-user:/a.sock', 'vfio-user:/b.sock'],
      /--port0 and --port1: expected no addresses beside them/,
    ],
    [['l2fwd', '--port0', 'eth0'], /port spec "eth0": expected one of none, gen.*got "eth0"/],
    [['l2fwd', '--port1', 'gen:size=1'], /port spec "gen:size=1": expected size= .*got "1"/],
    [['model', '--port0', 'eth0'], /port spec "eth0": expected one of none, gen.*got "eth0"/],
    [['model', '--port0', 'tap:'], /port spec "tap:": expected tap: an interface name/],
    [['model', '--port2', 'gen'], /--port2: expected a port below --ports 2/],
    [['model', '--ports', '9'], /--ports: expected an integer from 1 to 8, got '9'/],
    [['model', '--vfs', '64'], /--vfs: expected an integer from 1 to 63, got '64'/],
    [['model', '--pf', 'windows'], /--pf: expected linux-6.1, .*got 'windows'/],
    [['model', '--mac', '0.0=ff:ff:ff:ff:ff:ff'], /--mac: expected a unicast MAC/],
    [['model', 'here'], /model: expected options only, got 1: here/],
    [['pktgen', 'a', 'b'], /^ixy: pktgen: expected at most 1 argument beside options, got 2: a b/],
    [['bind'], /^ixy: bind: expected a PCI address, got none/],
    [['bind', '--vfs', '1', '03:00.0', '04:00.0'], /^ixy: bind --vfs: expected one PF, got/],
    [['unbind', 'eth0'], /^ixy: unbind: expected a PCI address such as .*got 'eth0'/],
    [['preload'], /^ixy: preload: expected -- PROGRAM ARGS, got no program/],
    [['pktgen', '03:10.0', '--port0', 'gen'], /--port0: expected model:PORT.VF or no address/],
    [['dump', '03:10.0', '--port0', 'gen'], /--port0: expected model:PORT.VF or no address/],
  ])('ixy %j is refused with status 2', async (argv, pattern) => {
    const program = processes.ixy(...argv);
    const ending = await program.end();
    expectOneLine(ending, pattern);
    expect([ending.status, program.lines]).toEqual([2, []]);
  });
});

describe('things that are not as they should be', () => {
  const folder = (): string => processes.folder;
  test.concurrent.each([
    [
      'no such socket',
      () => ['l2fwd', `vfio-user:${folder()}/none.sock`, `vfio-user:${folder()}/b.sock`],
      /none\.sock\): ENOENT: no vfio-user server at .*start `ixy model`/,
    ],
    [
      'a file that is no socket',
      () => ['l2fwd', `vfio-user:${folder()}/file`, `vfio-user:${folder()}/b.sock`],
      /file\): ECONNREFUSED: expected a socket, got another kind of file/,
    ],
    [
      'a socket path that is too long',
      () => ['l2fwd', `vfio-user:/${'x'.repeat(107)}`, 'vfio-user:/b'],
      /ENAMETOOLONG: socket path: expected at most 107 bytes, got 108/,
    ],
    [
      'a directory whose sockets would have too long paths',
      () => ['model', '--dir', join(folder(), 'x'.repeat(100))],
      /ENAMETOOLONG: socket path: expected at most 107 bytes, got 1\d\d; use a shorter directory/,
    ],
    [
      'a directory that cannot be made',
      () => ['model', '--dir', join(folder(), 'none', 'below')],
      /none\/below\): ENOENT: expected an existing parent directory/,
    ],
    [
      'a file for a directory',
      () => ['model', '--dir', join(folder(), 'file')],
      /file\/p0v0\.sock\): ENOTDIR: expected a directory/,
    ],
    [
      'a capture that does not exist',
      () => ['model', '--dir', join(folder(), 'm'), '--port0', `pcap:${folder()}/none.pcap`],
      /none\.pcap.*ENOENT/,
    ],
    [
      'a capture for its own model that does not exist',
      () => ['l2fwd', '--port0', `pcap:${folder()}/none.pcap`],
      /the model did not start: .*none\.pcap.*ENOENT/,
    ],
  ])('%s: one line, status 1', async (_, argv, pattern) => {
    const program = processes.ixy(...argv());
    const ending = await program.end();
    expectOneLine(ending, pattern);
    expect([ending.status, program.lines]).toEqual([1, []]);
  });

  test('a refused model leaves no directory of its own', () => {
    expect(existsSync(join(folder(), 'm'))).toBe(false);
    expect(existsSync(join(folder(), 'x'.repeat(100)))).toBe(false);
  });
});

describe('things that somebody else has', () => {
  test('a VF, a model on the same directory: one line, status 1', async () => {
    const own = new Processes();
    try {
      await own.model();
      const addresses = [own.address(0, 0), own.address(1, 0)];
      const first = own.forwarder(...addresses);
      await first.line((line) => line.includes(' <-> '));
      const second = await own.forwarder(...addresses).end();
      expectOneLine(second, /p0v0\.sock\): EBUSY: .*another client/);
      expect(second.status).toBe(1);
      const model = await own.ixy('model', '--dir', own.folder).end();
      expectOneLine(model, /p0v0\.sock\): EADDRINUSE: another server accepts connections on it/);
      expect(model.status).toBe(1);
      // Neither disturbed those who were there.
      expect(await first.kill('SIGINT')).toMatchObject({ status: 0, stderr: '' });
    } finally {
      await own.close();
    }
  });
});

describe('rights that are missing', () => {
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const help = spawnSync(process.execPath, [MAIN, '--help'], user);
  const cannotRun = help.status === 0 ? '' : `user ${NOBODY} cannot read this checkout`;

  const unprivileged = (...argv: string[]): Program =>
    processes.start(process.execPath, [MAIN, ...argv], { ...user, cwd: '/' });

  test('a directory that may not be written to: one line, status 1', async (ctx) => {
    if (cannotRun !== '') ctx.skip(cannotRun);
    chmodSync(processes.folder, isRoot ? 0o755 : 0o500);
    const results = [
      await unprivileged('model', '--dir', processes.folder).end(),
      await unprivileged('model', '--dir', join(processes.folder, 'new')).end(),
    ];
    chmodSync(processes.folder, 0o700);
    expectOneLine(results[0], /p0v0\.sock\): EACCES: this user may not write/);
    expectOneLine(results[1], /new\): EACCES: this user may not write/);
    expect(results.map(({ status }) => status)).toEqual([1, 1]);
  });

  test('a TAP device: one line that says what it needs, status 1', async (ctx) => {
    if (cannotRun !== '') ctx.skip(cannotRun);
    if (!existsSync('/dev/net/tun')) ctx.skip('no /dev/net/tun');
    chmodSync(processes.folder, isRoot ? 0o777 : 0o700);
    const argv = ['model', '--dir', join(processes.folder, 'tap'), '--port0', 'tap:ixy-none'];
    const ending = await unprivileged(...argv).end();
    chmodSync(processes.folder, 0o700);
    expectOneLine(ending, /open TAP .*: (EACCES|EPERM): needs CAP_NET_ADMIN, or .*ip tuntap add/);
    expect(ending.status).toBe(1);
  });
});

describe('fewer CPUs than threads that spin', () => {
  test('are warned of in one line, and the command runs all the same', async (ctx) => {
    if (!installed('taskset', '-V')) ctx.skip('no taskset: apt-get install util-linux');
    const allowed = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
    const command = [process.execPath, MAIN, 'l2fwd', '--duration', '1', '--json'];
    const program = processes.start('taskset', ['-c', allowed?.[1] ?? '0', ...command]);
    const { status, stderr } = await program.end();
    expect(stderr).toMatch(/^warning: 2 threads will spin on 1 CPU; [^\n]+\n$/);
    expect(status).toBe(0);
    expect(program.lastJson()).toMatchObject({ final: true });
  });
});
