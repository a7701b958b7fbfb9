// The bootstrap in a small tree of its own, where npm, cc and tsc are stand-ins that log each call
// and write what the real ones would.

import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const project = fileURLToPath(new URL('../../', import.meta.url));
const COMPILERS = ['cc', 'c++', 'make', 'python3'];
let root: string;
const at = (...path: string[]) => join(root, ...path);

function program(path: string, text: string): void {
  writeFileSync(path, `#!${process.execPath}\n${text}`);
  chmodSync(path, 0o755);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ixy-bootstrap-'));
  for (const name of ['bin', 'src', 'node_modules/typescript/bin', 'node_modules/node-api-headers'])
    mkdirSync(at(name), { recursive: true });
  cpSync(join(project, 'scripts'), at('scripts'), { recursive: true });
  cpSync(join(project, 'native'), at('native'), { recursive: true });
  mkdirSync(at('node_modules/node-api-headers/include'));
  writeFileSync(at('node_modules/node-api-headers/include/node_api.h'), '');
  for (const name of ['package.json', 'package-lock.json', 'node_modules/.package-lock.json'])
    writeFileSync(at(name), '{}');
  writeFileSync(at('src/a.ts'), '');
  writeFileSync(at('src/b.ts'), '');

  const log = `const fs = require('fs'); const args = process.argv.slice(2);
    const log = (line) => fs.appendFileSync(${JSON.stringify(at('log'))}, line + '\\n');
    console.log('chatter on stdout');\n`;
  program(
    at('bin/npm'),
    `${log} log('npm ' + args[0]);
     fs.writeFileSync(${JSON.stringify(at('node_modules/.package-lock.json'))}, '{}');`,
  );
  program(
    at('bin/cc'),
    `${log} const out = args.indexOf('-o') + 1;
     if (out > 0) { log('cc'); fs.writeFileSync(args[out], 'binary'); }`,
  );
  for (const name of ['c++', 'make', 'python3']) program(at('bin', name), '');
  symlinkSync(process.execPath, at('bin/node'));
  program(
    at('node_modules/typescript/bin/tsc'),
    `${log} log('tsc');
     for (const name of fs.readdirSync('src')) {
       if (fs.readFileSync('src/' + name, 'utf8') === 'bad') { console.log('error in ' + name); process.exitCode = 2; }
       const file = process.cwd() + '/dist/' + name.replace(/ts$/, 'js');
       fs.writeFileSync(file, '');
       console.log('TSFILE: ' + file);
     }`,
  );
});

afterEach(() => rmSync(root, { recursive: true }));

const environment = () => ({ PATH: at('bin'), HOME: root });
const command = () => [at('scripts/bootstrap.mjs')];

function run(...args: string[]) {
  return spawnSync(process.execPath, [...command(), ...args], {
    encoding: 'utf8',
    env: environment(),
    timeout: 20_000,
  });
}

function start() {
  const child = spawn(process.execPath, command(), { env: environment() });
  let stderr = '';
  let seen = () => {};
  const waiting = new Promise<void>((resolve) => {
    seen = resolve;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
    if (stderr.includes('waiting for another bootstrap')) seen();
  });
  const done = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { waiting, done };
}

/** What the stand-ins logged, and forgets it. */
function calls(): string[] {
  if (!existsSync(at('log'))) return [];
  const lines = readFileSync(at('log'), 'utf8').trim().split('\n');
  rmSync(at('log'));
  return lines;
}

describe('a missing compiler', () => {
  it('is named, with its Debian package, before npm runs', () => {
    rmSync(at('node_modules/.package-lock.json'));
    rmSync(at('bin/cc'));
    const { status, stdout, stderr } = run();
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toBe('bootstrap: cc is missing: apt-get install gcc\n');
    expect(calls()).toEqual([]);
  });

  it('gets a line each when all are missing', () => {
    rmSync(at('node_modules/.package-lock.json'));
    for (const name of COMPILERS) rmSync(at('bin', name));
    const lines = run().stderr.trim().split('\n');
    expect(lines.map((line) => line.replace(/.*apt-get install /, ''))).toEqual([
      'gcc',
      'g++',
      'make',
      'python3',
    ]);
  });

  it('does not matter where nothing is to be compiled with it', () => {
    rmSync(at('bin/c++'));
    expect(run().status).toBe(0);
    rmSync(at('bin/cc'));
    expect(run().status).toBe(0);
  });

  it('may be a C library without headers', () => {
    program(at('bin/cc'), 'process.exit(1)');
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain('apt-get install libc6-dev');
  });
});

describe('what it does', () => {
  it('installs when the lock file is newer than the packages, and only then', () => {
    run();
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
    utimesSync(at('node_modules/.package-lock.json'), 1, 1);
    const { status, stdout, stderr } = run();
    expect(status).toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('takes about 20 s');
    expect(stderr).toContain('chatter on stdout');
    expect(calls()).toEqual(['npm install']);
    expect(run().stderr).toBe('');
  });

  it('does nothing when nothing changed, and everything with --force', () => {
    const first = run();
    expect(first.status).toBe(0);
    expect(first.stdout).toBe('');
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
    expect(run().stderr).toBe('');
    expect(calls()).toEqual([]);
    run('--force');
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
  });

  it('builds again when a source changed, even to an older file', () => {
    run();
    calls();
    utimesSync(at('src/a.ts'), 1, 1);
    run();
    expect(calls()).toEqual(['tsc']);
    utimesSync(at('native/shim/cpu.c'), new Date(), new Date(Date.now() + 5000));
    run();
    expect(calls()).toEqual(['cc', 'tsc']);
  });

  it('leaves nothing in dist of a source that is gone', () => {
    run();
    mkdirSync(at('dist/old'));
    writeFileSync(at('dist/old/file.js'), '');
    rmSync(at('src/b.ts'));
    run();
    expect(existsSync(at('dist/a.js'))).toBe(true);
    expect(existsSync(at('dist/b.js'))).toBe(false);
    expect(existsSync(at('dist/old'))).toBe(false);
  });

  it('fails with the output of the compiler that failed, and tries again', () => {
    writeFileSync(at('src/a.ts'), 'bad');
    for (let i = 0; i < 2; i++) {
      const { status, stdout, stderr } = run();
      expect(status).toBe(1);
      expect(stdout).toBe('');
      expect(stderr).toContain('error in a.ts\n');
      expect(stderr).not.toContain('TSFILE');
    }
    expect(existsSync(at('.cache/bootstrap.lock'))).toBe(false);
  });
});

describe('two at once', () => {
  const myStart = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ')[19];

  it('build once', async () => {
    expect(await Promise.all([start().done, start().done, start().done])).toEqual([0, 0, 0]);
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
  });

  it('wait for a holder that lives', async () => {
    mkdirSync(at('.cache'));
    writeFileSync(at('.cache/bootstrap.lock'), `${process.pid} ${myStart}\n`);
    const child = start();
    await child.waiting;
    expect(calls()).toEqual([]);
    rmSync(at('.cache/bootstrap.lock'));
    expect(await child.done).toBe(0);
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
  });

  it.each([
    ['is gone', () => `${spawnSync('true').pid} 1\n`],
    ['had the pid that another process has now', () => `${process.pid} 1\n`],
    ['wrote nothing sensible', () => 'x'],
  ])('do not wait for a holder that %s', (_, text) => {
    mkdirSync(at('.cache'));
    writeFileSync(at('.cache/bootstrap.lock'), text());
    expect(run().status).toBe(0);
    expect(calls()).toEqual(['cc', 'cc', 'tsc']);
    expect(existsSync(at('.cache/bootstrap.lock'))).toBe(false);
  });
});
