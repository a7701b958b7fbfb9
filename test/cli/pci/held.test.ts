import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectNotHeld } from '../../../src/cli/pci/held.ts';
import { FakeMachine } from '../../support/fake-sysfs.ts';
import { start } from '../run-ixy.ts';

const PF = '0000:03:00.0';
const VF = '0000:03:10.0';
const NO_ANSWER = /no answer: it removes VFs and waits for a program .*`sudo fuser -v/;

/** A machine whose kernel does not show an attribute: a FIFO that nobody writes to. */
function holding(address: string, attribute: string): FakeMachine {
  const machine = new FakeMachine();
  machine.add(PF, { device: '10fb', driver: 'ixgbe', group: 12, totalVfs: 63 });
  machine.add(VF, { device: '10ed', driver: 'vfio-pci', group: 40, pf: PF });
  if (attribute === '') return machine;
  const path = `${machine.sysfs}/bus/pci/devices/${address}/${attribute}`;
  rmSync(path);
  execFileSync('mkfifo', [path]);
  return machine;
}

describe('a device whose lock the kernel holds', () => {
  let pf: FakeMachine;
  let vf: FakeMachine;
  let free: FakeMachine;
  beforeAll(() => {
    pf = holding(PF, 'sriov_numvfs');
    vf = holding(VF, 'driver_override');
    free = holding(PF, '');
  });
  afterAll(() => {
    for (const machine of [pf, vf, free]) machine.remove();
  });

  it('is found out in bounded time, with the cause', async () => {
    await Promise.all([
      expect(expectNotHeld([PF], pf)).rejects.toThrow(NO_ANSWER),
      expect(expectNotHeld([PF, VF], vf)).rejects.toThrow(/^0000:03:10.0: .*driver_override/),
    ]);
    await expectNotHeld([PF, VF], free);
    await expectNotHeld(['0000:09:00.0'], free);
  }, 60_000);

  it('is refused by ixy bind and ixy unbind', async () => {
    const commands = [
      ['bind', '--vfs', '1', PF, '--sysfs', pf.sysfs],
      ['bind', '--dry-run', VF, '--sysfs', vf.sysfs],
      ['unbind', VF, '--sysfs', vf.sysfs],
    ];
    const ends = await Promise.all(commands.map((argv) => start(...argv).end()));
    for (const { status, stderr } of ends) {
      expect(status).toBe(1);
      expect(stderr).toMatch(NO_ANSWER);
    }
  }, 60_000);

  it('does not keep ixy list from its answer', async () => {
    for (const machine of [pf, vf]) {
      const { status, stdout } = await start('list', '--sysfs', machine.sysfs).end();
      expect(status).toBe(0);
      expect(stdout).toContain(PF);
    }
  }, 60_000);
});
