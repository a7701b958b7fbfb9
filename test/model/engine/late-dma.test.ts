import { expect, it } from 'vitest';
import { parseSilicon } from '../../../src/model/silicon.ts';
import { Bench, IOVA_BASE, type RawVf } from '../nic-fixture.ts';

const RXDCTL = 0x1028;
const LATE = new Array(60).fill(0xff);

function running(): { bench: Bench; vf: RawVf } {
  const bench = new Bench([{ vfs: 1 }], { silicon: parseSilicon('late-dma=90') });
  const vf = bench.vf(0, 0);
  vf.startRx();
  bench.nic.step(1);
  return { bench, vf };
}

/** Buffers that a late frame was written to. */
function late(vf: RawVf): number[] {
  return [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => vf.rxData(i, 60).every((byte) => byte === 0xff));
}

it('writes frames and descriptors after ENABLE reads 0, until the time is over, and counts none', () => {
  const { bench, vf } = running();
  vf.setWord(RXDCTL, 0);
  vf.device.mmioRead(0x0008);
  expect(vf.word(RXDCTL)).toBe(0);
  bench.clock.us += 89;
  bench.nic.step(1);
  expect([vf.rxData(1, 60), vf.rx(1)]).toEqual([LATE, [0, 0, 3, 60]]);
  expect(late(vf)).toEqual([0, 1]);
  bench.clock.us += 1;
  bench.nic.step(1);
  expect(late(vf)).toEqual([0, 1]);
  expect(bench.row(0, 0)).toMatchObject({ offered: 0, delivered: 0 });
});

it('writes where the descriptors it had fetched point to, and only there', () => {
  const { bench, vf } = running();
  vf.setWord(RXDCTL, 0);
  bench.nic.step(1);
  for (let i = 0; i < 8; i++) vf.postRx(i, 0);
  for (let i = 0; i < 20; i++) {
    bench.clock.us += 2;
    bench.nic.step(1);
  }
  // The tail, 7, is not the chip's.
  expect(late(vf)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(bench.nic.recorder.faultCount).toBe(0);
});

it('goes on after VFCTRL.RST, and not after VFLR', () => {
  const { bench, vf } = running();
  vf.setWord(RXDCTL, 0);
  bench.nic.step(1);
  vf.device.mmioWrite(0x0000, 1 << 26);
  bench.clock.us += 2;
  bench.nic.step(1);
  expect(late(vf)).toEqual([0, 1]);
  vf.device.functionReset();
  const before = late(vf);
  vf.device.configWrite(4, 2, 4);
  bench.clock.us += 2;
  bench.nic.step(1);
  expect(late(vf)).toEqual(before);
});

it('is a DMA fault where the buffer is mapped no more', () => {
  const { bench, vf } = running();
  vf.setWord(RXDCTL, 0);
  bench.nic.step(1);
  vf.device.dmaUnmap(IOVA_BASE, vf.memory.views.u8.length);
  bench.clock.us += 2;
  bench.nic.step(1);
  expect(bench.nic.recorder.faults).toMatchObject([{ write: true, sizeBytes: 60 }]);
});
