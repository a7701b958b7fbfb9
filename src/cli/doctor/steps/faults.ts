// Step 11: descriptors that point where nothing is mapped. The IOMMU has to refuse them: nothing goes out, nothing
// that this process owns changes, and after a restart the VF works as before.

import { DESCRIPTOR_SIZE, DTYP_DATA, TX_COMMAND, TX_STATUS } from '../../../hw/descriptors.ts';
import {
  VFRDBAL,
  VFRDH,
  VFRDT,
  VFRXDCTL,
  VFSTATUS,
  VFTDBAL,
  VFTDT,
} from '../../../hw/registers.ts';
import { processArena } from '../../../memory/arena.ts';
import { BUF_UNIT } from '../../../memory/layout.ts';
import { POOL } from '../../../memory/mempool.ts';
import { docs, type Finding, judged, skipped } from '../finding.ts';
import { collect, frameTo, isSame, send, take } from '../frames.ts';
import {
  BUFFER_BYTES,
  type Patient,
  type RunningVf,
  RX_RING,
  TX_RING,
  waitFor,
} from '../patient.ts';

/** Below everything that the arena maps: IOVA 1 MiB. */
const UNMAPPED = 0x10_0000;
const FRAME_BYTES = 64;
const MAYBE_US = 50_000;
const BOUND_US = 500_000;
/** A queue that stopped may still write for 100 us. */
const SETTLE_US = 1000;
const WORDS = DESCRIPTOR_SIZE / 4;

/** What the device does with addresses that are not its own. */
export async function* faults(patient: Patient): AsyncGenerator<Finding> {
  const { self, other, clock } = patient;
  const what = 'descriptors outside the map';
  const expected = 'nothing sent, nothing changed; the host logs an IOMMU fault';
  if (other === undefined) {
    yield skipped(what, expected, docs('9.3'), 'no PEER was named, which would see it');
    return;
  }
  take(other, self);
  badTx(self);
  const sent = collect(other, self, clock, 1, MAYBE_US).frames.length;
  yield judged(
    sent === 0,
    'tx descriptor outside the map',
    'nothing sent; the host logs an IOMMU fault',
    docs('9.3'),
    `${sent} frames at the peer`,
  );
  self.vf.restart();
  yield works(patient, self, other, 'tx');
  badRx(patient, self);
  const before = memoryOf(self);
  send(other, [frameTo(self, other, FRAME_BYTES, 0)]);
  clock.sleepUs(MAYBE_US);
  const changed = memoryOf(self).reduce((sum, word, i) => sum + Number(word !== before[i]), 0);
  yield judged(
    changed === 0,
    'rx descriptors outside the map',
    'nothing of this process changed; the host logs an IOMMU fault',
    docs('9.3'),
    `${changed} words of packet memory changed`,
  );
  self.vf.restart();
  yield works(patient, self, other, 'rx');
}

/** The words of all packet buffers, as they are now. */
function memoryOf({ mempool }: RunningVf): Int32Array {
  const heap = processArena().views.i32;
  const first = (heap[mempool.handle.state + POOL.FIRST] * BUF_UNIT) >>> 2;
  return heap.slice(first, first + (mempool.count * BUFFER_BYTES) / 4);
}

/** Posts a data descriptor past the driver, whose ring is out of step until the restart. */
function badTx({ device }: RunningVf): void {
  const tail = device.read32(VFTDT.offset);
  const { mask, shift } = TX_COMMAND;
  const heap = processArena().views.i32;
  const at = (device.read32(VFTDBAL.offset) >>> 2) + tail * WORDS;
  const command = (DTYP_DATA << shift.DTYP) | mask.EOP | mask.IFCS | mask.RS | mask.DEXT;
  heap.set([UNMAPPED, 0, FRAME_BYTES | command], at);
  heap[at + 3] = TX_STATUS.mask.CC | (FRAME_BYTES << TX_STATUS.shift.PAYLEN);
  device.write32(VFTDT.offset, (tail + 1) % TX_RING);
}

/** Stops the rx queue, turns every descriptor away, and starts it again: a device may hold those that it was given. */
function badRx({ clock }: Patient, { device }: RunningVf): void {
  const heap = processArena().views.i32;
  const { ENABLE } = VFRXDCTL.mask;
  const control = device.read32(VFRXDCTL.offset);
  const turn = (value: number): void => {
    device.write32(VFRXDCTL.offset, value);
    waitFor(
      clock,
      BOUND_US,
      () => {
        device.read32(VFSTATUS.offset);
        return device.read32(VFRXDCTL.offset);
      },
      (now) => ((now ^ value) & ENABLE) === 0,
    );
  };
  turn(control & ~ENABLE);
  clock.sleepUs(SETTLE_US);
  const ring = device.read32(VFRDBAL.offset) >>> 2;
  for (let i = 0; i < RX_RING; i++) heap.set([UNMAPPED, 0, 0, 0], ring + i * WORDS);
  device.write32(VFRDH.offset, 0);
  device.write32(VFRDT.offset, 0);
  turn(control | ENABLE);
  device.write32(VFRDT.offset, RX_RING - 1);
}

function works({ clock }: Patient, self: RunningVf, other: RunningVf, kind: string): Finding {
  const up = waitFor(
    clock,
    BOUND_US,
    () => Number(self.vf.link().up),
    (value) => value === 1,
  );
  const frame = frameTo(self, other, FRAME_BYTES, 1);
  send(other, [frame]);
  // Others may still be on their way.
  const arrived = waitFor(
    clock,
    BOUND_US,
    () => Number(take(self, other).some(({ bytes }) => isSame(bytes, frame))),
    (value) => value === 1,
  );
  const same = arrived.done;
  return judged(
    up.done && same,
    `a frame after the ${kind} fault and a restart`,
    'arrives',
    docs('5.1'),
    `link ${up.done ? 'up' : 'down'}, ${same ? 'arrived' : 'lost'}`,
  );
}
