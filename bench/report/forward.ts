// The report's section on the forward bench: throughput over batch size, as the ixy papers draw it.

import { type Section, tableOf } from '#dist/report/page.js';
import { lineRateMpps } from '../l2fwd/frame-sizes.ts';
import type { ForwardPeer, ForwardResult, ForwardRow } from './results.ts';

const NAMES: Readonly<Record<ForwardPeer, string>> = {
  vsIxyC: "C, ixy's shape",
  vsSideC: 'C, side tables',
  vsFusedC: 'C, fused',
  vsOther: 'another build',
};

// What a peer took, only the ratio of our time to its own tells.
function cellOf(row: ForwardRow, peer: ForwardPeer): string {
  const ratio = row[peer];
  if (ratio === undefined) return '';
  const [middle, low, high] = [ratio.ratio, ratio.low, ratio.high].map((of) => of.toFixed(2));
  return `${(row.nsPerPacket / ratio.ratio).toFixed(2)}, ratio ${middle} (${low}–${high})`;
}

function mppsOf(row: ForwardRow, peer: ForwardPeer): number | null {
  const ratio = row[peer]?.ratio;
  return ratio === undefined ? null : (1000 * ratio) / row.nsPerPacket;
}

/** Makes the section; undefined where the file holds no batch. */
export function forwardSection({ forward, cpu, node }: ForwardResult): Section | undefined {
  const rows = Object.entries(forward)
    .map(([key, row]) => ({ batch: Number(/^batch(\d+)$/.exec(key)?.[1]), ...row }))
    .filter(({ batch }) => batch > 0)
    .sort((a, b) => a.batch - b.batch);
  if (rows.length === 0) return undefined;
  const all = Object.keys(NAMES) as ForwardPeer[];
  const peers = all.filter((peer) => rows.some((row) => row[peer] !== undefined));
  const x = rows.map(({ batch }) => batch);
  const lineRate = lineRateMpps('64');
  return {
    heading: 'The hot path beside C',
    parts: [
      'Receive, touch one byte, transmit, both ways between two devices, in one thread, beside the same work in C (-O3 -march=native): in ixy’s shape, with a 64-byte header in front of every packet; with metadata in side tables; and in one fused pass. All take turns, and a ratio is the median over pairs of turns.',
      'Counted: everything the driver does for a packet, descriptors, buffers and doorbells included. Not counted: the NIC, which is a stub that only marks descriptors as done between the timed parts. So there is no cache line that another CPU or a card has just written, and no PCI Express: a rate that a core could keep up with, not one that was seen on a wire.',
      `Measured on ${cpu}, Node ${node}.`,
      {
        title: 'Forwarding on one core over batch size, 64-byte frames',
        x: { label: 'batch size', unit: 'packets', scale: 'log2' },
        y: { label: 'throughput', unit: 'Mpps' },
        series: [
          { name: 'ixy.ts', x, y: rows.map((row) => 1000 / row.nsPerPacket) },
          ...peers.map((peer) => {
            return { name: NAMES[peer], dashed: true, x, y: rows.map((row) => mppsOf(row, peer)) };
          }),
          {
            name: `10 GbE line rate, ${lineRate.toFixed(2)} Mpps`,
            only: 'line',
            colour: 5,
            x,
            y: x.map(() => lineRate),
          },
        ],
      },
      {
        title:
          'Nanoseconds a packet; ratio: the time of ixy.ts over that of the other, and its 95 % interval',
        ...tableOf(rows, {
          batch: ({ batch }) => String(batch),
          'ixy.ts': ({ nsPerPacket }) => nsPerPacket.toFixed(2),
          ...Object.fromEntries(peers.map((peer) => [NAMES[peer], (row) => cellOf(row, peer)])),
        }),
      },
    ],
  };
}
