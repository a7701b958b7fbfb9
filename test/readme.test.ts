// The programs of README compile as a user's would: in a folder of their own, under the options that `tsc --init` of
// each TypeScript sets, against the types that the package ships.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = process.env.IXY_CACHE_DIR ?? join(root, '.cache');
const folder = mkdtempSync(join(tmpdir(), 'ixy-readme-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Blocks of README, indented by four, that import the package. */
function programs(): string[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/(?:^(?: {4}.*)?\n)+/gm)].map(([block]) =>
    block.replace(/^ {4}/gm, '').trim(),
  );
  return blocks.filter((block) => block.startsWith('import {'));
}

/** The compiler of a version, fetched once. @returns why it cannot be had, or its path */
function compiler(version: string): { readonly path: string } | { readonly missing: string } {
  const home = join(cache, `typescript-${version}`);
  const path = join(home, 'node_modules/.bin/tsc');
  const works = (): boolean => spawnSync(path, ['--version'], { timeout: 30_000 }).status === 0;
  if (works()) return { path };
  mkdirSync(home, { recursive: true });
  const args = ['install', '--prefix', home, '--no-audit', '--no-fund', `typescript@${version}`];
  const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8', timeout: 120_000 });
  if (status === 0 && works()) return { path };
  return { missing: `TypeScript ${version} cannot be installed: ${stderr.split('\n')[0]}` };
}

beforeAll(() => {
  writeFileSync(join(folder, 'package.json'), '{ "name": "user", "type": "module" }');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/ixy.ts'));
  for (const [i, program] of programs().entries()) {
    writeFileSync(join(folder, `program${i}.ts`), program);
  }
});

describe("README's programs", () => {
  it('are found', () => {
    expect(programs().length).toBe(3);
  });

  it.for(['5.9', '6', '7'])(
    'compile under what tsc --init of TypeScript %s sets',
    { timeout: 180_000 },
    (version, ctx) => {
      const found = compiler(version);
      if ('missing' in found) {
        console.log(`skipped: ${found.missing}`);
        ctx.skip(found.missing);
        return;
      }
      rmSync(join(folder, 'tsconfig.json'), { force: true });
      execFileSync(found.path, ['--init'], { cwd: folder });
      const options = ['--noEmit', '--skipLibCheck', 'false'];
      const { stdout, status } = spawnSync(found.path, options, { cwd: folder, encoding: 'utf8' });
      expect(stdout).toBe('');
      expect(status).toBe(0);
    },
  );
});
