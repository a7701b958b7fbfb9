import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VfioError } from '../../../src/support/errors.ts';
import { native } from '../../../src/support/native.ts';
import { connectSocket } from '../../../src/vfio/user/exchange.ts';
import { openFds } from './scripted-server.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ixy-exchange-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function failure(path: string): VfioError {
  try {
    connectSocket(path, 20).close();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error('expected a VfioError, got a connection');
}

/** Root may write to everything, so it steps down for the call. */
function asNobody<T>(run: () => T): T {
  if (process.geteuid?.() !== 0) return run();
  process.seteuid?.(65_534);
  try {
    return run();
  } finally {
    process.seteuid?.(0);
  }
}

describe('connecting fails', () => {
  test('where nothing is: the message names the path and the command that helps', () => {
    const path = join(dir, 'none.sock');
    const error = failure(path);
    expect(error.errno).toBe(2);
    expect(error.message).toContain(`no vfio-user server at ${path}; start \`ixy model\``);
  });

  test('where a server has died and left its socket', () => {
    const path = join(dir, 'stale.sock');
    const listener = native().unixListen(path, 1);
    expect(listener).toBeGreaterThan(0);
    native().close(listener);
    const error = failure(path);
    expect(error.errno).toBe(111);
    expect(error.message).toContain('start `ixy model`');
  });

  test('at a file that is no socket', () => {
    const path = join(dir, 'file');
    writeFileSync(path, '');
    expect(failure(path).errno).toBe(111);
  });

  test('with a path over 107 bytes, counted in bytes', () => {
    const error = failure(`/${'ü'.repeat(54)}`);
    expect(error.errno).toBe(36);
    expect(error.message).toContain('at most 107 bytes, got 109');
  });

  test('where the backlog of the server stays full, after the deadline', () => {
    const path = join(dir, 'full.sock');
    const listener = native().unixListen(path, 0);
    const first = connectSocket(path, 20);
    const error = failure(path);
    expect(error.errno).toBe(110);
    expect(error.message).toContain('does not accept connections');
    first.close();
    native().close(listener);
  });

  test('without permission to write to the socket', () => {
    const path = join(dir, 'denied.sock');
    const listener = native().unixListen(path, 1);
    chmodSync(path, 0);
    const error = asNobody(() => failure(path));
    native().close(listener);
    expect(error.errno).toBe(13);
    expect(error.message).toContain('the user who started the server');
  });

  test('without leaving an fd open', () => {
    const before = openFds();
    failure(join(dir, 'none.sock'));
    failure(join(dir, 'file'));
    expect(openFds()).toBe(before);
  });
});

test('a connection reaches the listener and closes its fd once', () => {
  const before = openFds();
  const path = join(dir, 'good.sock');
  const listener = native().unixListen(path, 1);
  const exchange = connectSocket(path, 1000);
  const accepted = native().accept(listener);
  expect(accepted).toBeGreaterThan(0);
  exchange.close();
  expect(native().recvMsg(accepted, new Uint8Array(1), 0, 1, null)).toBe(0);
  native().close(accepted);
  native().close(listener);
  expect(openFds()).toBe(before);
});
