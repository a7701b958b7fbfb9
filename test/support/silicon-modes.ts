// Which chips the driver's suite runs on beside the model's default one: each mode of `--silicon` by itself, and
// combinations with MAC type and backend that a seed draws. What a mode means is src/model/silicon.ts.

import {
  DEFAULT_SILICON,
  MAC_TYPES,
  type MacType,
  parseSilicon,
  type Silicon,
} from '../../src/model/silicon.ts';
import { directHarness, type MakeHarness, vfioUserHarness } from './driver-harness.ts';

/** Values of each mode, without the model's own. A driver has to live through every one. */
const MODES: readonly (readonly string[])[] = [
  ['rstd=none', 'rstd=late:20', 'rstd=late:60', 'rstd=late:1000', 'rstd=late:40000'],
  ['late-dma=90'],
  ['ungranted=0', 'ungranted=ones', 'ungranted=enable'],
  ['vfte=ties-enable'],
  ['hide-vlan=on', 'hide-vlan=off'],
  ['stale-mrqc'],
  ['enable-lag=50', 'enable-lag=5000'],
  ['reset-lag=100', 'reset-lag=20000'],
  ['mbx-lag=300', 'mbx-lag=5000', 'mbx-lag=20000'],
  ['msix-lost'],
];

/** One share of all single modes, 1 up to `shares`: a test file runs a share, so that none takes long. */
export function singleModes(share: number, shares: number): string[] {
  return MODES.flat().filter((_, i) => i % shares === share - 1);
}

/** A harness of the in-process backend under a mode as `--silicon` takes it. */
export function harnessOf(silicon: string): MakeHarness {
  return directHarness(false, { silicon: parseSilicon(silicon) });
}

/** One combination of modes, MAC type and backend. */
export interface Combination {
  /** All of it in words, to be found again. */
  readonly name: string;
  readonly make: MakeHarness;
  /** False where the driver uses one rx queue. */
  readonly rss: boolean;
}

/** `count` combinations; the same seed draws the same ones. @param seed 1 up to 2^31 - 2 */
export function combinations(seed: number, count: number): Combination[] {
  let state = seed;
  // Lehmer's generator with the factor of Park and Miller: enough to draw from short lists.
  const draw = (below: number): number => {
    state = (state * 48_271) % 0x7fff_ffff;
    return state % below;
  };
  const backends = { 'in process': directHarness, 'over vfio-user': vfioUserHarness };
  return Array.from({ length: count }, (_, i) => {
    const silicon = MODES.filter(() => draw(2) === 1)
      .map((values) => values[draw(values.length)])
      .join(',');
    const macType = (Object.keys(MAC_TYPES) as MacType[])[draw(3)];
    const backend = (Object.keys(backends) as (keyof typeof backends)[])[draw(2)];
    const trapAll = draw(4) === 0;
    const pages = trapAll ? ', trapped' : '';
    return {
      name: `seed ${seed}, ${i}: ${macType}, --silicon '${silicon}', ${backend}${pages}`,
      make: backends[backend](trapAll, { macType, silicon: parsed(silicon) }),
      rss: macType !== 'x550',
    };
  });
}

function parsed(silicon: string): Silicon {
  return silicon === '' ? DEFAULT_SILICON : parseSilicon(silicon);
}

/** What is to be drawn: 50 combinations of seed 1, unless IXY_SILICON_SEED or IXY_SILICON_COUNT say otherwise. */
export function drawn(): { readonly seed: number; readonly count: number } {
  const { IXY_SILICON_SEED: seed = '1', IXY_SILICON_COUNT: count = '50' } = process.env;
  return { seed: Number(seed), count: Number(count) };
}
