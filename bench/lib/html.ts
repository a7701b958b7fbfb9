// The page around the plots: one self-contained file, light and dark, nothing loaded from anywhere.

import { drawPlot, escapeText, type Plot } from './plot.ts';

/** Part of a page. */
export interface Section {
  readonly title: string;
  /** HTML. */
  readonly body: string;
}

// Okabe and Ito's palette for all kinds of colour vision, its dark hues lightened on a dark page.
const STYLE = `
:root { color-scheme: light dark; --page: #fff; --text: #1a1a1a; --soft: #555; --grid: #e2e2e2; --axis: #777;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b0578d; --s4: #a67c00; --s5: #444; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --text: #e8e8e8; --soft: #a9adb3; --grid: #30343a;
  --axis: #8a8f96; --s0: #56b4e9; --s1: #ff8a3d; --s2: #2fc79a; --s3: #e39ac4; --s4: #f0c845; --s5: #c8c8c8; } }
body { margin: 0 auto; max-width: 50rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; } p, ul { margin: .5rem 0; } figure { margin: 1rem 0; }
figcaption, .note { color: var(--soft); font-size: .875rem; }
.warning { border-left: 4px solid var(--s1); padding: .25rem .75rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft); }
svg .label { fill: var(--text); font-size: 14px; } svg .legend { fill: var(--text); }
svg .halo { fill: var(--text); paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--grid); } .axis { stroke: var(--axis); fill: none; }
.reference { stroke: var(--text); stroke-dasharray: 2 4; }
.line { fill: none; stroke-width: 2; }
${[0, 1, 2, 3, 4, 5].map((i) => `.s${i} { stroke: var(--s${i}); fill: var(--s${i}); } .s${i} .line { fill: none; }`).join('\n')}
`;

/** A plot with its title and a note. @param note plain text */
export function figure(plot: Plot, note = ''): string {
  const caption = note === '' ? '' : `<figcaption>${escapeText(note)}</figcaption>`;
  return `<figure><h3>${escapeText(plot.title)}</h3>${drawPlot(plot)}${caption}</figure>`;
}

/** A table of plain texts. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((row) => cells('td', row)).join('\n');
  return `<div class="wide"><table><thead>${cells('th', head)}</thead><tbody>${body}</tbody></table></div>`;
}

/** Paragraphs of plain text. */
export function paragraphs(...texts: readonly string[]): string {
  return texts.map((text) => `<p>${escapeText(text)}</p>`).join('\n');
}

/** A list of plain texts. */
export function list(texts: readonly string[]): string {
  return `<ul>${texts.map((text) => `<li>${escapeText(text)}</li>`).join('')}</ul>`;
}

/** The whole file. */
export function page(title: string, intro: string, sections: readonly Section[]): string {
  const parts = sections.map(
    ({ title: head, body }) => `<section><h2>${escapeText(head)}</h2>${body}</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeText(title)}</h1>
${intro}
${parts.join('\n')}
</body>
</html>
`;
}
