// Counts checks, prints them as they come, and a table at the end. Scenarios that run side by side
// have one each, whose lines are printed together; the last adds them up.

import { writeFileSync } from 'node:fs';

const COLUMNS = ['kernel', 'path', 'what ran', 'packets', 'faults'];

export class Report {
  passed = 0;
  failed = 0;
  skipped = 0;
  #rows = [];
  #skips = [];
  #print;

  /** @param print gets the lines */
  constructor(print = console.log) {
    this.#print = print;
  }

  /** Adds what another has counted; its lines were printed. */
  add(part) {
    this.passed += part.passed;
    this.failed += part.failed;
    this.skipped += part.skipped;
    this.#rows.push(...part.#rows);
    this.#skips.push(...part.#skips);
  }

  /** A heading for what follows. */
  section(title) {
    this.#print(`\n${title}`);
  }

  note(text) {
    this.#print(`  note    ${text}`);
  }

  /** Runs one check. @returns whether it passed */
  async check(sentence, run) {
    const begin = performance.now();
    const took = () => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
    try {
      const note = await run();
      this.passed++;
      this.#print(
        `  ok      ${sentence} (${typeof note === 'string' ? `${note}, ` : ''}${took()})`,
      );
      return true;
    } catch (error) {
      this.fail(`${sentence} (${took()})`, error);
      return false;
    }
  }

  fail(sentence, error) {
    this.failed++;
    const text = error instanceof Error ? error.message : String(error);
    this.#print(`  FAILED  ${sentence}\n${text.replace(/^/gm, '          ')}`);
  }

  skip(sentence, reason) {
    this.skipped++;
    this.#skips.push(`${sentence}: ${reason}`);
    this.#print(`  skipped ${sentence}: ${reason}`);
  }

  /** A line of the table. `packets` and `faults` are text or numbers. */
  row(kernel, path, ran, packets, faults) {
    this.#rows.push([kernel, path, ran, packets, faults].map(String));
  }

  /** The table and the last line. @returns exit status: 0, 1, or 77 where everything was skipped */
  finish() {
    const lines = [COLUMNS, ...this.#rows];
    const widths = COLUMNS.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
    if (this.#rows.length > 0) {
      const text = (line) =>
        line
          .map((cell, i) => cell.padEnd(widths[i]))
          .join('  ')
          .trimEnd();
      this.#print(`\n${lines.map(text).join('\n')}`);
    }
    const { passed, failed, skipped } = this;
    const file = process.env.IXY_TEST_COUNTS;
    if (file !== undefined) {
      writeFileSync(file, JSON.stringify({ passed, failed, skipped, skips: this.#skips }));
    }
    this.#print(`\n${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped`);
    if (this.failed > 0) return 1;
    return this.passed === 0 ? 77 : 0;
  }
}

/** @throws Error with what was expected and what was got */
export function expectEqual(got, expected, what) {
  if (got === expected) return;
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
}

/** @throws Error showing the text */
export function expectMatch(text, pattern, what) {
  if (!pattern.test(text)) throw new Error(`${what}: expected ${pattern}, got:\n${text}`);
}

/** @throws Error unless the condition holds */
export function expectTrue(condition, what) {
  if (!condition) throw new Error(what);
}

/** The last JSON line of what a command said: a guest's console mixes standard output with warnings. */
export function lastJson(text) {
  const line = text.split('\n').findLast((one) => one.startsWith('{'));
  if (line === undefined) throw new Error(`expected a line of JSON, got ${text}`);
  return JSON.parse(line);
}
