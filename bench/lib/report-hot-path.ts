// The report's section on `npm run bench`: throughput over batch size, as the ixy papers draw it.

import { linearAxis, powersAxis } from './axes.ts';
import { lineRateMpps } from './frame-sizes.ts';
import { figure, paragraphs, type Section, table } from './html.ts';
import type { Plot } from './plot.ts';
import type { HotPathResult, HotPathRow } from './results.ts';

/** Lines of the plot: ns a packet from the rows of one batch size. */
const LINES: readonly {
  readonly name: string;
  readonly dashed: boolean;
  ns(forward: HotPathRow, fused: HotPathRow): number;
}[] = [
  { name: 'ixy.ts, forward', dashed: false, ns: (forward) => forward.nsPerPacket },
  { name: 'ixy.ts, fused', dashed: false, ns: (_, fused) => fused.nsPerPacket },
  { name: "C, ixy's shape", dashed: true, ns: (forward) => forward.nsPerPacket / forward.vsIxyC },
  { name: 'C, side tables', dashed: true, ns: (forward) => forward.nsPerPacket / forward.vsSideC },
  { name: 'C, fused', dashed: true, ns: (_, fused) => fused.nsPerPacket / fused.vsFusedC },
];

function batchesOf({ forward, fused }: HotPathResult): number[] {
  return Object.keys(forward)
    .filter((key) => key in fused && /^batch\d+$/.test(key))
    .map((key) => Number(key.slice('batch'.length)))
    .sort((a, b) => a - b);
}

function nsOf(result: HotPathResult, line: number, batch: number): number {
  const key = `batch${batch}`;
  return LINES[line].ns(result.forward[key], result.fused[key]);
}

/** Makes the section; undefined where the file holds no batch. */
export function hotPathSection(result: HotPathResult): Section | undefined {
  const batches = batchesOf(result);
  if (batches.length === 0) return undefined;
  const series = LINES.map(({ name, dashed }, line) => ({
    name,
    dashed,
    points: batches.map((batch) => [batch, 1000 / nsOf(result, line, batch)] as const),
  }));
  const top = Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y)));
  const lineRate = lineRateMpps('64');
  const plot: Plot = {
    title: 'Forwarding on one core over batch size, 64-byte frames',
    x: powersAxis('batch size [packets]', batches),
    y: linearAxis('throughput [Mpps]', Math.max(top, lineRate)),
    series,
    references: [{ y: lineRate, text: `10 GbE line rate, ${lineRate.toFixed(2)} Mpps` }],
  };
  const rows = LINES.map(({ name }, line) => [
    name,
    ...batches.map((batch) => nsOf(result, line, batch).toFixed(2)),
  ]);
  return {
    title: 'The hot path beside C',
    body: [
      paragraphs(
        'Receive, touch one byte, transmit, both ways between two devices, in one thread. Medians of runs that alternate with the same work in C (gcc -O3 -march=native): in ixy’s shape, with a 64-byte header in front of every packet; with metadata in side tables; and in one fused pass.',
        'Counted: everything the driver does for a packet, descriptors, buffers and doorbells included. Not counted: the NIC, which is a stub that only marks descriptors as done between the timed parts. So there is no cache line that another CPU or a card has just written, and no PCI Express: a rate that a core could keep up with, not one that was seen on a wire.',
        `Measured on ${result.cpu}, Node ${result.node}.`,
      ),
      figure(plot),
      '<h3>Nanoseconds a packet</h3>',
      table(['batch', ...batches.map(String)], rows),
    ].join('\n'),
  };
}
