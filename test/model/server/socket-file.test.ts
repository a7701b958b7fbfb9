// The sockets' files: who may use them, which are replaced, which are left.

import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { processArena } from '../../../src/memory/arena.ts';
import { SocketFile } from '../../../src/model/server/socket-file.ts';
import { VfioError } from '../../../src/support/errors.ts';
import { native } from '../../../src/support/native.ts';
import { makeFixture, openFds } from './fixture.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ixy-socket-'));
  path = join(directory, 'p0v0.sock');
});

afterEach(() => rmSync(directory, { recursive: true }));

function errnoOf(action: () => unknown): number {
  try {
    action();
  } catch (error) {
    if (error instanceof VfioError) return error.errno;
    throw error;
  }
  return 0;
}

describe('a socket file', () => {
  test('of more than 107 bytes is refused', () => {
    const long = (bytes: number) => `${directory}/${'x'.repeat(bytes - directory.length - 1)}`;
    expect(errnoOf(() => new SocketFile(long(108)))).toBe(36);
    const longest = new SocketFile(long(107));
    longest.close();
  });

  test('in a directory that does not exist is refused', () => {
    expect(errnoOf(() => new SocketFile(join(directory, 'none', 'x.sock')))).toBe(2);
  });

  test('on which somebody accepts is not taken away', () => {
    const first = new SocketFile(path);
    expect(errnoOf(() => new SocketFile(path))).toBe(98);
    const fd = native().unixConnect(path);
    expect(fd).toBeGreaterThan(0);
    native().close(fd);
    first.close();
  });

  test('that is another kind of file is not taken away', () => {
    writeFileSync(path, 'precious');
    expect(errnoOf(() => new SocketFile(path))).toBe(17);
    expect(statSync(path).size).toBe(8);
    rmSync(path);
    symlinkSync('/dev/null', path);
    expect(errnoOf(() => new SocketFile(path))).toBe(17);
  });

  test('that nobody accepts on any more is replaced', () => {
    native().close(native().unixListen(path, 1));
    const socket = new SocketFile(path);
    const fd = native().unixConnect(path);
    expect(fd).toBeGreaterThan(0);
    native().close(fd);
    socket.close();
  });

  test('is for its owner only, and goes with the server', () => {
    const socket = new SocketFile(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    socket.close();
    socket.close();
    expect(existsSync(path)).toBe(false);
  });

  test('that was replaced by another in the meantime is left alone', () => {
    const socket = new SocketFile(path);
    rmSync(path);
    writeFileSync(path, 'not ours');
    socket.close();
    expect(existsSync(path)).toBe(true);
  });
});

describe('a server', () => {
  test('that cannot have one of its sockets leaves none, and no fd', () => {
    processArena();
    const before = openFds();
    writeFileSync(join(directory, 'p1v0.sock'), '');
    expect(errnoOf(() => makeFixture({ directory }))).toBe(17);
    expect(existsSync(path)).toBe(false);
    expect(openFds()).toBe(before);
  });

  test('makes its directory, for its owner only, but not the way to it', () => {
    const deep = join(directory, 'sockets');
    const model = makeFixture({ directory: deep });
    expect(statSync(deep).mode & 0o777).toBe(0o700);
    expect(model.server.paths).toEqual([join(deep, 'p0v0.sock'), join(deep, 'p1v0.sock')]);
    model.close();
    model.close();
    expect(existsSync(join(deep, 'p0v0.sock'))).toBe(false);
    expect(errnoOf(() => makeFixture({ directory: join(directory, 'a', 'b') }))).toBe(2);
  });
});
