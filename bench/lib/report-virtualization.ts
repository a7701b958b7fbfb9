// The report's section on `npm run bench:virtualization`: what a packet costs the host's CPUs.

import { linearAxis, powersAxis } from './axes.ts';
import { figure, paragraphs, type Section, table } from './html.ts';
import { duration } from './latency.ts';
import { machineLine } from './machine.ts';
import type { Plot, Series } from './plot.ts';
import { latencyPlot } from './report-l2fwd.ts';
import type { VirtualizationResult } from './results.ts';
import {
  costRatio,
  shortOf,
  type VirtualizationRow,
  WAYS,
  type Way,
} from './virtualization-rows.ts';

const ways = Object.keys(WAYS) as Way[];

function costPlot(rows: readonly VirtualizationRow[], sizes: readonly string[]): Plot {
  const receivers = [...new Set(rows.map((row) => row.receivers))].sort((a, b) => a - b);
  const series = ways.flatMap((way, w) =>
    sizes.map((size, s): Series => {
      const own = rows.filter((row) => row.way === way && row.size === size);
      const points = own.map((row) => [row.receivers, row.totalCpu.nsPerFrame] as const);
      return { name: `${WAYS[way]}, ${size} bytes`, points, style: w * 2 + (s % 2), dashed: s > 0 };
    }),
  );
  return {
    title: 'CPU time of the host for each packet that a receiver got',
    x: powersAxis('receivers', receivers),
    y: linearAxis('CPU time [ns/packet]', Math.max(...rows.map((row) => row.totalCpu.nsPerFrame))),
    series,
  };
}

/** Makes the section; undefined where nothing was measured. */
export function virtualizationSection(result: VirtualizationResult): Section | undefined {
  const { rows, mpps, pollUs, machine } = result;
  if (rows.length === 0) return undefined;
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const most = Math.max(...rows.map(({ receivers }) => receivers));
  const latencies = sizes.flatMap((size) => {
    const own = rows.filter((row) => row.size === size && row.receivers === most);
    const lines = own.map(({ way, latency }) => ({ name: WAYS[way], latency }));
    const plot = latencyPlot(
      `From the wire to the receiver, ${size} bytes, ${most} receivers`,
      lines,
    );
    return plot === undefined ? [] : [figure(plot)];
  });
  const short = rows.filter((row) => shortOf(row, mpps) !== null).length;
  const note =
    short === 0
      ? ''
      : `In ${short} of ${rows.length} measurements the model could not offer the whole load, so they are not of the same load.`;
  const ns = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(1));
  return {
    title: 'I/O virtualization: a software switch, or a VF for each machine',
    body: [
      paragraphs(
        `The same ${mpps} Mpps for 1, 2 and 4 receivers, delivered in two ways. A software switch drives the only VF, looks at each destination and copies the frame into the shared-memory ring of its receiver, as vswitch and virtio do. Or each receiver drives a VF of its own on the same port, and the NIC’s L2 switch delivers. Receivers do the same with a frame in both: look at its sequence number and time.`,
        `Every process looks for frames, works until there are none, and sleeps about ${pollUs} us; what that costs is in the figures. CPU time is the processes’ own (user and system). Not counted: interrupts and exits of a real virtual machine, which add to both ways, and more to the switch. The model’s CPU time stands for the NIC’s work, is given beside, and would be nobody’s on a real machine. ${machineLine(machine)}.`,
      ),
      figure(costPlot(rows, sizes), note),
      table(
        [
          'way, receivers, bytes',
          'switch ns',
          'receivers ns',
          'both',
          'above idle',
          'switch : VF',
          'lost',
          'p50',
          'p99',
          'model ns',
        ],
        rows.map((row) => {
          const ratio = row.way === 'switch' ? costRatio(rows, row.receivers, row.size) : null;
          return [
            `${row.way === 'switch' ? 'switch' : 'own VFs'}, ${row.receivers}, ${row.size}`,
            ns(row.switchCpu?.nsPerFrame),
            ns(row.receiverCpu.nsPerFrame),
            ns(row.totalCpu.nsPerFrame),
            ns(row.totalCpu.aboveIdleNs),
            ratio === null ? '' : ratio.toFixed(2),
            String(row.lost),
            row.latency === null ? '' : duration(row.latency.p50),
            row.latency === null ? '' : duration(row.latency.p99),
            ns(row.modelNsPerFrame),
          ];
        }),
      ),
      ...latencies,
    ].join('\n'),
  };
}
