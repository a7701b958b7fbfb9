// A fused forwarder between two VFs of a model, made of public names: every frame comes back once, changed as asked.

import { expect, test } from 'vitest';
import { createModel, mempool, open, openFused } from '../../src/index.ts';

const FRAMES = 20_000;

test('openFused forwards between two VFs and loses nothing', async () => {
  const wire = `gen:count=${FRAMES},size=imix,flows=3`;
  const model = createModel({
    ports: [
      { vfs: 1, wire },
      { vfs: 1, wire },
    ],
  });
  const buffers = mempool({ count: 4096 });
  const a = await open('model:0.0', { model, mempool: buffers });
  const b = await open('model:1.0', { model, mempool: buffers });
  const views = new Uint8Array(buffers.handle.memory.buffer);
  const away = Uint8Array.of(0x02, 0x09, 0xc0, 0xff, 0, 0);
  const towards = (mac: Uint8Array) => (_buf: number, offset: number, length: number) => {
    views.set(away, offset);
    views.set(mac, offset + 6);
    return length;
  };
  const there = await openFused(a.rx[0].handle, b.tx[0].handle, towards(b.macBytes));
  const back = await openFused(b.rx[0].handle, a.tx[0].handle, towards(a.macBytes));
  for (
    let i = 0;
    i < 20_000 && !model.counters().every((row) => row.sinkReceived === FRAMES);
    i++
  ) {
    model.step();
    there(32);
    back(32);
  }
  for (const row of model.counters()) {
    expect(row).toMatchObject({ offered: FRAMES, delivered: FRAMES, sinkReceived: FRAMES });
    expect(row).toMatchObject({ sinkGaps: 0, sinkDuplicates: 0, sinkCorrupt: 0, spoofed: 0 });
  }
  a.close();
  b.close();
  expect(buffers.available).toBe(buffers.count);
});
