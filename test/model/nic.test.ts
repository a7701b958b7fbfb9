import { describe, expect, it } from 'vitest';
import { Nic } from '../../src/model/nic.ts';
import { queuesPerPool } from '../../src/model/nic-port.ts';
import {
  Bench,
  BROADCAST,
  frame,
  macOf,
  type RawVf,
  TestClock,
  TestMemory,
  viewsOver,
} from './nic-fixture.ts';

const OUT = { dst: [2, 0, 0, 0, 0, 7], src: macOf(0, 0) };

describe('making a NIC', () => {
  it('refuses a port without VFs, with 64, or with half of one', () => {
    for (const vfs of [0, 64, 1.5, -1, Number.NaN]) {
      expect(() => new Bench([{ vfs }])).toThrow(RangeError);
    }
  });

  it('refuses a NIC without ports and a wrong SPEC', () => {
    expect(() => new Bench([])).toThrow(/1 to 256 ports/);
    const options = { memory: new TestMemory(), clock: new TestClock() };
    expect(() => new Nic({ ...options, ports: [{ vfs: 1, wire: 'nonsense' }] })).toThrow(
      RangeError,
    );
  });

  it('refuses ports and VFs that are not there', () => {
    const { nic } = new Bench([{ vfs: 2 }]);
    expect(() => nic.function(1, 0)).toThrow(/port from 0 to 0/);
    expect(() => nic.function(0, 2)).toThrow(/VF from 0 to 1/);
    expect(() => nic.pf(-1)).toThrow(RangeError);
    expect(() => nic.setWirePort(3, 'none')).toThrow(RangeError);
  });

  it('gives each VF as many queues as its number of pools allows', () => {
    expect([1, 15, 16, 31, 32, 63].map((n) => queuesPerPool(n, 'linux-6.1'))).toEqual([
      4, 4, 4, 4, 2, 2,
    ]);
    expect([1, 15, 16, 31, 32, 63].map((n) => queuesPerPool(n, 'dpdk'))).toEqual([
      8, 8, 4, 4, 2, 2,
    ]);
  });

  it('puts BARs where the caller wants them', () => {
    const memory = new TestMemory();
    const at = memory.take(2 * 16_384, 4096);
    const nic = new Nic({
      ports: [{ vfs: 2 }],
      memory,
      clock: new TestClock(),
      barWindow: (_port, vf) => at + vf * 16_384,
    });
    expect([nic.function(0, 0).barOffset, nic.function(0, 1).barOffset]).toEqual([at, at + 16_384]);
  });

  it('serves 63 VFs: the last one gets its broadcast', () => {
    const bench = new Bench([{ vfs: 63 }], {});
    const last = bench.vf(0, 62);
    last.startRx();
    bench.nic.step(8);
    bench.offer(0, frame({ dst: BROADCAST }));
    bench.offer(0, frame({ dst: macOf(0, 62) }));
    expect(bench.row(0, 62)).toMatchObject({ delivered: 2 });
  });
});

describe('a cable that is pulled', () => {
  it('takes the link, frames wait on both sides, and all of it comes back', () => {
    const bench = new Bench([{ vfs: 1, wire: 'gen:count=5' }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    vf.startTx();
    bench.nic.setCable(0, false);
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(8);
    expect(vf.device.mmioRead(0x10)).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ offered: 0, delivered: 0 });
    expect(vf.done(1)).toBe(false);
    bench.nic.setCable(0, false);
    bench.nic.setCable(0, true);
    bench.nic.step(8);
    expect(vf.device.mmioRead(0x10)).toBe(0x70000000);
    expect(bench.row(0, 0)).toMatchObject({ offered: 5, delivered: 5 });
    expect(vf.done(1)).toBe(true);
  });

  it('takes the link of the other end of a cable, too', () => {
    const bench = new Bench([
      { vfs: 1, wire: 'cable:1' },
      { vfs: 1, wire: 'cable:1' },
    ]);
    const [a, b] = [bench.vf(0, 0), bench.vf(1, 0)];
    const links = () => [a, b].map((vf) => vf.device.mmioRead(0x10) !== 0);
    b.startRx();
    a.startTx();
    expect(links()).toEqual([true, true]);
    bench.nic.setCable(1, false);
    expect(links()).toEqual([false, false]);
    a.send(frame({ dst: macOf(1, 0), src: macOf(0, 0) }));
    a.kick();
    bench.nic.step(8);
    expect(bench.row(1, 0)).toMatchObject({ offered: 0 });
    bench.nic.setCable(1, true);
    expect(links()).toEqual([true, true]);
    bench.nic.step(8);
    bench.nic.step(8);
    expect(bench.row(1, 0)).toMatchObject({ offered: 1, delivered: 1 });
  });

  it('is in again where another wire is plugged in', () => {
    const bench = new Bench([{ vfs: 1 }]);
    bench.nic.setCable(0, false);
    bench.nic.setWirePort(0, 'none');
    expect(bench.vf(0, 0).device.mmioRead(0x10)).toBe(0x70000000);
  });
});

describe('a tx rate', () => {
  it('lets through as many frames as the clock says, and all of them without it', () => {
    const bench = new Bench([{ vfs: 2 }]);
    const limited = bench.vf(0, 0);
    const free = bench.vf(0, 1);
    const clock = bench.clock;
    const post = (vf: RawVf, index: number): void => {
      vf.startTx({ count: 1024 });
      for (let i = 0; i < 600; i++) vf.send(frame({ ...OUT, src: macOf(0, index), length: 1230 }));
      vf.kick();
    };
    const sent = (index: number) =>
      bench.wires[0]?.frames.filter((one) => one.vf === index).length ?? 0;
    bench.nic.pf(0).setRate(0, 1000);
    clock.us += 1e6;
    post(limited, 0);
    post(free, 1);
    const run = (): void => {
      for (let i = 0; i < 100; i++) bench.nic.step(64);
    };
    run();
    // 1230 bytes, CRC, preamble and gap are 1254 octets, or 10.032 us at 1 Gbit/s. A pause earns 5 ms.
    expect([sent(0), sent(1)]).toEqual([499, 600]);
    clock.us += 100;
    run();
    expect(sent(0)).toBe(509);
    bench.nic.pf(0).setRate(0, 0);
    run();
    expect(sent(0)).toBe(600);
  });
});

describe('a step', () => {
  it('returns 0 when there is nothing to do', () => {
    const bench = new Bench([{ vfs: 2 }, { vfs: 1 }]);
    bench.nic.step(8);
    expect(bench.nic.step(8)).toBe(0);
  });

  it('gives every VF its share while one has more than its budget', () => {
    const bench = new Bench([{ vfs: 3 }]);
    const vfs = [0, 1, 2].map((i) => bench.vf(0, i));
    for (const [i, vf] of vfs.entries()) {
      vf.startTx({ count: 64 });
      for (let k = 0; k < 40; k++) vf.send(frame({ ...OUT, src: macOf(0, i) }));
      vf.kick();
    }
    expect(bench.nic.step(8)).toBe(24);
    const counts = [0, 1, 2].map((i) => bench.wires[0]?.frames.filter((f) => f.vf === i).length);
    expect(counts).toEqual([8, 8, 8]);
  });

  it('brings heads and counters to the BAR once 2 ms of the clock have passed, and at once when idle', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startTx({ count: 1024 });
    bench.nic.step(1);
    bench.nic.step(1);
    for (let k = 0; k < 200; k++) vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(1);
    expect([vf.word(0x2010), vf.word(0x201c)]).toEqual([0, 0]);
    bench.clock.us += 2500;
    for (let k = 0; k < 100; k++) bench.nic.step(1);
    expect(vf.word(0x201c)).toBeGreaterThan(0);
    while (bench.nic.step(64) > 0);
    expect([vf.word(0x2010), vf.word(0x201c)]).toEqual([201, 200]);
  });

  it('follows memory that has grown: a map beyond the old views works', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    const old = bench.memory.views;
    const grown = viewsOver(new SharedArrayBuffer(old.u8.length + 65_536));
    expect(vf.device.dmaMap(0x50_0000, 65_536, old.u8.length, true, true)).toBe(-22);
    grown.u8.set(old.u8);
    bench.memory.views = grown;
    expect(vf.device.dmaMap(0x50_0000, 65_536, old.u8.length, true, true)).toBe(0);
    vf.startRx();
    vf.memory.views.i32[vf.rxRing >>> 2] = 0x50_0000;
    vf.memory.views.i32[(vf.rxRing >>> 2) + 1] = 0;
    bench.nic.step(8);
    const bytes = frame();
    bench.offer(0, bytes);
    expect([...grown.u8.subarray(old.u8.length, old.u8.length + 60)]).toEqual(bytes);
  });
});

describe('barriers', () => {
  it('sees an enable edge at a trapped access, without a step', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    vf.device.mmioRead(0x0008);
    bench.offer(0, frame());
    expect(bench.row(0, 0)).toMatchObject({ delivered: 1 });
  });

  it('touches no ring any more after ENABLE was cleared and VFSTATUS read', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    vf.startTx();
    bench.nic.step(8);
    vf.send(frame(OUT));
    vf.kick();
    vf.setWord(0x1028, 0);
    vf.setWord(0x2028, 0);
    vf.device.mmioRead(0x0008);
    const before = vf.memory.views.u8.slice(vf.rxRing, vf.txBuffers);
    bench.nic.step(64);
    bench.offer(0, frame());
    expect(vf.memory.views.u8.slice(vf.rxRing, vf.txBuffers)).toEqual(before);
    expect(bench.wires[0]?.frames).toHaveLength(0);
  });

  it('keeps counters over a reset of the VF', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    bench.offer(0, frame());
    vf.reset(bench.nic);
    expect(vf.counter(0x101c)).toBe(1);
    vf.startRx();
    bench.nic.step(8);
    bench.offer(0, frame());
    expect(vf.counter(0x101c)).toBe(2);
    expect(vf.counter(0x1020)).toBe(128);
  });

  it('forgets maps when the driver disconnects', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.device.disconnect();
    expect(vf.device.dmaMap(0x1_0000_0000, 4096, 0, true, true)).toBe(0);
  });
});

describe('conservation', () => {
  it('delivers every frame from the wire or counts it once', () => {
    const bench = new Bench([{ vfs: 2 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ count: 64, post: 50 });
    bench.nic.step(8);
    const offered = [
      ...Array.from({ length: 60 }, () => frame()),
      frame({ dst: macOf(0, 1) }),
      frame({ dst: OUT.dst }),
      frame({ tci: 3 }),
      frame({ length: 1600 }),
      frame().slice(0, 10),
    ];
    for (const bytes of offered) bench.offer(0, bytes);
    let sum = 0;
    for (const row of bench.nic.counters()) {
      sum +=
        row.delivered +
        row.missedNoDescriptor +
        row.missedDisabled +
        row.filtered +
        row.iommuFaults;
    }
    expect(sum).toBe(offered.length);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 50, missedNoDescriptor: 10 });
  });
});

describe('closing', () => {
  it('closes wire ports and stops every VF, once', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    bench.nic.close();
    bench.nic.close();
    expect(bench.wires[0]?.closed).toBe(true);
    bench.offer(0, frame());
    expect(vf.rx(0)[2]).toBe(0);
  });

  it('closes the port that another one replaces', () => {
    const bench = new Bench([{ vfs: 1 }]);
    bench.nic.setWirePort(0, 'none');
    expect(bench.wires[0]?.closed).toBe(true);
    expect(bench.nic.wirePort(0).spec).toBe('none');
  });
});
