// A report as text, and opened in a browser: what it says, what is drawn, and that nothing goes wrong.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import type { Plot } from '../../src/report/charts.ts';
import { renderReport, tableOf } from '../../src/report/page.ts';
import { chromium, NO_CHROMIUM, type OpenPage, openPage } from './browser.ts';

const HOSTILE = '</script><b onclick="x">&amp;';

const sizes: Plot = {
  title: `by name ${HOSTILE}`,
  x: { label: 'frame size', names: ['64', '512', 'IMIX'] },
  y: { label: 'throughput', unit: 'Mpps' },
  series: [
    {
      name: `a ${HOSTILE}`,
      x: [0, 1, 1.5, 2],
      y: [0.9, 0.8, null, 0.7],
    },
    {
      name: 'b',
      x: [0, 1.2],
      y: [0.4, 0.2],
      dashed: true,
    },
  ],
  note: 'a note',
};

const latency: Plot = {
  title: 'latency',
  x: { label: 'percentile', scale: 'percentile' },
  y: { label: 'latency', scale: 'duration' },
  series: [
    {
      name: 'p',
      only: 'line',
      colour: 2,
      x: [0, 50, 99, 99.9, 99.99, 100],
      y: [3000, 5000, 20_000, 60_000, 400_000, 1_500_000],
    },
  ],
};

const batches: Plot = {
  title: 'powers of two',
  x: { label: 'batch', unit: 'packets', scale: 'log2' },
  y: { label: 'throughput', unit: 'Mpps' },
  series: [
    {
      name: 'only points',
      only: 'points',
      x: [1, 8, 256],
      y: [37.2, 20, 30],
    },
  ],
};

const one: Plot = { ...batches, series: [{ name: 'one point', x: [32], y: [5] }] };

const html = renderReport({
  title: `Title ${HOSTILE}`,
  warning: 'careful',
  lead: 'the lead',
  sections: [
    {
      heading: `Heading ${HOSTILE}`,
      parts: [
        'a paragraph',
        { list: ['first', 'second'] },
        sizes,
        { title: 'Rows', ...tableOf([1], { x: String, y: () => HOSTILE }) },
      ],
    },
    { heading: 'More', parts: [latency, batches, one] },
  ],
});

describe('a report as a file', () => {
  const data = /<script type="application\/json" id="plots">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
  const markup = html.replace(/<(script|style).*?<\/\1>/gs, '');

  it('holds every text, escaped', () => {
    expect(markup).not.toContain('<b ');
    const escaped = '&lt;/script&gt;&lt;b onclick=&quot;x&quot;&gt;&amp;amp;';
    for (const text of [
      `<title>Title ${escaped}</title>`,
      `<h1>Title ${escaped}</h1>`,
      '<p class="warning">careful</p>',
      '<p>the lead</p>',
      `<h2>Heading ${escaped}</h2>`,
      '<p>a paragraph</p>',
      '<ul><li>first</li><li>second</li></ul>',
      `<h3>by name ${escaped}</h3>`,
      '<figcaption>a note</figcaption>',
      '<h3>Rows</h3>',
      '<th>x</th><th>y</th>',
      `<td>1</td><td>${escaped}</td>`,
    ]) {
      expect(markup).toContain(text);
    }
  });

  it('holds the data of its plots, in order', () => {
    expect(data).not.toContain('<');
    expect(JSON.parse(data)).toEqual([sizes, latency, batches, one]);
    expect(markup.match(/<div class="plot">/g)?.length).toBe(4);
  });

  it('names nothing that a browser would load', () => {
    expect(html).not.toMatch(/\b(src|href)=|@import|url\(/);
    expect(html).toContain(`content="default-src 'none';`);
  });
});

interface Text {
  readonly plot: number;
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

/** Counts the pixels of a plot that have the colour of a series, thinned out by anti-aliasing or not. */
const PIXELS_OF = `(plot, series) => {
  const data = pixelsOf(document.querySelectorAll('canvas')[plot]);
  const hex = getComputedStyle(document.documentElement).getPropertyValue('--colour' + series);
  const wanted = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 30 && wanted.every((c, k) => Math.abs(data[i + k] - c) < 20)) count++;
  }
  return count;
}`;

describe('a report in a browser', () => {
  let folder = '';
  let page: OpenPage | undefined;
  let texts: readonly Text[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ixy-report-'));
    if (chromium === undefined) return;
    const file = join(folder, 'report.html');
    writeFileSync(file, html);
    page = await openPage(chromium, file);
    texts = await page.evaluate<readonly Text[]>('canvasTexts');
  });

  afterAll(async () => {
    await page?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const opened = (ctx: TestContext): OpenPage => page ?? ctx.skip(NO_CHROMIUM);
  const textsOf = (plot: number): string[] =>
    texts.filter((row) => row.plot === plot).map(({ text }) => text);
  const pixelsOf = (from: OpenPage, plot: number, series: number): Promise<number> =>
    from.evaluate(`(${PIXELS_OF})(${plot}, ${series})`);
  const legendOf = (from: OpenPage, plot: number): Promise<string[]> =>
    from.evaluate(
      `[...document.querySelectorAll('.plot')[${plot}].querySelectorAll('.u-series')].map((row) => row.textContent)`,
    );

  it('draws every series of every plot, with no error and no request', async (ctx) => {
    const from = opened(ctx);
    expect(from.complaints).toEqual([]);
    for (const [plot, series] of [
      [0, 0],
      [0, 1],
      [1, 2],
      [2, 0],
      [3, 0],
    ]) {
      expect(await pixelsOf(from, plot, series), `${plot} ${series}`).toBeGreaterThan(25);
    }
    // What only has points, or only a line, has no more than that.
    expect(await pixelsOf(from, 2, 0)).toBeLessThan(500);
    expect(await pixelsOf(from, 1, 0)).toBe(0);
  });

  it('labels axes with names, units and values that are round', (ctx) => {
    opened(ctx);
    expect(textsOf(0)).toEqual(
      expect.arrayContaining(['frame size', '64', '512', 'IMIX', 'throughput [Mpps]']),
    );
    expect(textsOf(0)).toEqual(expect.arrayContaining(['0', '0.2', '0.4', '0.6', '0.8']));
    expect(textsOf(2)).toEqual(expect.arrayContaining(['batch [packets]', '1', '8', '256']));
    expect(textsOf(2)).toEqual(expect.arrayContaining(['0', '10', '20', '30', '40']));
    expect(textsOf(3)).toContain('32');
    expect(texts.filter(({ text }) => /NaN|undefined|null|Infinity/.test(text))).toEqual([]);
  });

  it('writes durations on whole decades that hold every value', (ctx) => {
    opened(ctx);
    const durations = textsOf(1).filter((text) => /s$/.test(text));
    expect(durations).toEqual(['1 us', '10 us', '100 us', '1 ms', '10 ms']);
  });

  it('gives each nine of the percentiles the same room, and ends with the largest', (ctx) => {
    opened(ctx);
    const at = (wanted: string): number =>
      texts.find(({ plot, text }) => plot === 1 && text === wanted)?.x ?? Number.NaN;
    const nine = at('90 %') - at('0 %');
    expect(nine).toBeGreaterThan(50);
    expect(at('99 %') - at('90 %')).toBeCloseTo(nine, -1);
    expect(at('99.9 %') - at('99 %')).toBeCloseTo(nine, -1);
    expect(at('99.99 %') - at('99.9 %')).toBeCloseTo(nine, -1);
    expect(at('max')).toBeGreaterThan(at('99.99 %'));
    expect(textsOf(1)).not.toContain('99.999 %');
  });

  it('shows in the legend what the mouse points at', async (ctx) => {
    const from = opened(ctx);
    expect(await legendOf(from, 0)).toEqual(['frame size–', `a ${HOSTILE}–`, 'b–']);
    const place = (plot: number) =>
      from.evaluate<{ x: number; y: number; width: number }>(`(() => {
        const over = document.querySelectorAll('.u-over')[${plot}];
        over.scrollIntoView({ block: 'center' });
        return over.getBoundingClientRect().toJSON();
      })()`);
    const named = await place(0);
    await from.mouse('mouseMoved', named.x + named.width / 6, named.y + 50);
    await from.evaluate('new Promise(requestAnimationFrame)');
    expect((await legendOf(from, 0)).join(' ')).toMatch(/64.*0\.9 Mpps.*0\.4 Mpps/);
    const nines = await place(1);
    await from.mouse('mouseMoved', nines.x + nines.width - 2, nines.y + 50);
    await from.evaluate('new Promise(requestAnimationFrame)');
    expect((await legendOf(from, 1)).join(' ')).toMatch(/max.*1\.5 ms/);
  });

  it('zooms into what the mouse drags over', async (ctx) => {
    const from = opened(ctx);
    const { x, y, width } = await from.evaluate<{ x: number; y: number; width: number }>(`(() => {
      const over = document.querySelectorAll('.u-over')[1];
      over.scrollIntoView({ block: 'center' });
      canvasTexts.length = 0;
      return over.getBoundingClientRect().toJSON();
    })()`);
    await from.mouse('mousePressed', x + width * 0.6, y + 50);
    await from.mouse('mouseMoved', x + width * 0.95, y + 60);
    await from.mouse('mouseReleased', x + width * 0.95, y + 60);
    await from.evaluate('new Promise(requestAnimationFrame)');
    const seen = await from.evaluate<Text[]>('canvasTexts.filter(({ plot }) => plot === 1)');
    expect(seen.map(({ text }) => text)).toContain('99.9 %');
    expect(seen.map(({ text }) => text)).not.toContain('90 %');
    expect(from.complaints).toEqual([]);
  });
});
