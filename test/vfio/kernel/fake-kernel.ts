// Builds fake-kernel.c and reads back what it was asked.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A built fake-kernel.c. */
export interface FakeKernel {
  /** Environment of a child that runs on it; `settings` are those that fake-kernel.c lists. */
  env(settings?: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  /** Requests since the last call of env. */
  requests(): readonly string[];
  remove(): void;
}

/** Compiles it. */
export function buildFakeKernel(): FakeKernel {
  const folder = mkdtempSync(join(tmpdir(), 'ixy-fake-kernel-'));
  chmodSync(folder, 0o755);
  const library = join(folder, 'fake-kernel.so');
  const log = join(folder, 'requests');
  const source = fileURLToPath(new URL('fake-kernel.c', import.meta.url));
  const flags = ['-std=gnu11', '-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'];
  execFileSync('cc', flags, { stdio: 'pipe' });
  return {
    env(settings = {}) {
      rmSync(log, { force: true });
      return { LD_PRELOAD: library, FAKE_LOG: log, ...settings };
    },
    requests: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
