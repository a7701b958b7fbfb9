// Our own driver on the served model: client, server and NIC on one thread.

import { afterEach, describe, expect, test } from 'vitest';
import { openVf } from '../../../src/ixgbevf/vf.ts';
import { processArena } from '../../../src/memory/arena.ts';
import type { ServedModelOptions } from '../../../src/model/server/index.ts';
import { VfioUserDevice } from '../../../src/vfio/user/client.ts';
import { type Fixture, makeFixture, SteppedExchange } from './fixture.ts';

const open: { close(): void }[] = [];
let model: Fixture | undefined;

afterEach(() => {
  for (const one of open.splice(0)) one.close();
  model?.dispose();
  model = undefined;
});

function attach(fixture: Fixture, port: number, vf = 0): VfioUserDevice {
  const path = fixture.path(port, vf);
  const exchange = new SteppedExchange(fixture, path);
  const device = VfioUserDevice.over(exchange, `vfio-user:${path}`, processArena());
  open.push(device);
  return device;
}

async function forwardFrames(options: Partial<ServedModelOptions>): Promise<void> {
  model = makeFixture({
    ports: [
      { vfs: 1, wire: 'gen:count=1000' },
      { vfs: 1, wire: 'none' },
    ],
    ...options,
  });
  const device = attach(model, 0);
  const vf = await openVf(device, processArena());
  open.unshift(vf);
  expect(vf.mac).toBe('02:09:c0:00:00:00');
  const bufs = new Int32Array(64);
  let received = 0;
  for (let i = 0; i < 4000 && received < 1000; i++) {
    model.nic.step(32);
    const n = vf.rx[0].batch(bufs, 0, 32);
    for (let sent = 0, tries = 0; sent < n && tries < 100; tries++) {
      sent += vf.tx[0].batch(bufs, sent, n - sent);
      model.nic.step(32);
    }
    received += n;
  }
  expect(received).toBe(1000);
}

describe('our driver over vfio-user', () => {
  test('receives and sends a thousand frames over shared pages', async () => {
    await forwardFrames({});
    expect(open[1]).toBeInstanceOf(VfioUserDevice);
    expect((open[1] as VfioUserDevice).pageOffset(1)).toBeGreaterThan(0);
    expect(model?.nic.counters()[0]).toMatchObject({ delivered: 1000, iommuFaults: 0 });
  });

  test('receives and sends a thousand frames with every page trapped', async () => {
    await forwardFrames({ trapAll: true });
    expect((open[1] as VfioUserDevice).pageOffset(1)).toBe(-1);
    expect(model?.nic.counters()[0]).toMatchObject({ delivered: 1000, iommuFaults: 0 });
    expect(model?.nic.recorder.violations).toEqual([]);
  });
});
