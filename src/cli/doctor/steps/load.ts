// Step 12: as many of the shortest frames as the device takes, for ten seconds, to the peer or to itself. One thread
// sends and receives, so it is no measurement of the driver: `ixy pktgen` is.

import { setImmediate } from 'node:timers/promises';
import { type PacketViews, packetViews } from '../../../memory/packet-views.ts';
import { scaled } from '../../run/scaled.ts';
import { docs, type Finding, judged, time } from '../finding.ts';
import { frameTo } from '../frames.ts';
import type { Patient, RunningVf } from '../patient.ts';

const LOAD_US = 10_000_000;
/** Between two looks at signals. */
const SLICE_US = 20_000;
const LAST_US = 50_000;
const BATCH = 32;
/** For bursts; both VFs' buffers stay within a common limit of locked memory, 8 MiB. */
const RING = 512;
const FRAME_BYTES = 60;
/** Of 64 bytes at 10 Gbit/s, with what a frame costs on the wire. */
const LINE_RATE_PPS = 14_880_952;

/** What the device does under load. */
export async function* load(patient: Patient): AsyncGenerator<Finding> {
  const { clock, subject } = patient;
  const to = await patient.start(subject.peer ?? subject.address, { rxRingSize: RING });
  const self =
    subject.peer === undefined ? to : await patient.start(subject.address, { rxRingSize: RING });
  const flow = new Flow(self, to);
  const startUs = clock.nowUs();
  let us = 0;
  while (us < LOAD_US && !subject.over()) {
    const endUs = clock.nowUs() + SLICE_US;
    while (clock.nowUs() < endUs) flow.move();
    await setImmediate();
    us = clock.nowUs() - startUs;
  }
  const lastUs = clock.nowUs() + LAST_US;
  while (clock.nowUs() < lastUs) flow.receive();
  const { sent, received } = flow;
  const rate = (sent / us) * 1e6;
  yield judged(
    rate > LINE_RATE_PPS * 0.99 && (subject.peer === undefined || received === sent),
    `load ${subject.peer === undefined ? 'to itself' : 'to the peer'}`,
    `${scaled(LINE_RATE_PPS, 'pps')} of 64 bytes; all arrive, or were dropped for want of a descriptor`,
    docs('7.8'),
    `${scaled(rate, 'pps')} sent for ${time(us)}; ${sent} sent, ${received} received`,
  );
}

/** Frames from one VF to another, without a pause. */
class Flow {
  sent = 0;
  received = 0;
  private readonly from: RunningVf;
  private readonly to: RunningVf;
  private readonly bufs = new Int32Array(BATCH);
  private readonly frame: Uint8Array;
  private readonly views: PacketViews;

  constructor(from: RunningVf, to: RunningVf) {
    this.from = from;
    this.to = to;
    this.frame = frameTo(to, from, FRAME_BYTES, 0);
    this.views = packetViews(from.mempool);
  }

  move(): void {
    const { bufs, views } = this;
    const { mempool, vf } = this.from;
    const n = mempool.takeBatch(bufs, 0, BATCH);
    for (let i = 0; i < n; i++) views.fill(bufs[i], this.frame);
    const taken = vf.tx[0].batch(bufs, 0, n);
    mempool.giveBatch(bufs, taken, n - taken);
    this.sent += taken;
    this.receive();
  }

  receive(): void {
    const { bufs } = this;
    const n = this.to.vf.rx[0].batch(bufs, 0, BATCH);
    this.to.mempool.giveBatch(bufs, 0, n);
    this.received += n;
  }
}
