// DPDK's driver runs on the chip; so it has to live through whatever the model plays where sources are silent.

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Dpdk, fetchDpdk } from '../../bench/peers/testpmd.ts';
import { type MacType, parseSilicon } from '../../src/model/silicon.ts';
import { clean, closeAll, forward, namespaces, startModel, startTestpmd } from './forwarding.ts';

const FRAMES = 20_000;
/**
 * As `--silicon` and `--mac-type` take them. hide-vlan shows only where the host puts a VF into a VLAN. DPDK's driver
 * never writes VFMRQC, so stale-mrqc leaves it without frames: src/model/README.md.
 */
const MODES: readonly (readonly [modes: string, macType: MacType])[] = [
  ['rstd=none', '82599'],
  ['rstd=late:20000', '82599'],
  ['late-dma=100', '82599'],
  ['ungranted=0', '82599'],
  ['ungranted=ones', '82599'],
  ['ungranted=enable', '82599'],
  ['vfte=ties-enable', '82599'],
  ['rstd=now', 'x550'],
  ['enable-lag=200', '82599'],
  ['reset-lag=1000', '82599'],
  ['mbx-lag=200', '82599'],
  ['msix-lost', '82599'],
];

afterEach(closeAll);

describe('DPDK lives through', () => {
  let fetched: Dpdk | string;
  beforeAll(() => {
    fetched = fetchDpdk(undefined);
  });

  it.for(MODES)('%s on an %s', async ([modes, macType], context) => {
    if (typeof fetched === 'string') return context.skip(fetched);
    if (!namespaces) return context.skip('no user namespaces here');
    const model = startModel({ silicon: parseSilicon(modes), macType });
    const testpmd = await startTestpmd(fetched, model);
    const rows = await forward(model, testpmd, FRAMES);
    expect(rows).toMatchObject([clean(0, FRAMES), clean(1, FRAMES)]);
  });
});
