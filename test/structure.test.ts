// Who may import whom. The rooms and their direction: README, "How it is laid out".
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');

/** A room's own files, and the places it may import from. A place is a folder or a file of src. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  hw: [],
  support: [],
  memory: ['support', 'vfio/device.ts'],
  vfio: ['memory', 'support', 'hw'],
  ixgbevf: ['hw', 'memory', 'vfio/device.ts', 'support'],
  traffic: ['hw', 'memory', 'support'],
  model: ['hw', 'memory', 'vfio/device.ts', 'vfio/user', 'support'],
  report: ['support'],
  'open.ts': ['ixgbevf', 'model', 'vfio', 'memory', 'support'],
  'index.ts': ['open.ts', 'hw/descriptors.ts', 'ixgbevf', 'model', 'vfio', 'memory', 'support'],
  cli: ['open.ts', 'traffic', 'ixgbevf', 'model', 'vfio', 'memory', 'support', 'hw'],
};

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1]);
}

const roomOf = (path: string): string => path.split('/')[0];

describe('the rooms', () => {
  const files = filesUnder(src);

  it('are all known', () => {
    expect(new Set(files.map((file) => roomOf(relative(src, file))))).toEqual(
      new Set(Object.keys(ALLOWED)),
    );
  });

  it('import only what lies below them', () => {
    const wrong: string[] = [];
    for (const file of files) {
      const from = relative(src, file);
      const room = roomOf(from);
      for (const name of importsOf(file)) {
        if (!name.startsWith('.')) continue;
        const target = relative(src, resolve(dirname(file), name));
        const inside = roomOf(target) === room;
        const allowed = ALLOWED[room].some((p) => target === p || target.startsWith(`${p}/`));
        if (!inside && !allowed) wrong.push(`${from} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('keep packages of others out, but for what kernel VFIO and reports need', () => {
    const packages = files.flatMap((file) =>
      importsOf(file)
        .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
        .map((name) => `${relative(src, file)}: ${name}`),
    );
    expect(packages.filter((row) => !row.startsWith('vfio/kernel/'))).toEqual([
      // Only its types: the page's text holds its code.
      'report/charts.ts: uplot',
    ]);
  });
});

describe('examples', () => {
  it('import only the public names', () => {
    for (const file of filesUnder(join(root, 'examples'))) {
      const names = importsOf(file).filter((name) => !name.startsWith('node:'));
      expect(new Set(names), file).toEqual(new Set(['ixy.ts']));
    }
  });
});
