import { describe, expect, it } from 'vitest';
import { Bench, frame, IOVA_BASE, macOf, type RawVf } from '../nic-fixture.ts';

const OUT = { dst: [2, 0, 0, 0, 0, 7], src: macOf(0, 0) };

function started(options: Parameters<RawVf['startTx']>[0] = {}): { bench: Bench; vf: RawVf } {
  const bench = new Bench([{ vfs: 1 }]);
  const vf = bench.vf(0, 0);
  vf.startTx(options);
  return { bench, vf };
}

function sent(bench: Bench): number[][] {
  return (bench.wires[0]?.frames ?? []).map((f) => f.bytes);
}

describe('tx descriptors that are refused', () => {
  const length = 60;
  const cases: [string, (vf: RawVf) => void][] = [
    ['the legacy format', (vf) => vf.descriptor([0, 1, length | (1 << 24) | (1 << 25), 0])],
    [
      'an unknown DTYP',
      (vf) => vf.descriptor([0, 1, (length | (7 << 20) | (1 << 24) | (1 << 29)) >>> 0, 0x80]),
    ],
    ['a context slot above 1', (vf) => vf.context({ slot: 2 })],
    ['a data descriptor that names context slot 2', (vf) => vf.send(frame(OUT), { status: 0xa0 })],
    ['a PAYLEN that is not the sum of DTALEN', (vf) => vf.send(frame(OUT), { payload: 61 })],
    ['a DTALEN of 0', (vf) => vf.send([], {})],
    [
      'segmentation with a context that asks for none',
      (vf) => vf.send(frame(OUT), { command: 1 << 31 }),
    ],
    ['a frame of less than 14 bytes', (vf) => vf.send(frame(OUT).slice(0, 13), {})],
    ['a checksum request without IPLEN', (vf) => vf.send(frame(OUT), { status: 0x80 | (1 << 8) })],
    [
      'a tag request whose context slot was never loaded',
      (vf) => vf.send(frame(OUT), { status: 0x90, command: 1 << 30 }),
    ],
    [
      'a context descriptor inside a frame',
      (vf) => {
        vf.descriptor([vf.txBuffers, 1, 30 | (3 << 20) | (1 << 25) | (1 << 29), (60 << 14) | 0x80]);
        vf.context();
      },
    ],
  ];
  for (const [what, post] of cases) {
    it(`stops the queue on ${what}: recorded, no DD, nothing sent`, () => {
      const { bench, vf } = started();
      const before = vf.send(frame(OUT));
      post(vf);
      const after = vf.send(frame(OUT));
      vf.kick();
      bench.nic.step(64);
      bench.nic.step(64);
      expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
      expect(sent(bench)).toHaveLength(1);
      expect([vf.done(before), vf.done(after)]).toEqual([true, false]);
    });
  }

  it('stops the queue on a frame of more than 40 descriptors, WTHRESH taken off', () => {
    const { bench, vf } = started({ count: 64, wthresh: 8 });
    vf.sendPieces(frame({ ...OUT, length: 64 }), new Array(32).fill(2));
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toHaveLength(1);
    vf.sendPieces(frame({ ...OUT, length: 66 }), new Array(33).fill(2));
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toHaveLength(1);
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
  });

  it('runs again once the queue was disabled and enabled', () => {
    const { bench, vf } = started();
    vf.send([], {});
    vf.kick();
    bench.nic.step(64);
    vf.setWord(0x2028, 0);
    bench.nic.step(1);
    vf.startTx();
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toHaveLength(1);
  });

  it('records a missing context and a missing CC once, and sends: 82599 tolerates it', () => {
    const { bench, vf } = started({ context: false });
    const index = vf.send(frame(OUT));
    vf.send(frame(OUT), { status: 0 });
    vf.kick();
    bench.nic.step(64);
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
    expect(sent(bench)).toHaveLength(2);
    expect(vf.done(index)).toBe(true);
  });

  it('records a tail beyond the ring once and sends nothing', () => {
    const { bench, vf } = started();
    vf.setWord(0x2018, 16);
    bench.nic.step(8);
    bench.nic.step(8);
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['tail-range']);
    expect(sent(bench)).toHaveLength(0);
  });
});

describe('tx faults', () => {
  it('hangs without DD where a buffer is not mapped, and says which IOVA', () => {
    const { bench, vf } = started();
    const first = vf.send(frame(OUT));
    const bad = vf.send(frame(OUT));
    vf.memory.views.i32[(vf.txRing >>> 2) + bad * 4 + 1] = 9;
    const last = vf.send(frame(OUT));
    vf.kick();
    const ring = vf.memory.views.u8.slice(vf.txRing + bad * 16, vf.txRing + 16 * 16);
    bench.nic.step(64);
    bench.nic.step(64);
    expect([first, bad, last].map((i) => vf.done(i))).toEqual([true, false, false]);
    expect(vf.memory.views.u8.slice(vf.txRing + bad * 16, vf.txRing + 16 * 16)).toEqual(ring);
    expect(bench.nic.recorder.faults).toEqual([
      {
        port: 0,
        vf: 0,
        iova: 9 * 2 ** 32 + vf.txBuffers + bad * 2048,
        sizeBytes: 60,
        write: false,
      },
    ]);
    expect(bench.row(0, 0).iommuFaults).toBe(1);
    expect(sent(bench)).toHaveLength(1);
  });

  it('hangs where the ring is not mapped', () => {
    const { bench, vf } = started();
    vf.setWord(0x2028, 0);
    bench.nic.step(1);
    vf.setWord(0x2004, 5);
    vf.setWord(0x2028, 1 << 25);
    vf.setWord(0x2018, 1);
    bench.nic.step(8);
    bench.nic.step(8);
    expect(bench.nic.recorder.faults.map((f) => f.iova)).toEqual([5 * 2 ** 32 + vf.txRing]);
  });

  it('sends nothing while bus mastering is off', () => {
    const { bench, vf } = started();
    const index = vf.send(frame(OUT));
    vf.kick();
    vf.device.configWrite(4, 2, 0);
    bench.nic.step(64);
    expect([sent(bench).length, vf.done(index)]).toEqual([0, false]);
    vf.device.configWrite(4, 2, 4);
    bench.nic.step(64);
    expect([sent(bench).length, vf.done(index)]).toEqual([1, true]);
  });
});

describe('tx frames', () => {
  it('sends frames of one descriptor in place and in one batch', () => {
    const { bench, vf } = started();
    const frames = [60, 61, 1514].map((length, fill) => frame({ ...OUT, length, fill }));
    for (const bytes of frames) vf.send(bytes);
    vf.kick();
    expect(bench.nic.step(64)).toBe(3);
    expect(sent(bench)).toEqual(frames);
    expect(bench.wires[0]?.batches).toEqual([3]);
    expect(bench.nic.recorder.violationCount).toBe(0);
  });

  it('puts DD in descriptors with RS only, never in a context, and only after the frame went out', () => {
    const { bench, vf } = started();
    const order: string[] = [];
    const wire = bench.wires[0];
    if (wire === undefined) throw new Error('no wire');
    const transmit = wire.transmit.bind(wire);
    wire.transmit = (...args) => {
      order.push(`transmit ${vf.done(2)}`);
      transmit(...args);
    };
    vf.send(frame(OUT), { rs: false });
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect(order).toEqual(['transmit false']);
    expect([0, 1, 2].map((i) => vf.done(i))).toEqual([false, false, true]);
  });

  it('wraps round the ring many times', () => {
    const { bench, vf } = started({ count: 8 });
    for (let i = 0; i < 50; i++) {
      vf.send(frame({ ...OUT, fill: i }));
      vf.kick();
      bench.nic.step(64);
    }
    expect(sent(bench)).toEqual(Array.from({ length: 50 }, (_, i) => frame({ ...OUT, fill: i })));
    expect(vf.counter(0x2010)).toBe(vf.txTail);
  });

  it('gathers a frame of several descriptors across the ring end', () => {
    const { bench, vf } = started({ count: 8 });
    for (let i = 0; i < 5; i++) vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    const bytes = frame({ ...OUT, length: 900 });
    const first = vf.sendPieces(bytes, [14, 500, 1, 385]);
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)[5]).toEqual(bytes);
    expect(vf.done((first + 3) % 8)).toBe(true);
    expect(vf.done(first)).toBe(false);
  });

  it('waits for the rest of a frame that is posted in parts', () => {
    const { bench, vf } = started();
    vf.sendPieces(frame(OUT), [20, 20, 20]);
    vf.setWord(0x2018, 3);
    expect(bench.nic.step(64)).toBe(0);
    expect(sent(bench)).toHaveLength(0);
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toEqual([frame(OUT)]);
  });

  it('pads to 60 bytes with zeros, and records one below 17', () => {
    const { bench, vf } = started();
    vf.memory.views.u8.fill(0xee, vf.txBuffers, vf.txBuffers + 16 * 2048);
    const short = frame(OUT).slice(0, 42);
    vf.send(short);
    vf.send(short.slice(0, 16));
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toEqual([
      [...short, ...new Array(18).fill(0)],
      [...short.slice(0, 16), ...new Array(44).fill(0)],
    ]);
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
  });

  it('sends frames that are not word aligned', () => {
    const { bench, vf } = started();
    const bytes = frame({ ...OUT, length: 77 });
    vf.send(bytes, { at: vf.txBuffers + 4096 + 2 });
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toEqual([bytes]);
  });

  it('inserts the tag of the context descriptor that the frame names', () => {
    const { bench, vf } = started();
    vf.request(bench.nic, [0x1_0004, 5]);
    vf.context({ slot: 1, tci: 0x6005 });
    const bytes = frame({ ...OUT, length: 80 });
    vf.send(bytes, { status: 0x90, command: 1 << 30 });
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toEqual([[...bytes.slice(0, 12), 0x81, 0, 0x60, 0x05, ...bytes.slice(12)]]);
  });

  it('inserts IPv4 and UDP checksums', () => {
    const { bench, vf } = started();
    // RFC 1071 by hand: header 45 00 00 20 .. 11, addresses 10.0.0.1 and 10.0.0.2.
    const ip = [0x45, 0, 0, 0x20, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    // Preset: pseudo header 10.0.0.1 + 10.0.0.2 + 17 + 12 = 0x1420.
    const udp = [0, 1, 0, 2, 0, 12, 0x14, 0x20, 0xff, 0, 0, 1];
    const bytes = [...OUT.dst, ...OUT.src, 8, 0, ...ip, ...udp];
    vf.context({ ipLength: 20, l4: 0 });
    vf.send(bytes, { status: 0x80 | (1 << 8) | (1 << 9) });
    vf.kick();
    bench.nic.step(64);
    const out = sent(bench)[0] ?? [];
    expect(out.slice(24, 26)).toEqual([0x26, 0xcb]);
    // 0x1420 + 1 + 2 + 12 + 0xff00 + 1 = 0x11330, folded 0x1331, complement 0xecce.
    expect(out.slice(40, 42)).toEqual([0xec, 0xce]);
  });

  it('takes 4 KiB pages that lie apart in the heap', () => {
    const { bench, vf } = started();
    const a = vf.memory.take(4096, 4096);
    const b = vf.memory.take(3 * 4096, 4096) + 8192;
    vf.device.dmaMap(0x10_0000, 4096, a, true, false);
    vf.device.dmaMap(0x10_1000, 4096, b, true, false);
    const bytes = frame({ ...OUT, length: 100 });
    vf.memory.views.u8.set(bytes.slice(0, 40), a + 4056);
    vf.memory.views.u8.set(bytes.slice(40), b);
    vf.descriptor([0x10_1000 - 40, 0, (100 | 0x2b300000) >>> 0, (100 << 14) | 0x80]);
    vf.kick();
    bench.nic.step(64);
    expect(sent(bench)).toEqual([bytes]);
  });

  it('sends more slow frames in a row than the staging area holds', () => {
    const { bench, vf } = started({ count: 128 });
    vf.request(bench.nic, [8, 2]);
    const bytes = frame({ ...OUT, length: 1500 });
    for (let i = 0; i < 120; i++) vf.send(bytes, { at: vf.txBuffers + 2 });
    vf.kick();
    expect(bench.nic.step(256)).toBe(120);
    expect(
      sent(bench).every((f) => f.length === 1500 && f[0] === 2 && f[1499] === bytes[1499]),
    ).toBe(true);
  });

  it('moves at most its budget a step', () => {
    const { bench, vf } = started({ count: 64 });
    for (let i = 0; i < 40; i++) vf.send(frame(OUT));
    vf.kick();
    expect([bench.nic.step(16), bench.nic.step(16), bench.nic.step(16)]).toEqual([16, 16, 8]);
  });
});

describe('tx write-back', () => {
  it('holds back with WTHRESH, then writes a batch, and the rest when idle', () => {
    const { bench, vf } = started({ wthresh: 4, context: false });
    vf.context();
    for (let i = 0; i < 2; i++) vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect([1, 2].map((i) => vf.done(i))).toEqual([false, false]);
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect([1, 2, 3].map((i) => vf.done(i))).toEqual([true, true, true]);
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect(vf.done(4)).toBe(false);
    bench.nic.step(64);
    expect(vf.done(4)).toBe(true);
  });

  it('writes the head to memory instead of DD where TDWBAL asks for it', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    const headAt = vf.memory.take(64, 64);
    vf.startTx({ headAt });
    const index = vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect(vf.memory.views.u32[headAt >>> 2]).toBe(2);
    expect(vf.done(index)).toBe(false);
  });

  it('interrupts once a step, after DD', () => {
    const { bench, vf } = started();
    vf.device.mmioWrite(0x0120, 0x8100);
    vf.device.mmioWrite(0x0108, 2);
    const seen: boolean[] = [];
    vf.device.connectVector(1, () => seen.push(vf.done(2)));
    vf.send(frame(OUT));
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect(seen).toEqual([true]);
  });

  it('counts packets and octets in the BAR, with padding, tag and CRC', () => {
    const { bench, vf } = started();
    vf.send(frame(OUT).slice(0, 20));
    vf.send(frame({ ...OUT, length: 100 }));
    vf.kick();
    bench.nic.step(64);
    expect([vf.counter(0x201c), vf.counter(0x2020), vf.counter(0x2024)]).toEqual([2, 64 + 104, 0]);
  });

  it('stops at the unmap of what it uses: no byte is read any more', () => {
    const { bench, vf } = started();
    vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    vf.device.dmaUnmap(IOVA_BASE, vf.memory.views.u8.length);
    const index = vf.send(frame(OUT));
    vf.kick();
    bench.nic.step(64);
    expect([sent(bench).length, vf.done(index)]).toEqual([1, false]);
  });
});
