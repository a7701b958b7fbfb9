// The ordered ends of `ixy l2fwd` on a model of its own: by signal, and by a reader that went
// away. Each time: final report where somebody reads, status 0, no process and no folder left.

import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIFE_SECONDS, MAIN, Processes, type Program, processesWith } from './processes.ts';

const COMMAND = [MAIN, 'l2fwd', '--duration', LIFE_SECONDS];

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

/** A forwarder that forwards, in a process group of its own, as a shell gives every command. */
async function forwarding(): Promise<Program> {
  const forwarder = processes.start(process.execPath, COMMAND, { detached: true });
  await forwarder.line((line) => line.startsWith('[model:1.0]'));
  // The model, and its folder within the test's.
  expect(processesWith(processes.folder)).toHaveLength(1);
  expect(readdirSync(processes.folder)).toHaveLength(1);
  return forwarder;
}

function expectNothingLeft(): void {
  expect(processesWith(processes.folder)).toEqual([]);
  expect(readdirSync(processes.folder)).toEqual([]);
}

function expectReport({ lines }: Program): void {
  const totals = lines.filter((line) => line.startsWith('total [model:'));
  expect(totals).toHaveLength(2);
  for (const line of totals) expect(line).toMatch(/; [1-9]\d* received, [1-9]\d* sent, /);
  expect(lines.at(-1)).toMatch(/^model port 1 VF 0: offered [1-9]/);
}

describe('ixy l2fwd without addresses', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'on %s to it and its model, as terminals send it, prints its final report, exits 0 and leaves nothing',
    async (signal) => {
      const forwarder = await forwarding();
      process.kill(-forwarder.pid, signal);
      expect(await forwarder.end()).toEqual({ status: 0, signal: null, stderr: '' });
      expectReport(forwarder);
      expectNothingLeft();
    },
  );

  test('on a second signal that comes while it ends still prints its report', async () => {
    const forwarder = await forwarding();
    forwarder.child.kill('SIGTERM');
    expect((await forwarder.kill('SIGINT')).status).toBe(0);
    expectReport(forwarder);
    expectNothingLeft();
  });

  test('whose output is closed, as by head -1, exits 0 and leaves nothing', async () => {
    // The status of the forwarder, not of head: written to what was stdout before the pipe.
    const script = 'exec 3>&1; { "$0" "$@"; echo "status $?" >&3; } | head -1';
    const shell = processes.start('sh', ['-c', script, process.execPath, ...COMMAND]);
    expect(await shell.end()).toMatchObject({ status: 0, stderr: '' });
    expect(shell.lines.sort()).toEqual([
      'no address given: started a software 82599, ports gen and gen',
      'status 0',
    ]);
    expectNothingLeft();
  });

  test('killed with SIGKILL leaves no model and no folder', async () => {
    const forwarder = await forwarding();
    await forwarder.kill('SIGKILL');
    while (processesWith(processes.folder).length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expectNothingLeft();
  });
});
