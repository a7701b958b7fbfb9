// What comments and pages cite exists: files of docs/, their sections, and what pages link to. A citation reads
// "docs/82599-vf.md sec 4.2", "docs/82599-vf.md sec 4.3 to 4.7, 7.5" or "docs/design.md sec 10".
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const SELF = 'test/docs.test.ts';

const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const files = listed
  .trim()
  .split('\n')
  .filter((file) => /\.(ts|mjs|c|h|py|md)$/.test(file) && file !== SELF)
  .filter((file) => existsSync(join(root, file)));

/** A file's text with line breaks and the marks of comments as spaces, so that a citation may wrap. */
function flowing(file: string): string {
  const text = readFileSync(join(root, file), 'utf8');
  return text.replace(/\n[ \t]*(?:\/\/|\*|#)?[ \t]*/g, ' ');
}

const headings = new Map<string, ReadonlySet<string>>();

/** Numbers of a page's sections: "4.2" of "### 4.2 Transport". */
function sectionsOf(page: string): ReadonlySet<string> {
  let found = headings.get(page);
  if (found === undefined) {
    const text = readFileSync(join(root, page), 'utf8');
    found = new Set([...text.matchAll(/^#+ (\d+(?:\.\d+)*)/gm)].map((match) => match[1]));
    headings.set(page, found);
  }
  return found;
}

function expectNone(breaches: readonly string[]): void {
  expect(breaches).toEqual([]);
}

describe('what is cited', () => {
  it('is a page of docs/ and a section of it', () => {
    const citation = /(docs\/[\w-]+\.md)(?: sec ((?:\d+(?:\.\d+)*(?:, | and | to )?)+))?/g;
    const wrong: string[] = [];
    let sections = 0;
    for (const file of files) {
      for (const [, page, list = ''] of flowing(file).matchAll(citation)) {
        if (!existsSync(join(root, page))) {
          wrong.push(`${file}: cites ${page}, which does not exist`);
          continue;
        }
        for (const [section] of list.matchAll(/\d+(?:\.\d+)*/g)) {
          sections++;
          if (sectionsOf(page).has(section)) continue;
          wrong.push(`${file}: cites ${page} sec ${section}, which does not exist`);
        }
      }
    }
    expectNone([...new Set(wrong)]);
    expect(sections).toBeGreaterThan(40);
  });

  it('is named by its path', () => {
    const loose =
      /(?<!docs\/)\b82599-vf(?:\.md)? (?:sec )?\d|design(?:'s)? decision|\bdecision \d|rules? \d[\w ]* of the hot path/;
    const wrong = files.filter((file) => loose.test(flowing(file)));
    expectNone(wrong.map((file) => `${file}: expected "docs/PAGE.md sec N", got another form`));
  });

  it('is there where a page links to it', () => {
    const wrong: string[] = [];
    for (const page of files.filter((file) => file.endsWith('.md'))) {
      for (const [, link] of readFileSync(join(root, page), 'utf8').matchAll(
        /\]\(([^)#]+)[^)]*\)/g,
      )) {
        if (/^\w+:/.test(link) || existsSync(join(root, dirname(page), link))) continue;
        wrong.push(`${page}: links to ${link}, which does not exist`);
      }
    }
    expectNone(wrong);
  });

  it('is a file of the model where its README says so, and every file of its rooms is there', () => {
    const readme = readFileSync(join(root, 'src/model/README.md'), 'utf8');
    const named = new Set([...readme.matchAll(/`([\w/-]+\.ts)`/g)].map((match) => match[1]));
    const present = files
      .filter((file) => file.startsWith('src/model/') && file.endsWith('.ts'))
      .map((file) => file.replace('src/model/', ''));
    expect([...named].filter((file) => !present.includes(file))).toEqual([]);
    const expected = present.filter((file) => !/^(ports|server)\//.test(file));
    expect(expected.filter((file) => !named.has(file))).toEqual([]);
  });
});
