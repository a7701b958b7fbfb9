// What a plot of a report is made of, and how the page draws it: with uPlot, in the reader's browser.

import type uPlotClass from 'uplot';

/** One of a plot's two axes. */
export interface Axis {
  readonly label: string;
  /** Stands behind the label, and behind a value that the mouse points at. */
  readonly unit?: string;
  /**
   * Linear where it is left out. "duration" is logarithmic, for nanoseconds, and writes "12.3 us".
   * "percentile" gives each further nine (90, 99, 99.9 %) the same room, with 100 % as "max" at the end.
   */
  readonly scale?: 'log2' | 'duration' | 'percentile';
  /** Names side by side instead of numbers: value i is the middle of the i-th name. */
  readonly names?: readonly string[];
}

/** A line with points on it. */
export interface Series {
  readonly name: string;
  /** In ascending order, each value once. */
  readonly x: number[];
  /** A value for each of x; null interrupts the line. */
  readonly y: (number | null)[];
  /** Draws only the line, or only the points. */
  readonly only?: 'line' | 'points';
  readonly dashed?: boolean;
  /** Number of the colour, from 0 to 5; where it is left out, the place of the series in the plot. */
  readonly colour?: number;
}

/** A plot. */
export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Stands below the plot. */
  readonly note?: string;
}

// The few things of a browser that are used below. TypeScript's own description of a browser would
// let the rest of the project use it, too.
type Element = { clientWidth: number; textContent: string; replaceChildren(): void };
declare const uPlot: typeof uPlotClass;
declare const document: {
  body: Element;
  querySelector(selector: string): Element;
  querySelectorAll(selector: string): Iterable<Element>;
};
declare const getComputedStyle: (element: Element) => { getPropertyValue(name: string): string };
declare const matchMedia: (query: string) => EventTarget;
declare const addEventListener: EventTarget['addEventListener'];

/**
 * Draws every plot of the page. The source text of this function is what the page runs, so it must
 * not use anything from outside of itself but what a browser and uPlot have.
 */
export function drawCharts(): void {
  const plots: readonly Plot[] = JSON.parse(document.querySelector('#plots').textContent);
  const places = [...document.querySelectorAll('.plot')];
  const css = (name: string): string => getComputedStyle(document.body).getPropertyValue(name);

  const short = (value: number): string => String(Number(value.toPrecision(4)));
  const textOf = ({ names, scale }: Axis, value: number): string => {
    if (names !== undefined) return names[Math.round(value)] ?? '';
    if (scale === 'percentile') return value >= 100 ? 'max' : `${Number(value.toFixed(6))} %`;
    if (scale !== 'duration') return short(value);
    const thousands = Math.min(3, Math.max(0, Math.floor(Math.log10(value) / 3 + 1e-9)));
    return `${short(value / 1000 ** thousands)} ${['ns', 'us', 'ms', 's'][thousands]}`;
  };
  const readout = (axis: Axis, value: number | null | undefined): string =>
    typeof value === 'number' ? `${textOf(axis, value)} ${axis.unit ?? ''}` : '–';

  const draw = ({ x, y, series }: Plot, place: Element): void => {
    // What other series have at an x of their own does not interrupt a line. A null does, up to its next value.
    const [NO_MATTER, EXPAND] = [0, 2];
    const tables = series.map((line): uPlotClass.AlignedData => [line.x, line.y]);
    const modes = series.map(() => [NO_MATTER, EXPAND]);
    const data = uPlot.join(tables, modes);
    const xs = [...data[0]];
    // The largest value lies infinitely many nines away, so it stands half a nine behind the one before it.
    const end = 100 - (100 - Math.max(0, ...xs.filter((at) => at < 100))) / 3;
    const SCALES = {
      linear: {},
      log2: { distr: 3, log: 2 },
      duration: { distr: 3, log: 10 },
      percentile: {
        distr: 100,
        fwd: (value: number) => -Math.log10(1 - Math.min(value, end) / 100),
        bwd: (nines: number) => 100 * (1 - 10 ** -nines),
      },
    } as const;
    const rangeX = (_: unknown, min: number, max: number): [number, number] => {
      const whole = min === xs[0] && max === xs[xs.length - 1];
      if (x.names !== undefined && whole) return [-0.5, x.names.length - 0.5];
      return min < max ? [min, max] : [min / 2, max * 2 || 1];
    };
    const rangeY = (_: unknown, min: number, max: number): uPlotClass.Range.MinMax =>
      y.scale === 'duration'
        ? uPlot.rangeLog(min, max, 10, true)
        : uPlot.rangeNum(0, max, 0.1, true);
    const lines = { stroke: css('--grid'), width: 1 };
    const axis = (of: Axis): uPlotClass.Axis => ({
      label: of.unit === undefined ? of.label : `${of.label} [${of.unit}]`,
      stroke: css('--soft'),
      grid: lines,
      ticks: lines,
      values: (_, splits: readonly (number | null)[]) =>
        splits.map((at) => (at === null ? null : textOf(of, at))),
    });
    const axisX = axis(x);
    if (x.names !== undefined) axisX.splits = x.names.map((_, i) => i);
    if (x.scale === 'percentile') {
      const nines = [0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999].filter((at) => at <= end);
      axisX.splits = (_, __, min, max) => [...nines, 100].filter((at) => at >= min && at <= max);
      axisX.filter = (_, splits) => splits;
    }
    const colours = series.map(({ colour }, i) => css(`--colour${(colour ?? i) % 6}`));
    const fills = series.map(({ dashed }, i) => (dashed === true ? css('--page') : colours[i]));
    new uPlot(
      {
        width: place.clientWidth,
        height: 380,
        scales: {
          x: { time: false, range: rangeX, ...SCALES[x.scale ?? 'linear'] },
          y: { range: rangeY, ...SCALES[y.scale ?? 'linear'] },
        },
        axes: [axisX, { ...axis(y), size: 64 }],
        cursor: { points: { size: 10, fill: (_: unknown, i: number) => colours[i - 1] } },
        legend: { markers: { width: 2, fill: (_: unknown, i: number) => fills[i - 1] } },
        series: [
          { label: x.label, value: (_, value) => readout(x, value) },
          ...series.map(
            ({ name, only, dashed }, i): uPlotClass.Series => ({
              label: name,
              stroke: colours[i],
              width: 2,
              dash: dashed === true ? [6, 4] : [],
              ...(only === 'points' && { paths: () => null }),
              points: { show: only !== 'line', size: 8, width: 2, fill: fills[i] },
              value: (_, value) => readout(y, value),
            }),
          ),
        ],
      },
      data,
      place,
    );
  };

  const drawAll = (): void => {
    for (const [i, place] of places.entries()) {
      place.replaceChildren();
      draw(plots[i], place);
    }
  };
  drawAll();
  addEventListener('resize', drawAll);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
}
