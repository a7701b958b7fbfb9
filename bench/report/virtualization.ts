// The report's section on the virtualization bench: what a packet costs the host's CPUs.

import { type Section, tableOf } from '#dist/report/page.js';
import { duration } from '../l2fwd/latency.ts';
import { machineLine } from '../method/machine.ts';
import { ratioText } from '../method/pairs.ts';
import { shortOf, WAYS, type Way } from '../virtualization/rows.ts';
import { latencyPlots } from './latency.ts';
import type { VirtualizationResult } from './results.ts';

const ways = Object.keys(WAYS) as Way[];

/** Makes the section; undefined where nothing was measured. */
export function virtualizationSection(result: VirtualizationResult): Section | undefined {
  const { rows, mpps, pollUs, machine } = result;
  if (rows.length === 0) return undefined;
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const most = Math.max(...rows.map(({ receivers }) => receivers));
  const short = rows.filter((row) => shortOf(row, mpps) !== null).length;
  const ns = (value: number | undefined): string => value?.toFixed(1) ?? '';
  const series = ways.flatMap((way, w) =>
    sizes.map((size, s) => {
      const own = rows.filter((row) => row.way === way && row.size === size);
      return {
        name: `${WAYS[way]}, ${size} bytes`,
        colour: w * 2 + (s % 2),
        dashed: s > 0,
        x: own.map(({ receivers }) => receivers),
        y: own.map(({ totalCpu }) => totalCpu.nsPerFrame),
      };
    }),
  );
  return {
    heading: 'I/O virtualization: a software switch, or a VF for each machine',
    parts: [
      `The same ${mpps} Mpps for 1, 2 and 4 receivers, delivered in two ways. A software switch drives the only VF, looks at each destination and copies the frame into the shared-memory ring of its receiver, as vswitch and virtio do. Or each receiver drives a VF of its own on the same port, and the NIC’s L2 switch delivers. Receivers do the same with a frame in both: look at its sequence number and time.`,
      `Every process looks for frames, works until there are none, and sleeps about ${pollUs} us; what that costs is in the figures. CPU time is the processes’ own (user and system). Not counted: interrupts and exits of a real virtual machine, which add to both ways, and more to the switch. The model’s CPU time stands for the NIC’s work, is given beside, and would be nobody’s on a real machine. ${machineLine(machine)}.`,
      {
        title: 'CPU time of the host for each packet that a receiver got',
        x: { label: 'receivers', scale: 'log2' },
        y: { label: 'CPU time', unit: 'ns/packet' },
        series,
        ...(short > 0 && {
          note: `In ${short} of ${rows.length} measurements the model could not offer the whole load, so they are not of the same load.`,
        }),
      },
      tableOf(rows, {
        'way, receivers, bytes': ({ way, receivers, size }) =>
          `${way === 'switch' ? 'switch' : 'own VFs'}, ${receivers}, ${size}`,
        'switch ns': ({ switchCpu }) => ns(switchCpu?.nsPerFrame),
        'receivers ns': ({ receiverCpu }) => ns(receiverCpu.nsPerFrame),
        both: ({ totalCpu }) => ns(totalCpu.nsPerFrame),
        'above idle': ({ totalCpu }) => ns(totalCpu.aboveIdleNs),
        'switch : VF': ({ vsAssigned }) => (vsAssigned === null ? '' : ratioText(vsAssigned)),
        lost: ({ lost }) => String(lost),
        p50: ({ latency }) => (latency === null ? '' : duration(latency.p50)),
        p99: ({ latency }) => (latency === null ? '' : duration(latency.p99)),
        'model ns': ({ modelNsPerFrame }) => ns(modelNsPerFrame),
      }),
      ...sizes.flatMap((size) => {
        const own = rows.filter((row) => row.size === size && row.receivers === most);
        return latencyPlots(
          `From the wire to the receiver, ${size} bytes, ${most} receivers`,
          own.map(({ way, latency }) => ({ name: WAYS[way], latency })),
        );
      }),
    ],
  };
}
