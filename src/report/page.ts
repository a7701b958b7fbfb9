// A report: one HTML file that holds its texts, tables and plots, uPlot, and the data. It loads
// nothing from anywhere, so that it can be mailed, archived and opened offline.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { drawCharts, type Plot } from './charts.ts';

/** A table of texts. */
export interface Table {
  readonly title?: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A paragraph, a list of sentences, a table or a plot. */
export type Part = string | { readonly list: readonly string[] } | Table | Plot;

/** A heading and what stands below it, in order. */
export interface Section {
  readonly heading: string;
  readonly parts: readonly Part[];
}

/** A whole page. All texts are plain: the page escapes them. */
export interface Report {
  readonly title: string;
  /** Stands out before everything else. */
  readonly warning: string;
  readonly lead: string;
  readonly sections: readonly Section[];
}

/** A row for each item; each column has a name and says what the text of its cell is. */
export function tableOf<T>(
  items: readonly T[],
  columns: Record<string, (item: T) => string>,
): Table {
  const cells = Object.values(columns);
  return { head: Object.keys(columns), rows: items.map((item) => cells.map((cell) => cell(item))) };
}

// The hues are Okabe and Ito's palette for all kinds of colour vision, lighter on a dark page.
const STYLE = `
:root { color-scheme: light dark; --page: #fff; --text: #1a1a1a; --soft: #555; --grid: #e2e2e2;
  --colour0: #0072b2; --colour1: #d55e00; --colour2: #009e73; --colour3: #b0578d; --colour4: #a67c00; --colour5: #444; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --text: #e8e8e8; --soft: #a9adb3; --grid: #30343a;
  --colour0: #56b4e9; --colour1: #ff8a3d; --colour2: #2fc79a; --colour3: #e39ac4; --colour4: #f0c845; --colour5: #c8c8c8; } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p, ul { margin: .5rem 0; } figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .875rem; }
.warning { border-left: 4px solid var(--colour1); padding: .25rem .75rem; }
.wide { overflow-x: auto; } .wide table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
.wide :is(th, td) { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
.wide :is(th, td):first-child { text-align: left; padding-left: 0; }
.plot { min-height: 380px; } .u-legend { font-variant-numeric: tabular-nums; } .u-legend th { font-weight: normal; }
.u-legend .u-marker { height: .5em; } .u-select { background: #8884; }
`;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': 'amp',
  '<': 'lt',
  '>': 'gt',
  '"': 'quot',
};

const element = (tag: string, text: string, attributes = ''): string =>
  `<${tag}${attributes}>${text.replace(/[&<>"]/g, (sign) => `&${ENTITIES[sign]};`)}</${tag}>`;

const row = (tag: string, cells: readonly string[]): string =>
  `<tr>${cells.map((cell) => element(tag, cell)).join('')}</tr>`;

function renderPart(part: Part): string {
  if (typeof part === 'string') return element('p', part);
  if ('list' in part) return `<ul>${part.list.map((text) => element('li', text)).join('')}</ul>`;
  const title = part.title === undefined ? '' : element('h3', part.title);
  if ('series' in part) {
    return `<figure>${title}<div class="plot"></div>${element('figcaption', part.note ?? '')}</figure>`;
  }
  const body = part.rows.map((cells) => row('td', cells)).join('\n');
  return `${title}<div class="wide"><table><thead>${row('th', part.head)}</thead><tbody>${body}</tbody></table></div>`;
}

const renderSection = ({ heading, parts }: Section): string =>
  `<section>${element('h2', heading)}\n${parts.map(renderPart).join('\n')}</section>`;

/** Makes the HTML file. It reads uPlot's files at each call, so that a program without reports never loads them. */
export function renderReport({ title, warning, lead, sections }: Report): string {
  const { resolve } = createRequire(import.meta.url);
  const uPlotFile = (name: string): string => readFileSync(resolve(`uplot/${name}`), 'utf8');
  const plots = sections
    .flatMap(({ parts }) => parts)
    .filter((part) => typeof part === 'object' && 'series' in part);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
${element('title', title)}
<style>${uPlotFile('dist/uPlot.min.css')}${STYLE}</style>
</head>
<body>
${element('h1', title)}
${element('p', warning, ' class="warning"')}
${element('p', lead)}
${element('p', 'In a plot, drag along the x axis to zoom, double-click to see all again, click a name of the legend to hide a line.')}
<noscript><p>The plots need JavaScript.</p></noscript>
${sections.map(renderSection).join('\n')}
<script type="application/json" id="plots">${JSON.stringify(plots).replaceAll('<', '\\u003c')}</script>
<script>
/* uPlot, which draws the plots:
${uPlotFile('LICENSE')}*/
${uPlotFile('dist/uPlot.iife.min.js')}
(${drawCharts})();
</script>
</body>
</html>
`;
}
