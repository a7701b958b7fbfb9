import { expect, it } from 'vitest';
import { createModel, mempool, open, packetViews } from '../../src/index.ts';
import { driverSuite } from '../suites/driver.ts';
import { directHarness } from '../support/driver-harness.ts';
import { mac, STRANGER } from '../support/frames.ts';

driverSuite('in process, BAR pages shared', directHarness(false));
driverSuite('in process, all of the BAR trapped', directHarness(true));

it('the public names alone forward what a generator sends to the other port', async () => {
  const model = createModel({
    ports: [{ vfs: 1, wire: 'gen:count=1000' }, { vfs: 1 }],
  });
  model.plug(1, 'gen:count=1');
  const shared = mempool({ count: 2048 });
  const a = await open('model:0.0', { model, mempool: shared });
  const b = await open('model:1.0', { model, mempool: shared });
  const views = packetViews(shared);
  const bufs = new Int32Array(32);
  for (let round = 0; round < 200; round++) {
    model.step(64);
    const n = a.rx[0].batch(bufs, 0, 32);
    for (let i = 0; i < n; i++) {
      views.bytes.set([...mac(STRANGER), ...b.macBytes], views.offset(bufs[i]));
    }
    expect(b.tx[0].batch(bufs, 0, n)).toBe(n);
  }
  model.step(64);
  expect(model.counters()[0]).toMatchObject({ offered: 1000, delivered: 1000 });
  expect(model.counters()[1]).toMatchObject({ sinkReceived: 1000, sinkGaps: 0, sinkCorrupt: 0 });
  a.close();
  b.close();
  expect(model.recorder.violations).toEqual([]);
  expect(model.recorder.faults).toEqual([]);
  model.close();
});
