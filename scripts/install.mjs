// The packages of package-lock.json. ffi-napi and ref-napi have no prebuilt binaries, so the
// compilers are looked for first: npm's own report of a missing one is 100 lines long.

import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { nodeDirectory, requirePrograms, run, say } from './tools.mjs';

const RECORD = 'node_modules/.package-lock.json';

function modifiedMs(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}

/** Whether node_modules was made from the lock file as it is now, going by npm's own record. */
export function installIsFresh(root) {
  const installed = modifiedMs(join(root, RECORD));
  const locked = modifiedMs(join(root, 'package-lock.json'));
  return installed !== undefined && (locked === undefined || installed >= locked);
}

export async function install(root) {
  requirePrograms(['cc', 'c++', 'make', 'python3']);
  const env = { ...process.env };
  const headers = nodeDirectory();
  // node-gyp would download the headers that lie beside the running Node.
  if (headers !== undefined) env.npm_config_nodedir = headers;
  else say(`no headers of Node ${process.versions.node} here: node-gyp will download them`);
  say('installing packages and compiling ffi-napi (npm install): takes about 20 s');
  // Not `npm ci`: it refuses a lock file made where optional packages of other platforms could not
  // be seen. --no-save holds to the versions in the lock file and writes neither it nor package.json.
  // --include=dev: NODE_ENV=production must not leave the build without its compiler.
  const options = ['--no-save', '--include=dev', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...options], { cwd: root, env });
  // npm may leave its record's date alone when there was nothing to do.
  const now = new Date();
  utimesSync(join(root, RECORD), now, now);
}
