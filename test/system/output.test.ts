// What becomes of a command whose output does not get through: on a full disk, and with a reader that has stopped
// reading.

import { openSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN, Processes } from './processes.ts';

let processes: Processes;

beforeAll(() => {
  processes = new Processes();
});
afterAll(() => processes.close());

describe('a command that writes to a full disk', () => {
  test.each([
    [['--help']],
    [['l2fwd', '--help']],
    [['list']],
    [['list', '--json']],
    [['model', '--json', '--duration', '0.2']],
    [['l2fwd', '--json', '--duration', '5']],
    [['pktgen', '--json', '--count', '10']],
    [['dump', '--json', '--count', '10']],
  ])('ixy %j says so in one line and ends with status 1', async (argv) => {
    const full = openSync('/dev/full', 'w');
    const program = processes.start(process.execPath, [MAIN, ...argv], {
      stdio: ['pipe', full, 'pipe'],
    });
    const { status, stderr } = await program.end();
    const complaints = stderr.split('\n').filter((line) => !/^(warning: .*)?$/.test(line));
    expect(complaints).toEqual([expect.stringMatching(/^ixy: write \(standard output\): ENOSPC/)]);
    expect(status).toBe(1);
  });
});

describe('a model whose standard error nobody reads', () => {
  test('ends at SIGTERM with its report although the pipe is full', async () => {
    // Fills the pipe that is the model's standard error, and hands its reading end to nobody who reads.
    const script =
      'import os,sys\nr,w=os.pipe()\nos.set_blocking(w,False)\ntry:\n while True: os.write(w,b"x"*512)\nexcept BlockingIOError: pass\nos.set_blocking(w,True)\nos.dup2(w,2)\nos.set_inheritable(r,True)\nos.execv(sys.argv[1],sys.argv[1:])';
    const argv = ['model', '--dir', `${processes.folder}/m`, '--verbose', '--port0', 'gen'];
    const model = processes.start('python3', ['-c', script, process.execPath, MAIN, ...argv]);
    await model.line((line) => line === 'ready');
    // A client, of which --verbose tells.
    const socket = `vfio-user:${processes.folder}/m/p0v0.sock`;
    await processes.ixy('dump', socket, '--count', '10').end();
    const before = performance.now();
    expect((await model.kill('SIGTERM')).status).toBe(0);
    expect(performance.now() - before).toBeLessThan(1500);
    expect(model.lines.at(-1)).toMatch(/^model port 1 VF 0:/);
  });
});
