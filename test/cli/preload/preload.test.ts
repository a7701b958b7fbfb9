// `ixy preload` as a command: what it refuses, what the program finds under /sys and /dev, and
// that nothing of it is seen outside. The VFIO calls themselves: test/native/preload.test.ts.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';

const ixy = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const NOBODY = 65534;
const SOCKETS = ['p0v0.sock', 'p1v9.sock'];
let folder: string;
let model: ChildProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-cli-preload-'));
  chmodSync(folder, 0o755);
  const args = [ixy, 'model', '--dir', folder, '--ports', '2', '--vfs', '10', '--mac-type', 'x540'];
  model = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    model.stdout?.on('data', (chunk) => {
      said += chunk;
      if (said.includes('ready')) resolve();
    });
    model.once('exit', () => reject(new Error(`the model ended: ${said}`)));
  });
  for (const name of readdirSync(folder)) {
    if (SOCKETS.includes(name)) chmodSync(join(folder, name), 0o777);
    else rmSync(join(folder, name));
  }
});

afterAll(async () => {
  const over = once(model, 'exit');
  model.kill();
  await over;
  rmSync(folder, { recursive: true, force: true });
});

function preload(args: readonly string[], user: { uid?: number; gid?: number } = {}) {
  // A folder for its own files that nobody else uses.
  const env = { ...process.env, TMPDIR: folder };
  const options = { encoding: 'utf8', timeout: 20_000, ...user, env } as const;
  return spawnSync(process.execPath, [ixy, 'preload', ...args], options);
}

function needNamespaces(context: TestContext): void {
  const { status } = spawnSync('unshare', ['--mount', '--user', '--map-root-user', 'true']);
  if (status !== 0) context.skip('no user namespaces here');
}

describe('ixy preload refuses', () => {
  it.each([
    ['no program', [], 'expected -- PROGRAM ARGS'],
    ['a directory without sockets', ['--dir', '/', '--', 'true'], 'expected sockets pPvV.sock'],
    [
      'a device without a socket',
      ['--device', '00:05.0', '--', 'true'],
      'a PCI address and a socket',
    ],
    ['a socket that is not there', ['--device', '00:05.0=/no', '--', 'true'], 'no such socket'],
    [
      'an errno that is none',
      ['--errno', 'MAP_DMA=ENOTHING', '--', 'true'],
      "got 'MAP_DMA=ENOTHING'",
    ],
  ] as const)('%s', (_, args, message) => {
    const where = (args as readonly string[]).includes('--errno') ? ['--dir', folder] : [];
    const { status, stderr } = preload([...where, ...args]);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});

describe('a program under ixy preload', () => {
  const LOOK = `
    cd /sys/bus/pci/devices
    for device in *; do
      echo $device $(cat $device/vendor $device/device $device/class) \\
        $(basename $(readlink $device/iommu_group)) $(basename $(readlink $device/driver)) \\
        $(wc -c <$device/config)
    done
    echo $(ls /dev/vfio) $(cat /sys/module/vfio/parameters/enable_unsafe_noiommu_mode)
    ls /sys/kernel/iommu_groups/2/devices
    test -c /dev/null && test -c /dev/ptmx && echo devices
    exit 7`;
  const SEEN = [
    '0000:c0:00.0 0x8086 0x1515 0x020000 1 vfio-pci 64',
    '0000:c1:01.1 0x8086 0x1515 0x020000 2 vfio-pci 64',
    '1 2 vfio N',
    '0000:c1:01.1',
    'devices',
    '',
  ].join('\n');

  it('sees its devices, and only it does', (context) => {
    needNamespaces(context);
    const outside = () => [existsSync('/dev/vfio/1'), ...readdirSync('/sys/bus/pci/devices')];
    const before = outside();
    const { status, stdout } = preload(['--dir', folder, '--', 'sh', '-c', LOOK]);
    expect(stdout).toBe(SEEN);
    expect(status).toBe(7);
    expect(outside()).toEqual(before);
    expect(readdirSync(folder).sort()).toEqual(SOCKETS);
  });

  it('may be an ordinary user’s', (context) => {
    needNamespaces(context);
    if (process.getuid?.() !== 0) context.skip('this is an ordinary user already');
    const user = { uid: NOBODY, gid: NOBODY };
    if (spawnSync(process.execPath, ['-e', `require('fs').statSync('${ixy}')`], user).status !== 0)
      context.skip('the checkout cannot be read by other users');
    chmodSync(folder, 0o777);
    const { status, stdout, stderr } = preload(['--dir', folder, '--', 'sh', '-c', LOOK], user);
    expect(stderr).not.toContain('cannot');
    expect(stdout).toBe(SEEN);
    expect(status).toBe(7);
  });

  it('ends with the status that a shell gives for its signal', (context) => {
    needNamespaces(context);
    expect(preload(['--dir', folder, '--', 'sh', '-c', 'kill -TERM $$']).status).toBe(143);
  });

  it('keeps the libraries that were to be preloaded anyway', (context) => {
    needNamespaces(context);
    const libc = execFileSync('sh', ['-c', 'ls /lib/x86_64-linux-gnu/libm.so.6'], {
      encoding: 'utf8',
    }).trim();
    const env = { ...process.env, TMPDIR: folder, LD_PRELOAD: libc };
    const args = [ixy, 'preload', '--dir', folder, '--', 'sh', '-c', 'echo $LD_PRELOAD'];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    expect(stdout).toMatch(new RegExp(`/preload\\.so:${libc}\n$`));
  });
});
