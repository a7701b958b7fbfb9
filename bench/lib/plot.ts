// Plots as inline SVG, without a library. Colours are classes that the page's style gives values for
// light and dark (html.ts); every series differs by its marker, too, so that colour is not needed.

import type { Axis } from './axes.ts';

/** A line, or points only. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Colour and marker, 0 to 5; default: its place in the plot. */
  readonly style?: number;
  readonly dashed?: boolean;
  /** false: points without a line; 'only': a line without markers. */
  readonly line?: boolean | 'only';
  /** Markers only at these values of x. */
  readonly markAt?: readonly number[];
  /** Not in the legend: another run of a series that is. */
  readonly unnamed?: boolean;
}

/** A horizontal line with a text on it. */
export interface Reference {
  readonly y: number;
  readonly text: string;
}

/** A plot. */
export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly references?: readonly Reference[];
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 76;
const RIGHT = 20;
const TOP = 16;
const BOTTOM = 58;
const LEGEND_ROW = 22;
/** Width of a character of the legend, on the safe side. */
const CHARACTER = 7.2;
const LEGEND_GAP = 44;

/** Text for HTML and SVG. */
export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

const MARKERS: readonly ((x: number, y: number) => string)[] = [
  (x, y) => `<circle cx="${x}" cy="${y}" r="4.5"/>`,
  (x, y) => `<rect x="${x - 4}" y="${y - 4}" width="8" height="8"/>`,
  (x, y) => `<path d="M${x} ${y - 5.5}l5 9.5h-10z"/>`,
  (x, y) => `<path d="M${x} ${y - 6}l5.5 6l-5.5 6l-5.5-6z"/>`,
  (x, y) => `<path d="M${x} ${y + 5.5}l5-9.5h-10z"/>`,
  (x, y) => `<rect x="${x - 5}" y="${y - 2}" width="10" height="4"/>`,
];

const f = (value: number): number => Math.round(value * 10) / 10;

function styleOf(series: Series, place: number): number {
  return (series.style ?? place) % MARKERS.length;
}

function legend(plot: Plot): { readonly svg: string; readonly rows: number } {
  const named = plot.series
    .map((series, place) => ({ series, style: styleOf(series, place) }))
    .filter(({ series }) => series.unnamed !== true);
  let x = LEFT;
  let row = 0;
  const parts = named.map(({ series, style }) => {
    const width = series.name.length * CHARACTER + LEGEND_GAP;
    if (x + width > WIDTH - RIGHT && x > LEFT) {
      x = LEFT;
      row++;
    }
    const y = HEIGHT + 4 + row * LEGEND_ROW;
    const dash = series.dashed === true ? ' stroke-dasharray="5 4"' : '';
    const stroke = series.line === false ? '' : `<path class="line" d="M${x} ${y}h24"${dash}/>`;
    const mark = series.line === 'only' ? '' : MARKERS[style](x + 12, y);
    const text = `<text class="legend" x="${x + 30}" y="${y + 4}">${escapeText(series.name)}</text>`;
    x += width;
    return `<g class="s${style}">${stroke}${mark}</g>${text}`;
  });
  return { svg: parts.join(''), rows: row + 1 };
}

/** Draws a plot as an <svg> element. */
export function drawPlot(plot: Plot): string {
  const right = WIDTH - RIGHT;
  const bottom = HEIGHT - BOTTOM;
  const px = (x: number): number => f(LEFT + plot.x.place(x) * (right - LEFT));
  const py = (y: number): number => f(bottom - plot.y.place(y) * (bottom - TOP));
  const grid = plot.y.ticks.map(({ at, text }) => {
    const y = py(at);
    return `<path class="grid" d="M${LEFT} ${y}H${right}"/><text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${escapeText(text)}</text>`;
  });
  const marks = plot.x.ticks.map(({ at, text }) => {
    const x = px(at);
    return `<path class="axis" d="M${x} ${bottom}v5"/><text x="${x}" y="${bottom + 20}" text-anchor="middle">${escapeText(text)}</text>`;
  });
  const references = (plot.references ?? []).map(({ y, text }) => {
    const at = py(y);
    return `<path class="reference" d="M${LEFT} ${at}H${right}"/><text class="halo" x="${right - 4}" y="${at - 6}" text-anchor="end">${escapeText(text)}</text>`;
  });
  const lines = plot.series.map((series, place) => {
    const style = styleOf(series, place);
    const at = series.points.map(([x, y]) => [px(x), py(y)] as const);
    const dash = series.dashed === true ? ' stroke-dasharray="5 4"' : '';
    const path = at.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x} ${y}`).join('');
    const line = series.line === false ? '' : `<path class="line" d="${path}"${dash}/>`;
    const marked = at.filter((_, i) => series.markAt?.includes(series.points[i][0]) ?? true);
    const dots =
      series.line === 'only' ? '' : marked.map(([x, y]) => MARKERS[style](x, y)).join('');
    return `<g class="s${style}">${line}${dots}</g>`;
  });
  const { svg, rows } = legend(plot);
  const height = HEIGHT + rows * LEGEND_ROW;
  const middle = (TOP + bottom) / 2;
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeText(plot.title)}">`,
    ...grid,
    ...marks,
    `<path class="axis" d="M${LEFT} ${TOP}V${bottom}H${right}"/>`,
    `<text class="label" x="${(LEFT + right) / 2}" y="${bottom + 44}" text-anchor="middle">${escapeText(plot.x.label)}</text>`,
    `<text class="label" transform="translate(18 ${middle})rotate(-90)" text-anchor="middle">${escapeText(plot.y.label)}</text>`,
    ...lines,
    ...references,
    svg,
    '</svg>',
  ].join('\n');
}
