import { describe, expect, it } from 'vitest';
import { Bench, BROADCAST, frame, IOVA_BASE, macOf, OFFER } from '../nic-fixture.ts';

const DD_EOP = 0x3;

describe('rx queue set-up', () => {
  const refusals: [string, number, number][] = [
    ['a ring base that is no multiple of 128', 0x1000, 0x40],
    ['a ring length of 0', 0x1008, 0],
    ['a ring length that is no multiple of 128', 0x1008, 136],
    ['a ring of more than 8192 descriptors', 0x1008, 8200 * 16],
    ['a head beyond the ring', 0x1010, 8],
    ['legacy descriptors', 0x1014, (1 << 28) | 2],
    ['header split', 0x1014, (1 << 28) | (2 << 25) | 2],
    ['a buffer size of 0', 0x1014, (1 << 28) | (1 << 25)],
  ];
  for (const [what, register, value] of refusals) {
    it(`refuses ${what}: a violation, and no frame is delivered`, () => {
      const bench = new Bench([{ vfs: 1 }]);
      const vf = bench.vf(0, 0);
      vf.startRx();
      vf.setWord(0x1028, 0);
      bench.nic.step(8);
      vf.setWord(register, value);
      vf.setWord(0x1028, 1 << 25);
      bench.nic.step(8);
      const kinds = bench.nic.recorder.violations.map((v) => v.kind);
      expect(kinds).toEqual(['ring-setup']);
      expect(bench.offer(0, frame())).toBe(OFFER.TAKEN);
      expect(vf.rx(0)[2]).toBe(0);
      expect(bench.row(0, 0)).toMatchObject({ delivered: 0, missedDisabled: 1 });
    });
  }

  it('records a tail beyond the ring once, and takes no frame until it is right', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ post: 8 });
    bench.nic.step(8);
    bench.offer(0, frame());
    bench.offer(0, frame());
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['tail-range']);
    expect(bench.row(0, 0)).toMatchObject({ missedNoDescriptor: 2 });
    vf.setWord(0x1018, 7);
    bench.offer(0, frame());
    expect(bench.row(0, 0)).toMatchObject({ delivered: 1 });
  });
});

describe('rx delivery', () => {
  it('does no DMA while bus mastering is off', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    vf.device.configWrite(4, 2, 0);
    bench.nic.step(8);
    bench.offer(0, frame());
    expect(vf.rx(0)[2]).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 0, missedDisabled: 1 });
  });

  it('writes frame and descriptor of a plain frame', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    const bytes = frame({ length: 63 });
    expect(bench.offer(0, bytes)).toBe(OFFER.TAKEN);
    expect(vf.rxData(0, 64)).toEqual([...bytes, 0]);
    expect(vf.rx(0)).toEqual([0, 0, DD_EOP, 63]);
    expect(vf.rx(1)[2]).toBe(0);
    expect(bench.nic.recorder.violations).toEqual([]);
  });

  it('names IPv4 with UDP, IPv6 with TCP and fragments in the packet type', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    const udp = frame({ type: 0x0800 });
    udp.splice(14, 10, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17);
    const fragment = [...udp];
    fragment[20] = 0x20;
    const options = [...udp];
    options[14] = 0x46;
    options[23] = 6;
    const ipv6 = frame({ type: 0x86dd, length: 80 });
    ipv6[20] = 6;
    for (const bytes of [udp, fragment, options, ipv6]) bench.offer(0, bytes);
    expect([0, 1, 2, 3].map((i) => vf.rx(i)[0])).toEqual([0x210, 0x010, 0x130, 0x140]);
  });

  it('pads a short frame from the wire with zeros to 60 bytes', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    vf.memory.views.u8.fill(0xee, vf.rxBuffers, vf.rxBuffers + 64);
    const bytes = frame({ length: 42 });
    bench.offer(0, bytes);
    expect(vf.rxData(0, 61)).toEqual([...bytes, ...new Array(18).fill(0), 0xee]);
    expect(vf.rx(0)[3]).toBe(60);
  });

  it('takes frames and buffers that are not word aligned', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    vf.postRx(0, vf.rxBuffers + 3);
    bench.nic.step(8);
    const bytes = frame({ length: 71 });
    bench.offer(0, bytes, false, 2);
    const at = vf.rxBuffers + 3;
    expect([...vf.memory.views.u8.subarray(at - 1, at + 72)]).toEqual([0, ...bytes, 0]);
  });

  it('wraps round the ring, and owns the descriptors from head to tail only', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ count: 8 });
    bench.nic.step(8);
    for (let i = 0; i < 7; i++) bench.offer(0, frame({ fill: i }));
    bench.offer(0, frame({ fill: 7 }));
    expect(bench.row(0, 0)).toMatchObject({ delivered: 7, missedNoDescriptor: 1 });
    expect(vf.counter(0x1010)).toBe(7);
    for (let i = 0; i < 3; i++) vf.postRx(i);
    vf.setWord(0x1018, 2);
    for (let i = 0; i < 3; i++) bench.offer(0, frame({ fill: 10 + i }));
    expect(vf.rx(7)[2]).toBe(DD_EOP);
    expect(vf.rxData(0, 60)).toEqual(frame({ fill: 11 }));
    expect(vf.rx(2)[2]).toBe(0);
    expect(vf.counter(0x1010)).toBe(2);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 10, missedNoDescriptor: 1 });
  });

  it('spreads a long frame over descriptors, with EOP and the frame fields in the last only', () => {
    const bench = new Bench([{ vfs: 1, pfMtu: 9000 }]);
    const vf = bench.vf(0, 0);
    expect(vf.request(bench.nic, [8, 2])).toBe(0xa0000008);
    expect(vf.request(bench.nic, [5, 9018])).toBe(0xa0000005);
    vf.startRx({ kib: 1 });
    bench.nic.step(8);
    const bytes = frame({ length: 2500, type: 0x0800 });
    bytes.splice(14, 10, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17);
    bench.offer(0, bytes);
    expect([0, 1, 2].map((i) => vf.rx(i))).toEqual([
      [0, 0, 1, 1024],
      [0, 0, 1, 1024],
      [0x210, 0, DD_EOP, 452],
    ]);
    const data = [...vf.rxData(0, 1024), ...vf.rxData(1, 1024), ...vf.rxData(2, 452)];
    expect(data).toEqual(bytes);
    expect(vf.rx(3)[2]).toBe(0);
  });

  it('drops a long frame whole where the ring holds only part of it', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ kib: 1, post: 1 });
    bench.nic.step(8);
    expect(bench.offer(0, frame({ length: 1500 }), true)).toBe(OFFER.LATER);
    bench.offer(0, frame({ length: 1500 }));
    expect(vf.rx(0)[2]).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ missedNoDescriptor: 1, delivered: 0 });
    bench.offer(0, frame({ length: 100 }));
    expect(vf.rx(0)[3]).toBe(100);
  });

  it('copies a buffer in pieces where its pages lie apart in the heap', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    const a = vf.memory.take(4096, 4096);
    const b = vf.memory.take(3 * 4096, 4096) + 8192;
    vf.device.dmaMap(0x10_0000, 4096, a, true, true);
    vf.device.dmaMap(0x10_1000, 4096, b, true, true);
    const d = vf.rxRing >>> 2;
    vf.memory.views.i32[d] = 0x10_1000 - 20;
    vf.memory.views.i32[d + 1] = 0;
    bench.nic.step(8);
    const bytes = frame({ length: 100 });
    bench.offer(0, bytes);
    const u8 = vf.memory.views.u8;
    expect([...u8.subarray(a + 4076, a + 4096), ...u8.subarray(b, b + 80)]).toEqual(bytes);
    expect(vf.rx(0)[2]).toBe(DD_EOP);
  });

  it('follows a ring whose pages lie apart in the heap', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    const a = vf.memory.take(4096, 4096);
    const b = vf.memory.take(3 * 4096, 4096) + 8192;
    vf.device.dmaMap(0x20_0000, 4096, a, true, true);
    vf.device.dmaMap(0x20_1000, 4096, b, true, true);
    vf.startRx({ count: 8 });
    vf.setWord(0x1028, 0);
    bench.nic.step(1);
    // 8 descriptors, 4 at the end of one page and 4 at the start of the next, are no multiple of 128 apart: 16 of them.
    vf.setWord(0x1000, 0x20_0f80);
    vf.setWord(0x1004, 0);
    vf.setWord(0x1008, 256);
    const h = vf.memory.views.i32;
    for (let i = 0; i < 16; i++) {
      const d = (i < 8 ? a + 0xf80 + i * 16 : b + (i - 8) * 16) >>> 2;
      h[d] = vf.rxBuffers + (i % 8) * 2048;
      h[d + 1] = 1;
      h[d + 2] = 0;
    }
    vf.setWord(0x1010, 0);
    vf.setWord(0x1028, 1 << 25);
    vf.setWord(0x1018, 15);
    bench.nic.step(8);
    for (let i = 0; i < 10; i++) bench.offer(0, frame());
    expect(h[((a + 0xf80 + 7 * 16) >>> 2) + 2]).toBe(DD_EOP);
    expect(h[(b >>> 2) + 2]).toBe(DD_EOP);
    expect(h[((b + 16) >>> 2) + 2]).toBe(DD_EOP);
    expect(h[((b + 32) >>> 2) + 2]).toBe(0);
  });
});

describe('rx faults', () => {
  it('writes nothing at all where one buffer of a frame is not mapped', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ kib: 1 });
    vf.memory.views.i32[(vf.rxRing >>> 2) + 5] = 7;
    bench.nic.step(8);
    const before = vf.memory.views.u8.slice(vf.rxRing, vf.rxBuffers + 8 * 2048);
    bench.offer(0, frame({ length: 1500 }));
    expect(vf.memory.views.u8.slice(vf.rxRing, vf.rxBuffers + 8 * 2048)).toEqual(before);
    const [fault] = bench.nic.recorder.faults;
    expect(fault).toMatchObject({ port: 0, vf: 0, write: true, sizeBytes: 476 });
    expect(fault?.iova).toBe(7 * 2 ** 32 + vf.rxBuffers + 2048);
    expect(bench.row(0, 0)).toMatchObject({ iommuFaults: 1, delivered: 0 });
  });

  it('writes nothing into a buffer that is mapped read-only', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    const page = vf.memory.take(4096, 4096);
    vf.device.dmaMap(0x30_0000, 4096, page, true, false);
    vf.memory.views.i32[vf.rxRing >>> 2] = 0x30_0000;
    vf.memory.views.i32[(vf.rxRing >>> 2) + 1] = 0;
    bench.nic.step(8);
    bench.offer(0, frame());
    expect(vf.memory.views.u8.slice(page, page + 4096).every((byte) => byte === 0)).toBe(true);
    expect(vf.rx(0)[2]).toBe(0);
    expect(bench.nic.recorder.faults).toHaveLength(1);
  });

  it('stops using a buffer address as soon as it is unmapped', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    bench.offer(0, frame());
    expect(vf.device.dmaUnmap(IOVA_BASE, vf.memory.views.u8.length)).toBe(
      vf.memory.views.u8.length,
    );
    bench.offer(0, frame());
    expect(vf.rx(1)[2]).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ delivered: 1, iommuFaults: 1 });
    // The ring is gone too: the queue hangs until it is enabled again.
    bench.offer(0, frame());
    expect(bench.row(0, 0)).toMatchObject({ iommuFaults: 1, missedDisabled: 1 });
  });
});

describe('rx flow', () => {
  it('says AGAIN to a closed-loop source without a descriptor, and counts nothing', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    expect(bench.offer(0, frame(), true)).toBe(OFFER.LATER);
    vf.startRx({ post: 1 });
    bench.nic.step(8);
    expect(bench.offer(0, frame(), true)).toBe(OFFER.TAKEN);
    expect(bench.offer(0, frame(), true)).toBe(OFFER.LATER);
    expect(bench.offer(0, frame({ dst: BROADCAST }), true)).toBe(OFFER.LATER);
    expect(bench.row(0, 0)).toMatchObject({
      delivered: 1,
      missedNoDescriptor: 0,
      missedDisabled: 0,
      filtered: 0,
    });
    vf.setWord(0x1018, 2);
    expect(bench.offer(0, frame(), true)).toBe(OFFER.TAKEN);
  });

  it('strips the tag into the descriptor with VME, and leaves it with VP otherwise', () => {
    for (const vme of [true, false]) {
      const bench = new Bench([{ vfs: 1 }]);
      const vf = bench.vf(0, 0);
      expect(vf.request(bench.nic, [0x1_0004, 100])).toBe(0xa0010004);
      vf.startRx({ vme });
      bench.nic.step(8);
      const tagged = frame({ tci: 0x6064, length: 64 });
      bench.offer(0, tagged);
      const stripped = [...tagged.slice(0, 12), ...tagged.slice(16)];
      expect(vf.rxData(0, vme ? 60 : 64)).toEqual(vme ? stripped : tagged);
      expect(vf.rx(0)).toEqual([0, 0, 0x3 | 0x8, vme ? (0x6064 << 16) | 60 : 64]);
    }
  });

  it('counts packets, octets with CRC and multicast in the BAR, broadcast apart', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.request(bench.nic, [8, 4]);
    expect(vf.request(bench.nic, [0x0c, 1])).toBe(0xa000000c);
    // Hash type 0 of 01:00:5e:00:00:42 is 0x420.
    vf.request(bench.nic, [0x1_0003, 0x420]);
    vf.startRx();
    bench.nic.step(8);
    bench.offer(0, frame({ length: 100 }));
    bench.offer(0, frame({ dst: [1, 0, 0x5e, 0, 0, 0x42] }));
    bench.offer(0, frame({ dst: BROADCAST }));
    expect(vf.counter(0x101c)).toBe(3);
    expect(vf.counter(0x1020)).toBe(104 + 64 + 64);
    expect(vf.counter(0x1024)).toBe(0);
    expect(vf.counter(0x1034)).toBe(1);
    // The hash match says so: PIF.
    expect(vf.rx(1)[2]).toBe(DD_EOP | 0x80);
    expect(vf.rx(2)[2]).toBe(DD_EOP);
  });

  it('keeps heads and counters out of the BAR while frames move, and brings them there within 2 ms or when idle', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx({ count: 64, post: 63 });
    bench.nic.step(8);
    bench.nic.step(8);
    bench.offer(0, frame());
    expect(vf.word(0x1010)).toBe(0);
    expect(vf.word(0x101c)).toBe(0);
    expect(vf.counter(0x1010)).toBe(1);
    expect(vf.counter(0x101c)).toBe(1);
  });

  it('spreads flows over queues with RSS as VFPSRTYPE.RQPL says, hash in the descriptor', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.device.mmioWrite(0x0300, 1 << 29);
    vf.startRx({ queue: 1 });
    const ring1 = vf.rxRing;
    vf.startRx({ queue: 0 });
    bench.nic.step(8);
    // Verification suite of Microsoft's RSS description: IPv4 with TCP.
    const hashes: [number[], number[], number, number, number][] = [
      [[66, 9, 149, 187], [161, 142, 100, 80], 2794, 1766, 0x51ccc178],
      [[199, 92, 111, 2], [65, 69, 140, 83], 14230, 4739, 0xc626b0ea],
    ];
    for (const [source, destination, sport, dport] of hashes) {
      const bytes = frame({ type: 0x0800 });
      bytes.splice(
        14,
        24,
        0x45,
        0,
        0,
        46,
        0,
        0,
        0x40,
        0,
        64,
        6,
        0,
        0,
        ...source,
        ...destination,
        sport >> 8,
        sport & 255,
        dport >> 8,
        dport & 255,
      );
      bench.offer(0, bytes);
    }
    expect(vf.rx(0).slice(0, 2)).toEqual([0x111, 0x51ccc178]);
    expect(vf.rx(1).slice(0, 2)).toEqual([0x111, 0xc626b0ea]);
    // UDP is hashed by its addresses alone.
    const udp = frame({ type: 0x0800 });
    const addresses = [24, 19, 198, 95, 12, 22, 207, 184];
    udp.splice(14, 20, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, ...addresses);
    bench.offer(0, udp);
    expect(vf.rx(2).slice(0, 2)).toEqual([0x212, 0xd2d0a5de]);
    // An odd hash selects queue 1.
    const odd = frame({ type: 0x0800 });
    const flow = [
      38,
      27,
      205,
      30,
      209,
      142,
      163,
      6,
      48228 >> 8,
      48228 & 255,
      2217 >> 8,
      2217 & 255,
    ];
    odd.splice(14, 24, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, ...flow);
    bench.offer(0, odd);
    const at = ring1 >>> 2;
    expect([...vf.memory.views.u32.subarray(at, at + 2)]).toEqual([0x111, 0xafc7327f]);
    expect(vf.rx(3)[2]).toBe(0);
  });

  it('marks each delivery for one interrupt a step, after the write-back', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    const seen: number[] = [];
    vf.device.mmioWrite(0x0120, 0x80);
    vf.device.mmioWrite(0x0108, 1);
    vf.device.connectVector(0, () => seen.push(vf.rx(1)[2]));
    bench.offer(0, frame());
    bench.offer(0, frame());
    expect(seen).toEqual([]);
    bench.nic.step(8);
    expect(seen).toEqual([DD_EOP]);
  });

  it('forgets the ring at a reset of the VF and clears ENABLE', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startRx();
    bench.nic.step(8);
    vf.reset(bench.nic);
    expect(vf.word(0x1028) & (1 << 25)).toBe(0);
    bench.offer(0, frame());
    expect(vf.rx(0)[2]).toBe(0);
    expect(bench.row(0, 0)).toMatchObject({ missedDisabled: 1 });
    expect(macOf(0, 0)).toHaveLength(6);
  });
});
