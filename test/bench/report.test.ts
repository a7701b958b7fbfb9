// The report from made-up results: every plot there, every number a number. How it looks is for eyes.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linearAxis, logAxis, ninesAxis } from '../../bench/lib/axes.ts';
import { hotPath, l2fwd, peers, virtualization } from './sample-results.ts';

const program = fileURLToPath(new URL('../../dist/bench/report.js', import.meta.url));
let folder = '';

function write(name: string, value: unknown): string {
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(value));
  return file;
}

function report(...argv: string[]) {
  return spawnSync(process.execPath, [program, ...argv], { encoding: 'utf8', cwd: folder });
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-report-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the report', () => {
  it('has every plot, and loads nothing', () => {
    const html = join(folder, 'all.html');
    const files = Object.entries({ hotPath, l2fwd, peers, virtualization }).map(([name, value]) =>
      write(name, value),
    );
    const { status, stderr } = report('--html', html, ...files);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const text = readFileSync(html, 'utf8');
    // Batch size; frame size, latency of the six sizes that have one; runs, latency; cost, latency of two sizes.
    expect(text.match(/<svg /g)?.length).toBe(1 + 7 + 2 + 3);
    expect(text).not.toMatch(/NaN|undefined|Infinity|null/);
    expect(text).not.toMatch(/https?:|<script|<link|@import/);
    expect(text).toContain('14.88 Mpps');
    expect(text).toContain('No silicon');
    expect(text).toContain('made-up CPU &lt;1 &amp; only&gt;');
    for (const part of ['Node v20.20.0', 'V8 11.3', 'Linux 6.0.0', 'Not counted', ': met']) {
      expect(text).toMatch(new RegExp(part, 'm'));
    }
    // Every text that a tag opens it closes, too.
    for (const tag of ['svg', 'g', 'text', 'table', 'figure', 'section']) {
      const count = (pattern: string): number => text.match(new RegExp(pattern, 'g'))?.length ?? 0;
      expect(count(`<${tag}[ >]`), tag).toBe(count(`</${tag}>`));
    }
  });

  it('does without latency where the model reports none', () => {
    const sizes = l2fwd.sizes.map((row) => ({
      ...row,
      latency: row.latency.map(({ load, trial }) => ({ load, trial: { ...trial, latency: null } })),
    }));
    const html = join(folder, 'some.html');
    expect(report('--html', html, write('some', { ...l2fwd, sizes })).status).toBe(0);
    const text = readFileSync(html, 'utf8');
    expect(text.match(/<svg /g)?.length).toBe(1);
    expect(text).toContain('not reported by this model');
  });

  it('names a file that no bench wrote', () => {
    const file = write('other', { name: 'something' });
    const { status, stderr } = report(file);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `bench:report: ${file}: expected what a bench wrote to --json, got something else\n`,
    );
    expect(report().status).toBe(2);
    expect(report(join(folder, 'absent.json')).status).toBe(1);
  });
});

describe('axes', () => {
  it('end at a round number that holds the largest value', () => {
    const axis = linearAxis('y', 37.2);
    expect(axis.ticks.map(({ text }) => text)).toEqual([
      '0',
      '5',
      '10',
      '15',
      '20',
      '25',
      '30',
      '35',
      '40',
    ]);
    expect(axis.place(40)).toBe(1);
    expect(axis.place(10)).toBe(0.25);
  });

  it('show decimals where steps are small', () => {
    expect(linearAxis('y', 0.9).ticks.map(({ text }) => text)).toEqual([
      '0.0',
      '0.2',
      '0.4',
      '0.6',
      '0.8',
      '1.0',
    ]);
  });

  it('give each nine the same room', () => {
    const axis = ninesAxis('x', 99.999);
    expect([0, 90, 99, 99.9, 99.99].map((p) => axis.place(p))).toEqual([
      0,
      expect.closeTo(0.2),
      expect.closeTo(0.4),
      expect.closeTo(0.6),
      expect.closeTo(0.8),
    ]);
    expect(axis.place(100)).toBe(1);
  });

  it('hold whole decades', () => {
    const axis = logAxis('y', 3000, 1_500_000, String);
    expect(axis.ticks.map(({ at }) => at)).toEqual([1e3, 1e4, 1e5, 1e6, 1e7]);
  });
});
