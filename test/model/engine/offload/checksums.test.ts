import { describe, expect, it } from 'vitest';
import { insertChecksums } from '../../../../src/model/engine/offload/checksums.ts';
import { Bench, frame, macOf } from '../../nic-fixture.ts';

const OUT = [2, 0, 0, 0, 0, 7];
const SCTP = 2;
const TXSM = 1 << 9;

/** CRC32c, bit by bit: RFC 9260 appendix A, a second way to what the model does. */
function crc32c(bytes: readonly number[]): number[] {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? 0x82f6_3b78 : 0);
  }
  crc = ~crc;
  return [crc & 255, (crc >>> 8) & 255, (crc >>> 16) & 255, crc >>> 24];
}

it('sums the field of an IPv4 header as given, so that a preset cancels what IPLEN covers beyond it', () => {
  const ip = [0x45, 0, 0, 0x20, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
  // What follows the header sums to 0x1234; its complement in the field takes that out again.
  const preset = ip.toSpliced(10, 2, 0xed, 0xcb);
  const packet = Uint8Array.from([...new Array(14).fill(0), ...preset, 0x12, 0x30, 0, 4]);
  expect(insertChecksums(packet, 0, packet.length, (14 << 9) | 24, 1 << 10, true, false)).toBe('');
  // RFC 1071 by hand, over the 20 bytes of the header with 0 in the field.
  expect([...packet.subarray(24, 26)]).toEqual([0x26, 0xcb]);
});

describe('CRC32c of SCTP', () => {
  // RFC 3720 appendix B.4. The field at offset 8 is summed as given, so the vectors hold with it inside.
  it.each([
    { what: '32 bytes of zeroes', bytes: new Array(32).fill(0), crc: [0xaa, 0x36, 0x91, 0x8a] },
    { what: '32 bytes of ones', bytes: new Array(32).fill(255), crc: [0x43, 0xab, 0xa8, 0x62] },
    {
      what: '32 incrementing bytes',
      bytes: Array.from({ length: 32 }, (_, i) => i),
      crc: [0x4e, 0x79, 0xdd, 0x46],
    },
    {
      what: '32 decrementing bytes',
      bytes: Array.from({ length: 32 }, (_, i) => 31 - i),
      crc: [0x5c, 0xdb, 0x3f, 0x11],
    },
  ])('is that of RFC 3720 for $what', ({ bytes, crc }) => {
    const packet = Uint8Array.from([...new Array(34).fill(0), ...bytes]);
    const commands = (SCTP << 11) | (1 << 10);
    expect(insertChecksums(packet, 0, packet.length, (14 << 9) | 20, commands, false, true)).toBe(
      '',
    );
    expect([...packet.subarray(42, 46)]).toEqual(crc);
    expect(crc32c(bytes)).toEqual(crc);
  });

  it('is inserted into a frame that asks for it, and the queue goes on', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startTx();
    vf.context({ ipLength: 20, l4: SCTP });
    const packet = frame({ dst: OUT, src: macOf(0, 0), type: 0x0800, length: 95 });
    packet.splice(42, 4, 0, 0, 0, 0);
    const first = vf.send(packet, { status: 0x80 | TXSM });
    const second = vf.send(packet, { status: 0x80 | TXSM });
    vf.kick();
    bench.nic.step(8);
    const expected = packet.toSpliced(42, 4, ...crc32c(packet.slice(34)));
    expect(bench.wires[0].frames.map((f) => f.bytes)).toEqual([expected, expected]);
    expect([vf.done(first), vf.done(second)]).toEqual([true, true]);
    expect(bench.nic.recorder.violationCount).toBe(0);
  });

  it('stops the queue where the frame ends inside the SCTP header', () => {
    const bench = new Bench([{ vfs: 1 }]);
    const vf = bench.vf(0, 0);
    vf.startTx();
    vf.context({ ipLength: 40, l4: SCTP });
    vf.send(frame({ dst: OUT, src: macOf(0, 0), length: 65 }), { status: 0x80 | TXSM });
    vf.kick();
    bench.nic.step(8);
    expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
    expect(bench.wires[0].frames).toEqual([]);
  });
});
