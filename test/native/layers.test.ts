// The files of the preload library stand in layers, in the order of the sections of preload.h. What
// each file defines and uses is read from its object file, so that a call of a C library function that
// the library itself takes the place of counts too: it would come back up to where the program enters.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../native/preload', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.c'));
const header = readFileSync(join(folder, 'preload.h'), 'utf8');
const layers = [...header.matchAll(/^\/\/ --- ([\w-]+\.c):/gm)].map((match) => match[1]);

interface ObjectFile {
  /** Names that other files see, and nm's letter for each: T is code, R constants. */
  readonly defines: ReadonlyMap<string, string>;
  readonly uses: readonly string[];
}

const objects = new Map<string, ObjectFile>();
const scratch = mkdtempSync(join(tmpdir(), 'ixy-layers-'));

function read(file: string): ObjectFile {
  const output = join(scratch, `${file}.o`);
  const flags = ['-std=c11', '-fPIC', '-w', '-U_FORTIFY_SOURCE', '-c'];
  execFileSync('cc', [...flags, '-o', output, join(folder, file)]);
  const rows = execFileSync('nm', ['-g', output], { encoding: 'utf8' }).trim().split('\n');
  const symbols = rows.map((row) => row.trim().split(/\s+/).slice(-2) as [string, string]);
  return {
    defines: new Map(symbols.filter(([letter]) => letter !== 'U').map(([a, b]) => [b, a])),
    uses: symbols.filter(([letter]) => letter === 'U').map(([, name]) => name),
  };
}

beforeAll(() => {
  for (const file of files) objects.set(file, read(file));
}, 60_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('the preload library', () => {
  it('has a section in its header for every file', () => {
    expect([...layers].sort()).toEqual([...files].sort());
  });

  it('calls downwards only, so that its files form no circle', () => {
    const home = new Map<string, string>();
    for (const [file, { defines }] of objects)
      for (const name of defines.keys()) home.set(name, file);
    const upward: string[] = [];
    for (const [file, { uses }] of objects)
      for (const name of uses) {
        const other = home.get(name);
        if (other !== undefined && layers.indexOf(other) >= layers.indexOf(file))
          upward.push(`${file} uses ${name} of ${other}`);
      }
    expect(home.get('mmap')).toBe('interposed.c');
    expect(upward).toEqual([]);
  });

  it('lends no variable from one file to another: state is reached by functions', () => {
    const lent = [...objects].flatMap(([file, { defines }]) =>
      [...defines]
        .filter(([, letter]) => !'TR'.includes(letter))
        .map(([name]) => `${file} ${name}`),
    );
    expect(lent).toEqual([]);
  });
});
