// README.md of this folder against the tests that it names, and against the errors that there are.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(fileURLToPath(new URL(path, root)), 'utf8');
const page = read('test/vfio/kernel/README.md');

/** error, function, produced by, test file, message of each row. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (-|error )/.test(line))
  .map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  );

/** A test's text with what a regular expression or a template adds left out. */
const plainText = (text: string) => text.replaceAll('\\', '');
const unquoted = (cell: string) => cell.replace(/^`+ ?/, '').replace(/ ?`+$/, '');

describe('the table of errors', () => {
  it('has five columns', () => {
    expect(rows.length).toBeGreaterThan(25);
    expect(rows.filter((cells) => cells.length !== 5)).toEqual([]);
  });

  it.each(rows.map(([error, , by, file, message]) => ({ error, by, file, message })))(
    '$error ($by)',
    ({ file, message }) => {
      const path = unquoted(file ?? '');
      expect(existsSync(fileURLToPath(new URL(path, root)))).toBe(true);
      expect(plainText(read(path))).toContain(unquoted(message ?? ''));
    },
  );

  it.each(['advice', 'diagnose'])('has every error that %s.ts makes', (name) => {
    const source = read(`src/vfio/kernel/${name}.ts`);
    // What may find nothing (VfioError | undefined) asks the others, but for pfDown.
    const makers = source
      .split(/^(?:export )?function /m)
      .filter((text) => /^[\s\S]*?\): VfioError \{$/m.test(text) || text.startsWith('pfDown'))
      .map((text) => text.slice(0, text.indexOf('(')));
    expect(makers.length).toBeGreaterThan(5);
    expect(makers.filter((maker) => !page.includes(`\`${maker}\``))).toEqual([]);
  });
});
