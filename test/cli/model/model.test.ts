// `ixy model` as a process: what it prints, how it ends, what it leaves behind.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { open } from '../../../src/open.ts';

const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

let directory: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ixy-cli-'));
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

interface Run {
  readonly child: ChildProcess;
  readonly lines: string[];
  /** The next line of stdout; throws at the end of it. */
  next(): Promise<string>;
  /** Waits for the end. @returns exit status and stderr */
  end(): Promise<{ status: number | null; stderr: string }>;
}

function run(...argv: string[]): Run {
  const child = spawn(process.execPath, [MAIN, 'model', '--dir', directory, ...argv]);
  children.push(child);
  let stderr = '';
  child.stderr?.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const iterator = reader[Symbol.asyncIterator]();
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    child,
    lines,
    async next() {
      const { value, done } = await iterator.next();
      if (done === true) throw new Error(`no more lines; stderr: ${stderr}`);
      lines.push(value);
      return value;
    },
    async end() {
      for (let rest = await iterator.next(); rest.done !== true; rest = await iterator.next()) {
        lines.push(rest.value);
      }
      return { status: await closed, stderr };
    },
  };
}

describe('ixy model refuses', () => {
  test('a wrong option with exit status 2 and one line', async () => {
    const { status, stderr } = await run('--port0', 'nonsense').end();
    expect(status).toBe(2);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  test('a VF that does not exist in a port SPEC with exit status 2', async () => {
    expect((await run('--port0', 'gen:vf=7').end()).status).toBe(2);
  });

  test('a socket that another model serves with exit status 1', async () => {
    const first = run();
    while ((await first.next()) !== 'ready');
    const { status, stderr } = await run().end();
    expect([status, stderr.includes('p0v0.sock')]).toEqual([1, true]);
    expect(existsSync(join(directory, 'p0v0.sock'))).toBe(true);
  });
});

describe('ixy model', () => {
  test('prints a line a VF, then ready, and on SIGINT a report', async () => {
    const model = run('--vfs', '2', '--ports', '1', '--mac', '0.1=none');
    expect(await model.next()).toBe(`${directory}/p0v0.sock 02:09:c0:00:00:00`);
    expect(await model.next()).toBe(`${directory}/p0v1.sock none`);
    expect(await model.next()).toBe('ready');
    model.child.kill('SIGINT');
    const { status, stderr } = await model.end();
    expect([status, stderr]).toEqual([0, '']);
    expect(model.lines.length).toBeGreaterThan(3);
    expect(existsSync(join(directory, 'p0v0.sock'))).toBe(false);
  });

  test('with --json prints the same as JSON lines and a last one that is final', async () => {
    const model = run('--json', '--mac', '1.0=none');
    const socket = (port: number) => `${directory}/p${port}v0.sock`;
    expect(JSON.parse(await model.next())).toEqual({
      socket: socket(0),
      mac: '02:09:c0:00:00:00',
      port: 0,
      vf: 0,
    });
    expect(JSON.parse(await model.next())).toEqual({
      socket: socket(1),
      mac: null,
      port: 1,
      vf: 0,
    });
    expect(JSON.parse(await model.next())).toEqual({ ready: true });
    model.child.kill('SIGTERM');
    expect((await model.end()).status).toBe(0);
    const last = JSON.parse(model.lines.at(-1) ?? '') as Record<string, unknown>;
    expect(last).toMatchObject({ final: true, devices: [], latency: [] });
    expect(last.idle).toBeGreaterThanOrEqual(0);
    expect(last.idle).toBeLessThanOrEqual(1);
    expect(Object.keys((last.ports as object[])[0] ?? {})).toEqual([
      ...['port', 'vf', 'offered', 'delivered', 'missedNoDescriptor', 'missedDisabled', 'spoofed'],
      ...['filtered', 'iommuFaults', 'sinkReceived', 'sinkGaps', 'sinkDuplicates', 'sinkCorrupt'],
      ...['skipped', 'unwritten'],
    ]);
  });

  test('ends after --duration by itself', async () => {
    const model = run('--duration', '0.1');
    expect((await model.end()).status).toBe(0);
    expect(model.lines).toContain('ready');
  });

  test('with --exit-with-stdin ends when its parent is gone, and leaves SIGINT to it', async () => {
    const model = run('--exit-with-stdin');
    while ((await model.next()) !== 'ready');
    model.child.kill('SIGINT');
    const vf = await open(`vfio-user:${directory}/p0v0.sock`);
    expect(vf.mac).toBe('02:09:c0:00:00:00');
    vf.close();
    model.child.stdin?.end();
    expect((await model.end()).status).toBe(0);
    expect(existsSync(join(directory, 'p0v0.sock'))).toBe(false);
  });

  test('takes the place of one that was killed', async () => {
    const first = run();
    while ((await first.next()) !== 'ready');
    first.child.kill('SIGKILL');
    await first.end();
    expect(existsSync(join(directory, 'p0v0.sock'))).toBe(true);
    const second = run();
    while ((await second.next()) !== 'ready');
    const vf = await open(`vfio-user:${directory}/p1v0.sock`);
    expect(vf.mac).toBe('02:09:c0:00:01:00');
    vf.close();
  });

  test('moves frames to a driver in another process', async () => {
    const model = run('--port0', 'gen:count=5000');
    while ((await model.next()) !== 'ready');
    const vf = await open(`vfio-user:${directory}/p0v0.sock`);
    const bufs = new Int32Array(64);
    let received = 0;
    while (received < 5000) {
      const n = vf.rx[0].batch(bufs, 0, 64);
      vf.mempool.giveBatch(bufs, 0, n);
      received += n;
    }
    expect(received).toBe(5000);
    vf.close();
  });
});
