// Made-up results in the shapes of the benches' --json files, for tests of the report. Nothing of it was measured.

import type { Latency } from '../../bench/l2fwd/latency.ts';
import type { Trial } from '../../bench/l2fwd/trial.ts';
import { NO_SILICON } from '../../bench/method/machine.ts';
import type {
  ForwardResult,
  L2fwdResult,
  PeersResult,
  VirtualizationResult,
} from '../../bench/report/results.ts';
import type { VirtualizationRow } from '../../bench/virtualization/rows.ts';

const MEASURED = {
  machine: {
    cpu: 'made-up CPU <1 & only>',
    cpus: 2,
    virtual: true,
    kernel: '6.0.0',
    node: 'v20.20.0',
    v8: '11.3',
  },
  silicon: NO_SILICON,
  cores: { model: 0, driver: 1 },
  seconds: 2,
} as const;

function latency(scale: number): Latency {
  const shape = [
    [0, 3],
    [10, 4],
    [50, 6],
    [75, 8],
    [90, 11],
    [95, 14],
    [99, 25],
    [99.9, 60],
    [99.99, 300],
    [99.999, 900],
    [100, 1500],
  ] as const;
  const curve = shape.map(([p, us]) => [p, us * 1000 * scale] as const);
  const at = (p: number): number => curve.find(([q]) => q === p)?.[1] ?? Number.NaN;
  return {
    samples: 200_000,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p99_9: at(99.9),
    p99_99: at(99.99),
    max: at(100),
    curve,
  };
}

function trial(mpps: number, asked: number | null, measured: Latency | null): Trial {
  const offered = Math.round(mpps * 2e6);
  return {
    seconds: 2,
    askedMpps: asked,
    offeredMpps: mpps,
    mpps,
    lost: 0,
    lostShare: 0,
    modelIdle: 0.21,
    latency: measured,
    totals: { offered, delivered: offered, missed: 0, sinkReceived: offered, forwarder: null },
  };
}

export const forward: ForwardResult = {
  node: 'v20.20.0',
  cpu: 'made-up CPU',
  forward: Object.fromEntries(
    [1, 8, 32, 64, 256].map((batch) => [
      `batch${batch}`,
      {
        nsPerPacket: 6 + 10 / batch,
        vsIxyC: { ratio: 0.8, low: 0.79, high: 0.82 },
        vsSideC: { ratio: 1.3, low: 1.28, high: 1.31 },
        vsFusedC: { ratio: 1.7, low: 1.67, high: 1.74 },
      },
    ]),
  ),
};

export const l2fwd: L2fwdResult = {
  bench: 'l2fwd',
  ...MEASURED,
  batch: 32,
  someLoss: 0.001,
  sizes: ['64', '128', '256', '512', '1024', '1518', 'imix'].map((size, i) => {
    const top = 26 / (1 + i * 0.4);
    return {
      size,
      throughput: trial(top, null, null),
      modelIsLimit: size === '1518',
      lossFree: { mpps: size === '1024' ? 0 : top * 0.4, failedMpps: top * 0.42 },
      nearlyLossFree: { mpps: top * 0.7, failedMpps: top * 0.72 },
      trials: [],
      latencyBase: size === '1024' ? 'nearlyLossFree' : 'lossFree',
      latency: [0.1, 0.5, 0.9].map((load) => ({
        load,
        trial: trial(
          top * 0.4 * load,
          top * 0.4 * load,
          size === '512' ? null : latency(0.6 + load),
        ),
      })),
    };
  }),
};

export const peers: PeersResult = (() => {
  const names = ['ixy l2fwd', 'testpmd 24.11.8'] as const;
  const rows = (of: (run: number, isPeer: boolean) => Trial) =>
    [0, 1, 2, 3, 4].flatMap((run) =>
      names.map((contender, i) => ({ run, contender, trial: of(run, i === 1) })),
    );
  return {
    bench: 'peers',
    ...MEASURED,
    names,
    size: '64',
    rates: rows((run, isPeer) => trial((isPeer ? 25 : 27) + run * 0.2, null, null)),
    ratio: { ratio: 1.08, low: 1.06, high: 1.11 },
    latencyMpps: 10,
    latency: rows((run, isPeer) => trial(10, 10, latency((isPeer ? 1 : 1.1) * (1 + run * 0.07)))),
    latencyRatios: {
      p50: { ratio: 1.1, low: 1.09, high: 1.11 },
      p99_9: { ratio: 1.1, low: 1.0, high: 1.2 },
      max: { ratio: 1.1, low: 0.7, high: 2.3 },
    },
  };
})();

export const virtualization: VirtualizationResult = {
  bench: 'virtualization',
  ...MEASURED,
  mpps: 0.5,
  pollUs: 100,
  rows: ['64', '1518'].flatMap((size, s) =>
    [1, 2, 4].flatMap((receivers) =>
      (['switch', 'assigned'] as const).map((way): VirtualizationRow => {
        const perReceiver = Array.from({ length: receivers }, () => 1_000_000 / receivers);
        const receiver = 40 + receivers * 12;
        const through = way === 'switch' ? 70 + s * 90 : 0;
        const cost = (ns: number) => ({ nsPerFrame: ns, aboveIdleNs: ns * 0.7 });
        return {
          way,
          receivers,
          size,
          seconds: 2,
          offered: 1_000_000,
          received: 1_000_000,
          perReceiver,
          lost: 0,
          mpps: 0.5,
          switchCpu: way === 'switch' ? cost(through) : null,
          receiverCpu: cost(receiver),
          totalCpu: cost(receiver + through),
          modelNsPerFrame: 1500,
          latency: latency(way === 'switch' ? 22 : 12),
          vsAssigned: way === 'switch' ? { ratio: 2.3, low: 2.2, high: 2.4 } : null,
        };
      }),
    ),
  ),
};
