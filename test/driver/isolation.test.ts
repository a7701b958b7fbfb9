// What a VF may touch: nothing outside its maps, and nothing at all once it was
// stopped and its maps are gone. Ring registers are read as a debugger would, by
// literal offsets.

import { afterEach, describe, expect, it } from 'vitest';
import type { IxgbeVf } from '../../src/ixgbevf/vf.ts';
import { SPACE_OFFSET } from '../../src/memory/layout.ts';
import type { WirePort } from '../../src/model/types.ts';
import { Rig } from '../suites/driver/rig.ts';
import { directHarness } from '../support/driver-harness.ts';
import { frame, idOf, STRANGER } from '../support/frames.ts';
import type { TamperedDevice } from '../support/tampered-device.ts';

const VF0 = '02:09:c0:00:00:00';
/** Low words of the ring bases: DMA memory lies at 4 GiB + its arena offset, so they are arena offsets. */
const VFRDBAL = 0x1000;
const VFTDBAL = 0x2000;
const IOVA_BASE = 0x1_0000_0000;

const rigs: Rig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.finish();
});

async function start(): Promise<{ rig: Rig; vf: IxgbeVf; device: TamperedDevice }> {
  const rig = new Rig(directHarness(false)([{ vfs: 1 }]));
  rigs.push(rig);
  rig.wire(0);
  const device = rig.tampered(0, 0);
  return { rig, device, vf: await rig.openDevice(device) };
}

const SNAPSHOT_BYTES = 96 * 1024 * 1024;

/** All memory that a device could be given, but the VF's BAR. */
function snapshot(rig: Rig, device: TamperedDevice): Buffer {
  const { arena } = rig.harness;
  // All that was handed out: the arena gives the lowest space first, and reserves far more than it gives.
  expect(arena.dmaUsedBytes).toBeLessThan(SNAPSHOT_BYTES / 2);
  const copy = arena.views.u8.slice(SPACE_OFFSET, SPACE_OFFSET + SNAPSHOT_BYTES);
  const bar = device.pageOffset(1) - 4096 - SPACE_OFFSET;
  return Buffer.from(copy.fill(0, bar, bar + 16_384).buffer);
}

/** IOVA just behind everything mapped. */
function endOfMap(device: TamperedDevice): number {
  return Math.max(...device.mapped.map(({ iova, sizeBytes }) => iova + sizeBytes));
}

/** Points descriptor `index` of a ring somewhere else. */
function misdirect(rig: Rig, ringOffset: number, index: number, iova: number): void {
  const words = rig.harness.arena.views.u32;
  words[(ringOffset >>> 2) + index * 4] = iova % 2 ** 32;
  words[(ringOffset >>> 2) + index * 4 + 1] = Math.floor(iova / 2 ** 32);
}

/** Where a descriptor may point wrongly, given the end of the map. */
const WRONG: readonly (readonly [string, (end: number) => number])[] = [
  ['just behind the map', (end) => end],
  ['partly behind the map', (end) => end - 20],
  ['far above it', (end) => end + 2 ** 36],
  ['into the control memory of this process', () => IOVA_BASE + 65_536],
  ['at an arena offset instead of an IOVA', (end) => end - IOVA_BASE - 4096],
  ['at the interrupt window', () => 0xfee0_0000],
  ['at zero', () => 0],
];

describe('a descriptor outside the map', () => {
  it.each(WRONG)(
    'of tx, %s: refused, recorded, not one byte changes, and health names the queue',
    async (_, where) => {
      const { rig, vf, device } = await start();
      const iova = where(endOfMap(device));
      rig.harness.hold(() => {
        expect(rig.post(vf, [frame({ dst: STRANGER, src: VF0 })])).toBe(1);
        misdirect(rig, device.read32(VFTDBAL), 1, iova);
      });
      const before = snapshot(rig, device);
      rig.advance();
      expect(snapshot(rig, device).equals(before)).toBe(true);
      expect(rig.takeFaults()).toEqual([{ port: 0, vf: 0, iova, sizeBytes: 60, write: false }]);
      expect(rig.counters(0).iommuFaults).toBe(1);
      expect(rig.wire(0).take()).toEqual([]);

      const startUs = rig.harness.clock.nowUs();
      let health = vf.checkHealth();
      while (health.stuck.length === 0 && rig.harness.clock.nowUs() - startUs < 5_000_000) {
        rig.harness.clock.sleepUs(100_000);
        health = vf.checkHealth();
      }
      expect(rig.harness.clock.nowUs() - startUs).toBeLessThan(1_300_000);
      expect(health.stuck).toMatchObject([{ queue: 0, head: 1, tail: 2, pending: 1 }]);

      vf.restart();
      rig.send(vf, [frame({ dst: STRANGER, src: VF0, id: 7 })]);
      expect(rig.wire(0).take().map(idOf)).toEqual([7]);
      expect(vf.checkHealth().stuck).toEqual([]);
    },
  );

  it.each(WRONG)('of rx, %s: refused, recorded, not one byte changes', async (_, where) => {
    const { rig, vf, device } = await start();
    const iova = where(endOfMap(device));
    misdirect(rig, device.read32(VFRDBAL), 0, iova);
    const before = snapshot(rig, device);
    rig.inject(0, frame({ dst: VF0 }));
    expect(snapshot(rig, device).equals(before)).toBe(true);
    expect(rig.takeFaults()).toEqual([{ port: 0, vf: 0, iova, sizeBytes: 60, write: true }]);
    expect(rig.counters(0)).toMatchObject({ delivered: 0, iommuFaults: 1 });
    expect(rig.receive(vf)).toEqual([]);
    vf.restart();
    rig.inject(0, frame({ dst: VF0, id: 8 }));
    expect(rig.receive(vf).map(idOf)).toEqual([8]);
  });
});

it('memory taken from a running device is not touched again, rings included', async () => {
  const { rig, vf, device } = await start();
  rig.inject(0, frame({ dst: VF0 }));
  rig.harness.hold(() => rig.post(vf, [frame({ dst: STRANGER, src: VF0 })]));
  rig.harness.hold(() => {
    rig.harness.arena.detach(device);
  });
  const before = snapshot(rig, device);
  rig.inject(0, ...Array.from({ length: 100 }, () => frame({ dst: VF0 })));
  expect(snapshot(rig, device).equals(before)).toBe(true);
  expect(rig.wire(0).take()).toEqual([]);
  const faults = rig.takeFaults();
  expect(faults.length).toBeGreaterThan(0);
  for (const { iova } of faults) expect(iova).toBeGreaterThanOrEqual(IOVA_BASE);
  vf.restart();
  rig.inject(0, frame({ dst: VF0, id: 9 }));
  expect(rig.receive(vf).map(idOf)).toEqual([9]);
});

/** Offers frames to VF 0 whenever the model moves, whether it has room or not. */
class Flood implements WirePort {
  readonly spec = 'flood';
  readonly linkUp = true;
  sent = 0;
  private readonly rig: Rig;
  private readonly scratch: number;

  constructor(rig: Rig) {
    this.rig = rig;
    this.scratch = rig.harness.arena.allocateControl(128);
    rig.harness.arena.views.u8.set(frame({ dst: VF0 }), this.scratch);
  }
  step(): number {
    const ingress = this.rig.harness.ingress(0);
    for (let i = 0; i < 4; i++) ingress.offer(this.scratch, 60, false);
    return 4;
  }
  transmit(_offsets: Int32Array, _lengths: Int32Array, n: number): void {
    this.sent += n;
  }
  addCounters(): void {}
  close(): void {
    this.rig.harness.arena.releaseControl(this.scratch);
  }
}

const CYCLES = 10_000;
/** Each so many cycles the VF is closed and opened again; in the middle of them it is unmapped while it runs. */
const CLOSE_EVERY = 50;

it("10,000 times under load: after stop and unmap, or close, no byte of what was the device's changes", async () => {
  const rig = new Rig(directHarness(false)([{ vfs: 1 }]));
  rigs.push(rig);
  const { harness } = rig;
  const { arena } = harness;
  const flood = new Flood(rig);
  harness.plug(0, flood);
  const mempool = rig.mempool({ count: 192 });
  let device = rig.tampered(0, 0);
  let vf = await rig.openDevice(device, { mempool });
  const [chunk] = device.mapped;
  // DMA memory is handed out first fit: what is in use lies at the start.
  const all = chunk.sizeBytes;
  const used = Math.ceil(arena.dmaUsedBytes / 4096) * 4096 + 4096;
  const { views } = arena;
  const out = Array.from({ length: 40 }, () => frame({ dst: STRANGER, src: VF0 }));
  const bufs = new Int32Array(16);
  let received = 0;
  let changed = 0;
  const offeredBefore = lost(rig);

  for (let cycle = 0; cycle < CYCLES; cycle++) {
    // Load both ways, and frames left in both rings when it ends.
    harness.advance(2);
    const n = vf.rx[0].batch(bufs, 0, 16);
    mempool.giveBatch(bufs, 0, n);
    received += n;
    harness.hold(() => rig.post(vf, out));

    const kind = cycle % CLOSE_EVERY;
    if (kind === 0) vf.close();
    else if (kind !== CLOSE_EVERY / 2) vf.stop();
    if (kind !== 0) arena.detach(device);

    const bytes = kind === 0 ? all : used;
    const pattern = Math.imul(cycle + 1, 0x9e3779b1);
    views.i32.fill(pattern, chunk.offset >>> 2, (chunk.offset + bytes) >>> 2);
    harness.advance(3);
    // Every word equals its neighbour, and the first is the pattern: nothing was written.
    const memory = Buffer.from(views.u8.buffer, chunk.offset, bytes);
    const same = memory.compare(memory, 4, bytes, 0, bytes - 4) === 0;
    if (!same || views.i32[chunk.offset >>> 2] !== pattern) changed++;

    if (kind === 0) {
      device = rig.tampered(0, 0);
      vf = await rig.openDevice(device, { mempool });
    } else if (kind === CLOSE_EVERY / 2) {
      expect(rig.takeFaults().length).toBeGreaterThan(0);
      vf.restart();
    } else {
      arena.attach(device);
      vf.start();
    }
  }
  expect(changed).toBe(0);
  expect(device.mapped).toEqual([chunk]);
  // The load was real: frames went both ways, and frames came while nobody could take them.
  expect(received).toBeGreaterThan(CYCLES * 4);
  expect(flood.sent).toBeGreaterThan(CYCLES / 2);
  expect(lost(rig) - offeredBefore).toBeGreaterThan(CYCLES * 8);
});

/** Frames that came for a VF that was not there. */
function lost(rig: Rig): number {
  const { missedDisabled, filtered } = rig.counters(0);
  return missedDisabled + filtered;
}
