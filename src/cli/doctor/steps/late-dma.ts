// Step 9: whether the device writes to memory after ENABLE of its rx queue reads 0. Buffers are poisoned at that
// moment, descriptors remembered, and both watched for a millisecond while the peer goes on sending.

import { DESCRIPTOR_SIZE } from '../../../hw/descriptors.ts';
import { VFRDBAL, VFRXDCTL, VFSTATUS } from '../../../hw/registers.ts';
import { processArena } from '../../../memory/arena.ts';
import { BUF_UNIT } from '../../../memory/layout.ts';
import { POOL } from '../../../memory/mempool.ts';
import { docs, type Finding, judged, skipped, time } from '../finding.ts';
import { drained, frameTo, send, take } from '../frames.ts';
import { BUFFER_BYTES, type Patient, type RunningVf, RX_RING, waitFor } from '../patient.ts';

const ROUNDS = 8;
const WATCHED_US = 1000;
/** What the datasheet allows (4.6.7.1.2). */
const ALLOWED_US = 100;
const STOP_US = 20_000;
const POISON = 0x5a5a_5a5a;
const BURST = 8;
const FRAME_BYTES = 64;
/** The ring's, and a few that replace what was received. */
const BUFFERS = RX_RING + 32;

/** What came late. */
interface Late {
  readonly lastUs: number;
  readonly writes: number;
}

/** What the device does after it says that it stopped. */
export async function* lateDma(patient: Patient): AsyncGenerator<Finding> {
  const { subject, other } = patient;
  const what = 'writes after ENABLE of rx queue 0 reads 0';
  const expected = `none after ${ALLOWED_US} us`;
  const source = `${docs('5.8')}; 82599 datasheet 4.6.7.1.2`;
  if (other === undefined) {
    yield skipped(what, expected, source, 'no PEER was named, and nothing is on its way');
    return;
  }
  const self = await patient.start(subject.address, { metadata: true }, BUFFERS);
  const frames = Array.from({ length: BURST }, (_, i) => frameTo(self, other, FRAME_BYTES, i));
  const rounds: Late[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push(watch(patient, self, other, frames));
    drained(other, patient.clock, STOP_US);
    self.vf.stop();
    self.vf.start();
  }
  const lastUs = Math.max(...rounds.map((late) => late.lastUs));
  const writes = rounds.reduce((sum, late) => sum + late.writes, 0);
  yield judged(
    lastUs <= ALLOWED_US,
    what,
    expected,
    source,
    writes === 0
      ? `none in ${ROUNDS} rounds`
      : `${writes} in ${ROUNDS} rounds, the last after ${time(lastUs)}`,
    writes === 0 ? {} : { silicon: `late-dma=${Math.round(lastUs)}` },
  );
}

function watch(
  { clock }: Patient,
  self: RunningVf,
  other: RunningVf,
  frames: readonly Uint8Array[],
): Late {
  const { device, mempool } = self;
  const heap = processArena().views.i32;
  take(self, other);
  // The low word of an IOVA is the offset in the arena (docs/design.md sec 4).
  const ring = device.read32(VFRDBAL.offset) >>> 2;
  const ringEnd = ring + (RX_RING * DESCRIPTOR_SIZE) / 4;
  const first = (heap[mempool.handle.state + POOL.FIRST] * BUF_UNIT) >>> 2;
  const step = BUFFER_BYTES >>> 2;
  send(other, frames);
  const control = device.read32(VFRXDCTL.offset);
  device.write32(VFRXDCTL.offset, control & ~VFRXDCTL.mask.ENABLE);
  waitFor(
    clock,
    STOP_US,
    () => {
      device.read32(VFSTATUS.offset);
      return device.read32(VFRXDCTL.offset);
    },
    (value) => (value & VFRXDCTL.mask.ENABLE) === 0,
  );
  const startUs = clock.nowUs();
  for (let i = 0; i < BUFFERS; i++) heap[first + i * step] = POISON;
  const descriptors = heap.slice(ring, ringEnd);
  let lastUs = 0;
  let writes = 0;
  const found = (us: number): void => {
    lastUs = us;
    writes++;
  };
  for (let us = 0; us < WATCHED_US; us = clock.nowUs() - startUs) {
    send(other, frames);
    for (let i = 0; i < BUFFERS; i++) {
      if (heap[first + i * step] === POISON) continue;
      heap[first + i * step] = POISON;
      found(us);
    }
    for (let i = 0; i < descriptors.length; i++) {
      if (heap[ring + i] === descriptors[i]) continue;
      descriptors[i] = heap[ring + i];
      found(us);
    }
  }
  return { lastUs, writes };
}
