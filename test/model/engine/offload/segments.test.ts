import { describe, expect, it } from 'vitest';
import { macOf, type RawVf } from '../../nic-fixture.ts';
import {
  ACK,
  ADDRESSES4,
  ADDRESSES6,
  CWR,
  FIN_PSH,
  long,
  OUT,
  payloadOf,
  post,
  pseudo,
  request4,
  sent,
  started,
  sum16,
  tcp,
  word,
} from './segmentation.ts';

/** True where both checksums of an IPv4 frame hold. */
function checksumsHold(frame: readonly number[]): boolean {
  const total = word(frame, 16);
  const segment = frame.slice(34, 14 + total);
  return (
    sum16(frame.slice(14, 34)) === 0xffff &&
    sum16(segment, pseudo(ADDRESSES4) + segment.length) === 0xffff
  );
}

describe('segmentation requests that are refused', () => {
  const bytes = request4(payloadOf(150));
  const cases: [string, (vf: RawVf) => void][] = [
    ['UDP', (vf) => post(vf, bytes, { l4: 0 })],
    ['an MSS of 0', (vf) => post(vf, bytes, { mss: 0 })],
    ['an IPLEN below the IPv4 header', (vf) => post(vf, bytes, { ipBytes: 16 })],
    ['an IPLEN below the IPv6 header', (vf) => post(vf, bytes, { ipv4: false })],
    ['an L4LEN below the TCP header', (vf) => post(vf, bytes, { l4Bytes: 16 })],
    ['a PAYLEN with the headers in it', (vf) => post(vf, bytes, {}, undefined, { payload: 204 })],
    ['no payload', (vf) => post(vf, bytes.slice(0, 54), {})],
    ['no TXSM', (vf) => post(vf, bytes, {}, undefined, { status: 0x180 })],
    ['IPv4 without IXSM', (vf) => post(vf, bytes, {}, undefined, { status: 0x280 })],
    [
      'frames longer than the hardware sends',
      (vf) => post(vf, request4(payloadOf(9700)), { mss: 9672 }, [9754]),
    ],
  ];
  for (const [what, request] of cases) {
    it(`stops the queue on ${what}`, () => {
      const { bench, vf } = started();
      request(vf);
      bench.nic.step(64);
      bench.nic.step(64);
      expect(bench.nic.recorder.violations.map((v) => v.kind)).toEqual(['descriptor']);
      expect(sent(bench)).toEqual([]);
      expect(vf.done(2)).toBe(false);
    });
  }

  it('stops the queue where a buffer is not mapped, without DD', () => {
    const { bench, vf } = started();
    const last = post(vf, request4(payloadOf(250)), {}, [54, 250]);
    vf.memory.views.i32[(vf.txRing >>> 2) + last * 4 + 1] = 9;
    bench.nic.step(64);
    expect([sent(bench).length, vf.done(last)]).toEqual([0, false]);
    expect(bench.nic.recorder.faults).toHaveLength(1);
  });
});

describe('segmentation', () => {
  it('cuts IPv4 into frames whose lengths, ids, sequence numbers and checksums are right', () => {
    const { bench, vf } = started();
    const payload = payloadOf(250);
    const last = post(vf, request4(payload, ACK | FIN_PSH | CWR), {}, [54, 20, 230]);
    bench.nic.step(64);
    const frames = sent(bench);
    expect(frames.map((f) => f.length)).toEqual([154, 154, 104]);
    expect(frames.map((f) => word(f, 16))).toEqual([140, 140, 90]);
    expect(frames.map((f) => word(f, 18))).toEqual([0xffff, 0, 1]);
    expect(frames.map((f) => long(f, 38))).toEqual([0xffff_ff00, 0xffff_ff64, 0xffff_ffc8]);
    expect(frames.map((f) => f[47])).toEqual([ACK | CWR, ACK, ACK | FIN_PSH]);
    expect(frames.flatMap((f) => f.slice(54))).toEqual(payload);
    expect(frames.map(checksumsHold)).toEqual([true, true, true]);
    expect([vf.done(last), vf.counter(0x201c), vf.counter(0x2020)]).toEqual([true, 3, 424]);
    expect(bench.nic.recorder.violationCount).toBe(0);
  });

  it('carries the sequence number over 2^32', () => {
    const { bench, vf } = started();
    post(vf, request4(payloadOf(400)), {});
    bench.nic.step(64);
    expect(sent(bench).map((f) => long(f, 38))).toEqual([
      0xffff_ff00, 0xffff_ff64, 0xffff_ffc8, 0x2c,
    ]);
    expect(sent(bench).every(checksumsHold)).toBe(true);
  });

  it('cuts IPv6, which has no header checksum', () => {
    const { bench, vf } = started();
    const ip = [0x60, 0, 0, 0, 0, 0, 6, 64, ...ADDRESSES6];
    const header = [...OUT, ...macOf(0, 0), 0x86, 0xdd, ...ip, ...tcp(ADDRESSES6, ACK)];
    post(vf, [...header, ...payloadOf(120)], { ipv4: false, ipBytes: 40 }, undefined, {
      status: 0x280,
    });
    bench.nic.step(64);
    expect(sent(bench).map((f) => [f.length, word(f, 18)])).toEqual([
      [174, 120],
      [94, 40],
    ]);
    for (const frame of sent(bench)) {
      const segment = frame.slice(54);
      expect(sum16(segment, pseudo(ADDRESSES6) + segment.length)).toBe(0xffff);
    }
  });

  it('leaves FIN and PSH to a request of one frame, which is first and last', () => {
    const { bench, vf } = started();
    post(vf, request4(payloadOf(60), ACK | FIN_PSH | CWR), {});
    bench.nic.step(64);
    expect(sent(bench).map((f) => [f.length, f[47]])).toEqual([[114, ACK | FIN_PSH | CWR]]);
  });

  it('tags every frame, and pads a short last one', () => {
    const { bench, vf } = started();
    vf.request(bench.nic, [0x1_0004, 5]);
    post(vf, request4(payloadOf(101)), { tci: 0x6005 }, undefined, { vle: true });
    bench.nic.step(64);
    expect(sent(bench).map((f) => f.slice(12, 16))).toEqual([
      [0x81, 0, 0x60, 5],
      [0x81, 0, 0x60, 5],
    ]);
    expect(sent(bench).map((f) => f.length)).toEqual([158, 60]);
  });

  it('goes on in the next step where a request has more frames than a step moves', () => {
    const { bench, vf } = started();
    const payload = payloadOf(20_000);
    const last = post(vf, request4(payload), {}, [10_054, 10_000]);
    expect([bench.nic.step(64), vf.done(last)]).toEqual([64, false]);
    for (let i = 0; i < 4; i++) bench.nic.step(64);
    expect(vf.done(last)).toBe(true);
    expect(sent(bench)).toHaveLength(200);
    expect(sent(bench).flatMap((f) => f.slice(54))).toEqual(payload);
  });

  it('forgets a request that was under way when the queue is disabled', () => {
    const { bench, vf } = started();
    post(vf, request4(payloadOf(20_000)), {}, [10_054, 10_000]);
    bench.nic.step(64);
    vf.setWord(0x2028, 0);
    bench.nic.step(1);
    const before = sent(bench).length;
    vf.startTx({ count: 64 });
    post(vf, request4(payloadOf(150)), {});
    bench.nic.step(64);
    expect(
      sent(bench)
        .slice(before)
        .map((f) => long(f, 38)),
    ).toEqual([0xffff_ff00, 0xffff_ff64]);
  });

  it('works across the ring end', () => {
    const { bench, vf } = started(8);
    for (let i = 0; i < 5; i++) {
      post(vf, request4(payloadOf(250)), {}, [60, 100, 144]);
      bench.nic.step(64);
    }
    expect(sent(bench)).toHaveLength(15);
    expect(sent(bench).every(checksumsHold)).toBe(true);
  });
});
