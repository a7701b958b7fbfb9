import { expect, it } from 'vitest';
import { macOf } from '../../nic-fixture.ts';
import {
  ACK,
  ADDRESSES4,
  ADDRESSES6,
  OUT,
  payloadOf,
  post,
  pseudo,
  sent,
  started,
  sum16,
  tcp,
  word,
} from './segmentation.ts';

const MSS = 100;
const OUTER = [192, 0, 2, 1, 192, 0, 2, 2];
const INNER_MACS = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/**
 * A VXLAN request as linux ixgbevf_tso posts it (GSO_PARTIAL): lengths behind the outer header are those of one
 * segment, TotalLength is 0, and the outer checksum field cancels what IPLEN covers beyond the outer header.
 */
function vxlan(inner: readonly number[], payload: readonly number[]): number[] {
  const innerBytes = inner.length + MSS;
  const udp = [0xc0, 0x01, 0x12, 0xb5, (16 + innerBytes) >> 8, (16 + innerBytes) & 255, 0, 0];
  const beyond = [...udp, 8, 0, 0, 0, 0, 0, 42, 0, ...inner];
  const cancel = ~sum16(beyond.slice(0, -20)) & 0xffff;
  const outer = [0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 17, cancel >> 8, cancel & 255, ...OUTER];
  return [...OUT, ...macOf(0, 0), 8, 0, ...outer, ...beyond, ...payload];
}

it.each([
  {
    inside: 'IPv6',
    type: [0x86, 0xdd],
    ip: [0x60, 0, 0, 0, 0, 20 + MSS, 6, 64, ...ADDRESSES6],
    addresses: ADDRESSES6,
  },
  {
    // With the MANGLEID feature, which lets the inner identification stand still.
    inside: 'IPv4',
    type: [8, 0],
    ip: [0x45, 0, 0, 40 + MSS, 0x56, 0x78, 0x40, 0, 64, 6, 0x11, 0x22, ...ADDRESSES4],
    addresses: ADDRESSES4,
  },
])(
  'cuts VXLAN with $inside inside into frames whose outer and inner checksums hold',
  ({ type, ip, addresses }) => {
    const { bench, vf } = started();
    const payload = payloadOf(3 * MSS);
    const inner = [...INNER_MACS, ...type, ...ip, ...tcp(addresses, ACK)];
    post(vf, vxlan(inner, payload), { ipBytes: 50 + ip.length, mss: MSS });
    bench.nic.step(64);
    const frames = sent(bench);
    const innerAt = 50;
    const tcpAt = innerAt + 14 + ip.length;
    expect(frames.map((f) => f.length)).toEqual(new Array(3).fill(tcpAt + 20 + MSS));
    expect(frames.map((f) => sum16(f.slice(14, 34)))).toEqual([0xffff, 0xffff, 0xffff]);
    expect(frames.map((f) => word(f, 16))).toEqual(new Array(3).fill(tcpAt + 20 + MSS - 14));
    expect(frames.map((f) => word(f, 18))).toEqual([0x1234, 0x1235, 0x1236]);
    expect(frames.map((f) => f.slice(innerAt, tcpAt))).toEqual(
      new Array(3).fill(inner.slice(0, -20)),
    );
    for (const f of frames) {
      expect(sum16(f.slice(tcpAt), pseudo(addresses) + 20 + MSS)).toBe(0xffff);
    }
    expect(frames.flatMap((f) => f.slice(tcpAt + 20))).toEqual(payload);
    expect(bench.nic.recorder.violationCount).toBe(0);
  },
);
