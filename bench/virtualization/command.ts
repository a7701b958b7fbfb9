// The argument for I/O virtualization by SR-IOV, measured: what a packet costs the host's CPUs, and how
// long it takes, when a software switch copies it to its receiver, against a VF of its own for each
// receiver. The load is the same for both, and low enough for either: CPU time is compared, not
// throughput. The software 82599 runs on a CPU of its own and stands for hardware.
// Usage: npm run bench -- virtualization [-- --receivers 1,2,4 --sizes 64,1518 --mpps N --seconds N
//   --pairs N --poll US --json FILE --quick]

import { writeFileSync } from 'node:fs';
import { parseSizes } from '../l2fwd/frame-sizes.ts';
import { latencyLine } from '../l2fwd/latency.ts';
import { BenchError, integerOption, runBench } from '../method/life.ts';
import { chooseCores, coresLine, machine, machineLine, NO_SILICON } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import { compare, inTurn, ratioText } from '../method/pairs.ts';
import { pairedRatio } from '../method/statistics.ts';
import type { VirtualizationResult } from '../report/results.ts';
import { shortOf, type VirtualizationRow, WAYS, type Way } from './rows.ts';
import { runWay } from './run.ts';

const { values } = readOptions('bench virtualization', {
  options: {
    receivers: { type: 'string' },
    sizes: { type: 'string' },
    mpps: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    pairs: { type: 'string' },
    poll: { type: 'string', default: '200' },
    cores: { type: 'string' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

const MAX_RECEIVERS = 8;
const IDLE_MS = values.quick ? 300 : 1000;
const WARM_MS = values.quick ? 500 : 1000;

function parseReceivers(text: string): number[] {
  const numbers = text.split(',').map(Number);
  const good = numbers.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_RECEIVERS);
  if (good) return numbers;
  throw new BenchError(
    `--receivers: expected numbers from 1 to ${MAX_RECEIVERS}, got '${text}'`,
    2,
  );
}

await runBench('bench virtualization', async () => {
  const receiverCounts = parseReceivers(values.receivers ?? (values.quick ? '2' : '1,2,4'));
  const sizes = parseSizes(values.sizes ?? (values.quick ? '64' : '64,1518'));
  if (sizes.includes('imix')) throw new BenchError('--sizes: expected sizes in bytes, got imix', 2);
  const mpps = Number(values.mpps);
  if (!(mpps > 0 && mpps <= 100)) {
    throw new BenchError(`--mpps: expected a rate above 0 and up to 100, got '${values.mpps}'`, 2);
  }
  const seconds = integerOption('seconds', values.seconds ?? (values.quick ? '1' : '2'), 60);
  const most = integerOption('pairs', values.pairs ?? (values.quick ? '1' : '10'), 100);
  const pairs = { least: Math.min(most, 5), most };
  const pollUs = integerOption('poll', values.poll, 1_000_000);
  const cores = chooseCores(values.cores);
  const where = machine();
  console.log(machineLine(where));
  console.log(
    `${coresLine(cores).replace('forwarder', 'switch and receivers')}; ${mpps} Mpps in all, up to ${most} pairs of runs of ${seconds} s, medians; idle processes look every ${pollUs} us`,
  );
  console.log(NO_SILICON);

  const fixed = { mpps, seconds, pollUs, cores, idleMs: IDLE_MS, warmMs: WARM_MS };

  function print(row: VirtualizationRow): void {
    const { switchCpu, receiverCpu, totalCpu } = row;
    const parts =
      switchCpu === null
        ? ''
        : ` (switch ${switchCpu.nsPerFrame}, receivers ${receiverCpu.nsPerFrame})`;
    const offered = shortOf(row, mpps);
    const limit =
      offered === null ? '' : `, with ${offered.toFixed(2)} Mpps offered: the model is the limit`;
    console.log(
      `${row.size} bytes, ${row.receivers} receivers, ${WAYS[row.way]}: CPU ${totalCpu.nsPerFrame} ns a packet${parts}, ${totalCpu.aboveIdleNs} above idle; ${row.mpps} Mpps, ${row.lost} lost; ${latencyLine(row.latency)}; model ${row.modelNsPerFrame} ns, which stands for the NIC${limit}`,
    );
  }

  const rows: VirtualizationRow[] = [];
  for (const size of sizes) {
    for (const receivers of receiverCounts) {
      const ways = Object.keys(WAYS) as Way[];
      const taken = new Map<Way, VirtualizationRow[]>(ways.map((way) => [way, []]));
      const starts = await compare(pairs, [[0, 1]], async (number) => {
        for (const way of inTurn(ways, number)) {
          taken.get(way)?.push(await runWay({ ...fixed, way, receivers, size }));
        }
        return [ways.map((way) => taken.get(way)?.at(-1)?.totalCpu.nsPerFrame ?? Number.NaN)];
      });
      const ratio = pairedRatio(starts, 0, 1);
      for (const way of ways) {
        const row = middle(taken.get(way) ?? []);
        rows.push(way === 'switch' ? { ...row, vsAssigned: ratio } : row);
        print(row);
      }
      console.log(
        `  CPU time of the switch over that of assigned VFs: ${ratioText(ratio)}, ${starts.length} pairs`,
      );
    }
  }
  if (values.json !== undefined) {
    const result: VirtualizationResult = {
      bench: 'virtualization',
      machine: where,
      silicon: NO_SILICON,
      cores,
      seconds,
      mpps,
      pollUs,
      rows,
    };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
});

/** The run whose CPU time is the median, whole: its figures belong together. */
function middle(runs: readonly VirtualizationRow[]): VirtualizationRow {
  const sorted = [...runs].sort((a, b) => a.totalCpu.nsPerFrame - b.totalCpu.nsPerFrame);
  return sorted[(sorted.length - 1) >> 1];
}
