// DPDK's own driver, net_ixgbe_vf, unmodified, on the model: an independent opinion on registers,
// mailbox, descriptors and interrupts.

import { afterEach, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { type Dpdk, fetchDpdk } from '../../bench/peers/testpmd.ts';
import { clean, closeAll, forward, namespaces, startModel, startTestpmd } from './forwarding.ts';

const FRAMES = 500_000;

afterEach(closeAll);

describe.each([
  ['as apt is set up', undefined],
  ['of trixie', 'trixie'],
] as const)('DPDK %s', (_, suite) => {
  let fetched: Dpdk | string;
  const need = (context: TestContext): Dpdk => {
    if (typeof fetched === 'string') return context.skip(fetched);
    if (!namespaces) return context.skip('no user namespaces here');
    return fetched;
  };

  beforeAll(() => {
    fetched = fetchDpdk(suite);
  });

  it('starts both VFs with the MACs that the PF assigned and a link of 10 Gbit/s', async (context) => {
    const dpdk = need(context);
    const testpmd = await startTestpmd(dpdk, startModel());
    for (const port of [0, 1]) await testpmd.command(`show port info ${port}`);
    const infos = (await testpmd.close()).split(/\* Infos for port /).slice(1);
    expect(infos).toHaveLength(2);
    for (const [port, mac] of ['02:09:C0:00:00:00', '02:09:C0:00:01:00'].entries()) {
      expect(infos[port]).toContain(`MAC address: ${mac}`);
      expect(infos[port]).toContain('Driver name: net_ixgbe_vf');
      expect(infos[port]).toContain('Link status: up');
      expect(infos[port]).toContain('Link speed: 10 Gbps');
    }
  });

  it('forwards 1,000,000 frames in mac mode without a gap', async (context) => {
    const model = startModel();
    const testpmd = await startTestpmd(need(context), model);
    const rows = await forward(model, testpmd, FRAMES);
    expect(rows).toMatchObject([clean(0, FRAMES), clean(1, FRAMES)]);
    for (const port of [0, 1]) await testpmd.command(`show port stats ${port}`);
    // What the VF's own counters say, which the driver reads.
    const counters = (await testpmd.close()).split(/# NIC statistics for port /).slice(1);
    expect(counters).toHaveLength(2);
    for (const text of counters) {
      expect(text).toMatch(new RegExp(`RX-packets: ${FRAMES} `));
      expect(text).toMatch(new RegExp(`TX-packets: ${FRAMES} `));
    }
  });

  it('forwards frames of all lengths with every page of BAR0 trapped', async (context) => {
    const model = startModel({ trapAll: true });
    const testpmd = await startTestpmd(need(context), model);
    const rows = await forward(model, testpmd, 2000, ',size=imix');
    expect(rows).toMatchObject([clean(0, 2000), clean(1, 2000)]);
  });

  it('takes the VFs again after it was killed', async (context) => {
    const dpdk = need(context);
    const model = startModel();
    const first = await startTestpmd(dpdk, model);
    // Killed in the middle of it.
    for (const port of [0, 1]) model.nic.setWirePort(port, 'gen');
    await first.command('start');
    await first.kill();
    for (let i = 0; model.clients() > 0 && i < 2000; i++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(model.clients()).toBe(0);
    for (const port of [0, 1]) model.nic.setWirePort(port, 'none');
    const second = await startTestpmd(dpdk, model);
    const rows = await forward(model, second, 10_000);
    expect(rows).toMatchObject([
      { sinkReceived: 10_000, sinkGaps: 0 },
      { sinkReceived: 10_000, sinkGaps: 0 },
    ]);
  });

  it('takes a PF that resets for a reset event, by interrupt', async (context) => {
    const model = startModel();
    const testpmd = await startTestpmd(need(context), model);
    model.nic.pf(1).goDown();
    await testpmd.says(/Port 1: reset event/);
    expect(testpmd.text).not.toContain('Port 0: reset event');
  });
});
