// Makes a checkout ready to run: packages installed, native code and TypeScript built. Run before
// `npm start`, `npm test` and `npm run bench`; when nothing changed it only compares file dates.
// Everything it and its children say goes to stderr: stdout belongs to the command that follows.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, buildIsFresh } from './build.mjs';
import { install, installIsFresh } from './install.mjs';
import { takeLock } from './lock.mjs';
import { BootstrapError, say } from './tools.mjs';

async function bootstrap(root, force) {
  const ready = () => installIsFresh(root) && !force && buildIsFresh(root);
  if (ready()) return;
  if (!existsSync(join(root, 'package.json')))
    throw new BootstrapError(`no package.json in ${root}`);
  const unlock = await takeLock(join(root, '.cache', 'bootstrap.lock'), 15 * 60_000);
  try {
    // Another bootstrap may have done it all while this one waited.
    if (!installIsFresh(root)) await install(root);
    if (force || !buildIsFresh(root)) await build(root, force);
  } finally {
    unlock();
  }
}

try {
  await bootstrap(fileURLToPath(new URL('..', import.meta.url)), process.argv.includes('--force'));
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  for (const line of error.message.split('\n')) say(line);
  process.exitCode = 1;
}
