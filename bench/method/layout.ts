// The same JavaScript costs up to 12 % more or less with the length of its path: file names lie in V8's heap, move
// what comes after them, and packet buffers 2 KiB apart leave some addresses of it a poor place in the cache (8.5, 8.9 or
// 9.5 ns a packet for one build on an AMD EPYC, Node 20.20.2, the same in every start). So each start runs its builds
// from copies in folders whose names have the same length, and the next start from longer ones.

import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from './life.ts';

/** Lengths after which the names begin again: the heap is aligned to 8 bytes, and 40 starts pass each length alike. */
const LENGTHS = 8;
const PACKAGE = '{"type":"module","imports":{"#dist/*":"./dist/*"}}';

/**
 * Copies builds for one start, and removes the copies after it.
 * @param number of the start
 * @param dists dist folders, at most ten
 * @param start is given the folders of the copies
 */
export async function fromCopies<T>(
  number: number,
  dists: readonly string[],
  start: (copies: readonly string[]) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ixy-bench-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const cancel = atEnd(remove);
  const copies = dists.map((dist, i) => {
    const name = join(folder, `${i}`.padEnd(1 + (number % LENGTHS), '-'));
    mkdirSync(name);
    writeFileSync(join(name, 'package.json'), PACKAGE);
    const isRun = (file: string): boolean => !/\.(map|d\.ts)$/.test(file);
    cpSync(dist, join(name, 'dist'), { recursive: true, filter: isRun });
    return join(name, 'dist');
  });
  try {
    return await start(copies);
  } finally {
    cancel();
    remove();
  }
}
