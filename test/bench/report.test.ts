// The report from made-up results: every plot there and drawn, every number a number. How it looks is for eyes.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plot } from '../../src/report/charts.ts';
import { chromium, NO_CHROMIUM, openPage } from '../report/browser.ts';
import { forward, l2fwd, peers, virtualization } from './sample-results.ts';

/** For each plot, how many of its pixels have a colour, as only its lines and points do. */
const COLOURED_PIXELS = `[...document.querySelectorAll('canvas')].map((canvas) => {
  const data = pixelsOf(canvas);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, alpha] = data.slice(i, i + 4);
    if (alpha > 30 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count++;
  }
  return count;
})`;

const program = fileURLToPath(new URL('../../dist/bench/report/command.js', import.meta.url));
let folder = '';

function write(name: string, value: unknown): string {
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(value));
  return file;
}

function report(...argv: string[]) {
  return spawnSync(process.execPath, [program, ...argv], { encoding: 'utf8', cwd: folder });
}

/** Makes a page from a result of each bench. */
function reportOnAll() {
  const html = join(folder, 'all.html');
  const files = Object.entries({ forward, l2fwd, peers, virtualization }).map(([name, value]) =>
    write(name, value),
  );
  return { html, ...report('--html', html, ...files) };
}

/** The page without scripts and styles, and the plots that its script draws. */
function read(html: string): { readonly text: string; readonly plots: readonly Plot[] } {
  const file = readFileSync(html, 'utf8');
  const json = /<script type="application\/json" id="plots">(.*?)<\/script>/s.exec(file)?.[1];
  return {
    text: file.replace(/<(script|style).*?<\/\1>/gs, ''),
    plots: JSON.parse(json ?? '[]'),
  };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ixy-report-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the report', () => {
  it('has every plot, and loads nothing', () => {
    const { html, status, stderr } = reportOnAll();
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const { text, plots } = read(html);
    // Batch size; frame size, latency of the six sizes that have one; runs, latency; cost, latency of two sizes.
    expect(plots.length).toBe(1 + 7 + 2 + 3);
    expect(text.match(/<div class="plot">/g)?.length).toBe(plots.length);
    expect(text).not.toMatch(/NaN|undefined|Infinity|null/);
    expect(text).not.toMatch(/https?:|<script|<link|@import/);
    const names = plots.flatMap(({ series }) => series.map(({ name }) => name));
    expect(names).toContain('10 GbE line rate, 14.88 Mpps');
    // JSON writes what is no number as null, and null interrupts a line: before IMIX, and where nothing was found.
    const nulls = plots.map(({ series }) =>
      series.flatMap(({ x, y }) => [...x, ...y]).filter((value) => value === null),
    );
    expect(nulls.map(({ length }) => length)).toEqual([
      0,
      4 + 1,
      ...[0, 0, 0, 0, 0, 0],
      0,
      0,
      0,
      0,
      0,
    ]);
    expect(text).toContain('0.80 (0.79–0.82)');
    expect(text).toContain('No silicon');
    expect(text).toContain('made-up CPU &lt;1 &amp; only&gt;');
    for (const part of ['Node v20.20.0', 'V8 11.3', 'Linux 6.0.0', 'Not counted', 'p99.9: 1.100']) {
      expect(text).toMatch(new RegExp(part, 'm'));
    }
    // Every text that a tag opens it closes, too.
    for (const tag of ['table', 'figure', 'section', 'p', 'td', 'th', 'h2', 'h3', 'ul', 'li']) {
      const count = (pattern: string): number => text.match(new RegExp(pattern, 'g'))?.length ?? 0;
      expect(count(`<${tag}[ >]`), tag).toBe(count(`</${tag}>`));
    }
  });

  it('draws every plot in a browser, with no error and no request', async (ctx) => {
    if (chromium === undefined) return ctx.skip(NO_CHROMIUM);
    const { html } = reportOnAll();
    const page = await openPage(chromium, html);
    const drawn = await page.evaluate<number[]>(COLOURED_PIXELS);
    await page.close();
    expect(page.complaints).toEqual([]);
    expect(drawn.length).toBe(13);
    expect(Math.min(...drawn)).toBeGreaterThan(500);
  });

  it('does without latency where the model reports none', () => {
    const sizes = l2fwd.sizes.map((row) => ({
      ...row,
      latency: row.latency.map(({ load, trial }) => ({ load, trial: { ...trial, latency: null } })),
    }));
    const html = join(folder, 'some.html');
    expect(report('--html', html, write('some', { ...l2fwd, sizes })).status).toBe(0);
    const { text, plots } = read(html);
    expect(plots.length).toBe(1);
    expect(text).toContain('not reported by this model');
  });

  it('shows whichever contenders a forward result has', () => {
    const vsOther = { ratio: 0.5, low: 0.49, high: 0.51 };
    const file = write('against', {
      ...forward,
      forward: { batch1: { nsPerPacket: 20, vsOther }, batch32: { nsPerPacket: 10 } },
    });
    const html = join(folder, 'against.html');
    expect(report('--html', html, file).status).toBe(0);
    const { text, plots } = read(html);
    expect(plots[0].series.map(({ name, y }) => [name, y])).toEqual([
      ['ixy.ts', [50, 100]],
      ['another build', [25, null]],
      ['10 GbE line rate, 14.88 Mpps', [expect.closeTo(14.88), expect.closeTo(14.88)]],
    ]);
    expect(text).toContain('<td>40.00, ratio 0.50 (0.49–0.51)</td>');
  });

  it('names a file that no bench wrote', () => {
    const file = write('other', { name: 'something' });
    const { status, stderr } = report(file);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `bench report: ${file}: expected what a bench wrote to --json, got something else\n`,
    );
    expect(report().status).toBe(2);
    expect(report(join(folder, 'absent.json')).status).toBe(1);
  });
});
