import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemHost } from '../../../src/cli/pci/host.ts';
import { FakeMachine } from '../../support/fake-sysfs.ts';
import { run } from '../run-ixy.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-host-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('the system host', () => {
  it('makes no file where sysfs has none', () => {
    const path = join(folder, 'driver_override');
    expect(() => systemHost().write(path, 'vfio-pci\n')).toThrow(/ENOENT/);
    expect(existsSync(path)).toBe(false);
  });

  it('writes to a file that is there', () => {
    const path = join(folder, 'driver_override');
    writeFileSync(path, '');
    systemHost().write(path, 'vfio-pci\n');
    expect(readFileSync(path, 'utf8')).toBe('vfio-pci\n');
  });

  it('tells a node that is absent from one that is usable', () => {
    expect(systemHost().access(join(folder, 'none'))).toBe('absent');
    expect(systemHost().access(folder)).toBe('usable');
  });
});

describe('--sysfs leads the commands to another tree', () => {
  /** What a whole command writes to stdout. */
  async function output(...argv: string[]): Promise<string> {
    const { status, stdout } = await run(...argv);
    expect(status).toBe(0);
    return stdout;
  }

  it('list and bind', async () => {
    const machine = new FakeMachine();
    try {
      machine.add('0000:03:10.0', { device: '10ed', group: 7 });
      expect(await output('list', '--sysfs', machine.sysfs)).toContain(
        'got one bound to no driver; run `sudo ixy bind 0000:03:10.0`\n',
      );
      expect(await output('bind', '--sysfs', machine.sysfs, '--dry-run', '03:10.0')).toBe(
        `echo vfio-pci > ${machine.sysfs}/bus/pci/devices/0000:03:10.0/driver_override\n` +
          `echo 0000:03:10.0 > ${machine.sysfs}/bus/pci/drivers_probe\n`,
      );
    } finally {
      machine.remove();
    }
  });
});
