// What `npm pack` puts into the tarball: what a user of the package needs, and nothing that only a checkout does.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Files that the build makes of the sources in a folder, below dist. */
function built(folder: string, home: string, endings: readonly string[]): string[] {
  return readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => endings.map((ending) => `dist/${home}${name.replace(/\.ts$/, ending)}`));
}

it('npm pack takes the built package with its examples, and no bench, script, test or source map', () => {
  // Without scripts: packing builds first, and here dist is built already.
  const argv = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const said = execFileSync('npm', argv, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const [tarball] = Object.values<{ files: { path: string }[] }>(JSON.parse(said));
  const expected = [
    ...['LICENSE', 'README.md', 'package.json'],
    ...['dist/native/ixy-shim.node', 'dist/native/preload.so'],
    ...built('src', '', ['.js', '.d.ts']),
    ...built('examples', 'examples/', ['.js']),
  ];
  expect(tarball?.files.map(({ path }) => path).sort()).toEqual(expected.sort());
});
