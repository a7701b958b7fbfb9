// What the bootstrap's steps share: running children, looking for programs and headers.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** A failure whose message is all the user needs: no stack is shown. */
export class BootstrapError extends Error {}

export function say(line) {
  process.stderr.write(`bootstrap: ${line}\n`);
}

/** The Debian package that holds each program. */
const PACKAGES = { cc: 'gcc', 'c++': 'g++', make: 'make', python3: 'python3' };

function isOnPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    const file = join(directory || '.', program);
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/** The C compiler to use: $CC, else cc. */
export function compiler() {
  return process.env.CC || 'cc';
}

/** Throws one line for each of `programs` that is not on PATH, and for a C library without headers. */
export function requirePrograms(programs) {
  const missing = programs.filter((program) => !isOnPath(program));
  const lines = missing.map(
    (program) => `${program} is missing: apt-get install ${PACKAGES[program] ?? program}`,
  );
  if (!missing.includes('cc')) {
    const probe = spawnSync(compiler(), ['-fsyntax-only', '-x', 'c', '-'], {
      input: '#include <sys/mman.h>\n#include <linux/types.h>\n',
      encoding: 'utf8',
    });
    if (probe.error !== undefined) lines.push(`${compiler()} does not run: ${probe.error.message}`);
    else if (probe.status !== 0)
      lines.push('the C library headers are missing: apt-get install libc6-dev linux-libc-dev');
  }
  if (lines.length > 0) throw new BootstrapError(lines.join('\n'));
}

function isOfThisNode(includeDirectory) {
  try {
    const text = readFileSync(join(includeDirectory, 'node_version.h'), 'utf8');
    const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
    return process.versions.node === `${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
  } catch {
    return false;
  }
}

/** The directory whose include/node holds this Node's headers, undefined where there is none. */
export function nodeDirectory() {
  const candidates = [
    process.env.npm_config_nodedir,
    dirname(dirname(process.execPath)),
    // Where node-gyp leaves the headers that it downloads.
    join(homedir(), '.cache', 'node-gyp', process.versions.node),
  ];
  return candidates.find((directory) => directory && isOfThisNode(join(directory, 'include/node')));
}

/** Directory of node_api.h: Node-API is the same in every version, so any copy of it serves. */
export function nodeApiInclude(root) {
  const fromPackage = join(root, 'node_modules/node-api-headers/include');
  if (existsSync(join(fromPackage, 'node_api.h'))) return fromPackage;
  const directory = nodeDirectory();
  if (directory !== undefined) return join(directory, 'include/node');
  throw new BootstrapError(
    `no node_api.h for Node ${process.versions.node}: looked in node_modules/node-api-headers, $npm_config_nodedir, ` +
      `${dirname(dirname(process.execPath))}/include/node and ~/.cache/node-gyp; ` +
      'apt-get install libnode-dev, or point npm_config_nodedir at a directory that has include/node',
  );
}

let running;
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => {
    running?.kill('SIGTERM');
    process.exit(status); // its exit handlers give the lock back
  });
}

/**
 * Runs a program with its stdout and stderr on our stderr.
 * @returns its stdout where `capture` is set; lines of it still reach the user when it fails
 */
export function run(command, args, { cwd, env = process.env, capture = false }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', capture ? 'pipe' : process.stderr, process.stderr],
    });
    let output = '';
    running = child;
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('error', (error) => reject(new BootstrapError(`${command}: ${error.message}`)));
    child.on('close', (status, signal) => {
      running = undefined;
      if (status === 0) return resolve(output);
      process.stderr.write(output.replace(/^TSFILE: .*\n/gm, ''));
      reject(
        new BootstrapError(
          `${[command, ...args].join(' ')} failed (${signal ?? `status ${status}`})`,
        ),
      );
    });
  });
}
