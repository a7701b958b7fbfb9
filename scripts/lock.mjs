// One bootstrap at a time in a checkout. The lock is a file that names its holder; a holder that
// is gone (its pid is free, or belongs to a process started at another time) loses it.

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { BootstrapError, say } from './tools.mjs';

/** Start time of a process in clock ticks since boot, undefined when there is none. */
function startOf(pid) {
  try {
    // The name in parentheses may hold spaces; field 22 counts from before it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function isHeld(text) {
  const [pid, start] = text.trim().split(' ');
  return start !== undefined && startOf(Number(pid)) === start;
}

function create(file, text) {
  // link() makes the lock appear with its content, or not at all.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text);
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft);
  }
}

function removeStale(file, seen) {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
    // Somebody else may have replaced the stale lock between our look and the rename.
    if (read(aside) !== seen) linkSync(aside, file);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/**
 * Takes the lock, waiting at most `timeoutMs` for another holder.
 * @returns the function that gives it back; the exit of this process does so too
 */
export async function takeLock(file, timeoutMs) {
  const mine = `${process.pid} ${startOf(process.pid)}\n`;
  const deadline = performance.now() + timeoutMs;
  let announced = false;
  mkdirSync(dirname(file), { recursive: true });
  while (!create(file, mine)) {
    const seen = read(file);
    if (seen !== undefined && !isHeld(seen)) {
      removeStale(file, seen);
      continue;
    }
    const pid = seen?.split(' ')[0] ?? 'unknown';
    if (performance.now() > deadline)
      throw new BootstrapError(
        `process ${pid} has held ${file} for ${timeoutMs / 1000} s: look at what it does, or end it`,
      );
    if (!announced && seen !== undefined) {
      say(`waiting for another bootstrap (process ${pid}), at most ${timeoutMs / 1000} s`);
      announced = true;
    }
    await wait(100);
  }
  const unlock = () => {
    if (read(file) === mine) rmSync(file, { force: true });
  };
  process.once('exit', unlock);
  return unlock;
}
