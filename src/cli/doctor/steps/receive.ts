// Step 8: frames into the device, sent by the peer: of every kind of length, with a tag that stays and one that is
// stripped, longer than the VF asked for, and more than its ring holds.

import { DESCRIPTOR_SIZE, RX_FLAGS, RX_STATUS } from '../../../hw/descriptors.ts';
import { VF_DEVICES } from '../../../hw/pci.ts';
import { VFRDBAL } from '../../../hw/registers.ts';
import { processArena } from '../../../memory/arena.ts';
import { MailboxError } from '../../../support/errors.ts';
import { docs, type Finding, hex, judged, skipped } from '../finding.ts';
import {
  collect,
  drained,
  frameTo,
  isSame,
  type Received,
  send,
  take,
  withoutTag,
} from '../frames.ts';
import { type Patient, type RunningVf, RX_RING, waitFor } from '../patient.ts';

const BOUND_US = 500_000;
/** Long enough for a frame that comes, and short for one that does not. */
const MAYBE_US = 50_000;
/** The shortest on the wire, around every power of two, the longest of an MTU of 1,500. */
const LENGTHS: readonly number[] = [60, 61, 64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 1514];
const SHORT = 20;
const PADDED = 60;
const OVERSIZE = 1600;
const VLAN = 100;
const TAG_BYTES = 4;
const DESCRIPTOR_WORDS = DESCRIPTOR_SIZE / 4;
const SLOTS: readonly number[] = Array.from({ length: RX_RING }, (_, i) => i);
const AFTER = 8;

/** What the driver gets into memory. */
export async function* receive(patient: Patient): AsyncGenerator<Finding> {
  const { subject, other, grant } = patient;
  if (other === undefined || subject.peer === undefined) {
    yield skipped('frames received', 'those that a peer sends', docs('7.2'), 'no PEER was named');
    return;
  }
  if (!(yield* lengths(patient, other))) {
    yield skipped('the rest of this step', 'frames that arrive', docs('7.2'), 'one did not');
    return;
  }
  if (grant?.classes === 1) yield portVlan(patient, other);
  yield tag(patient, other, false);
  await patient.start(subject.address, { metadata: true, stripVlan: true });
  yield tag(patient, other, true);
  await patient.start(subject.address, { metadata: true });
  yield oversize(patient, other);
  yield emptyRing(patient, other);
}

/** Sends one frame to the patient. @returns it, and what arrived */
function one(
  { self, clock }: Patient,
  other: RunningVf,
  length: number,
  vlan?: number,
  boundUs = BOUND_US,
): { sent: Uint8Array; got: Received | undefined } {
  take(self, other);
  const sent = frameTo(self, other, length, length, vlan);
  send(other, [sent]);
  const [got] = collect(self, other, clock, 1, boundUs).frames;
  return { sent, got };
}

/** @returns whether all arrived; the first that does not is the last that is sent */
function* lengths(patient: Patient, other: RunningVf): Generator<Finding, boolean> {
  const rows: { readonly got: number; readonly same: boolean }[] = [];
  for (const length of LENGTHS) {
    const { sent, got } = one(patient, other, length);
    rows.push({ got: got?.bytes.length ?? 0, same: got !== undefined && isSame(got.bytes, sent) });
    if (got === undefined) break;
  }
  yield judged(
    rows.every(({ same }) => same),
    'lengths',
    `${LENGTHS.join(', ')} bytes, unchanged, without CRC`,
    docs('7.7'),
    rows.map(({ got, same }) => (same || got === 0 ? got : `${got}, other bytes`)).join(', '),
  );
  if (rows.at(-1)?.got === 0) return false;
  const { sent, got } = one(patient, other, SHORT);
  // The wire has 60 bytes with the tag that the host puts on, which is taken off again.
  const tagged = patient.grant?.classes === 1 ? TAG_BYTES : 0;
  const length = got?.bytes.length ?? 0;
  yield judged(
    got !== undefined &&
      [PADDED, PADDED - tagged].includes(length) &&
      isSame(got.bytes.subarray(0, SHORT), sent),
    `a frame of ${SHORT} bytes`,
    `padded to ${PADDED}, with the tag of a port VLAN`,
    docs('7.7'),
    `${length}`,
  );
  return true;
}

/**
 * A tag that the PF put in front of a frame shows, or does not, by the kind of chip. The driver takes it off and says
 * nothing of it, so the descriptor is read before the driver reads it.
 */
function portVlan({ self, clock }: Patient, other: RunningVf): Finding {
  const { device } = self;
  take(self, other);
  send(other, [frameTo(self, other, PADDED, 0)]);
  const ring = device.read32(VFRDBAL.offset) >>> 2;
  const heap = processArena().views.u32;
  const statusOf = (slot: number): number => heap[ring + slot * DESCRIPTOR_WORDS + 2];
  const { value: slot } = waitFor(
    clock,
    BOUND_US,
    () => SLOTS.findIndex((i) => (statusOf(i) & RX_STATUS.mask.DD) !== 0),
    (found) => found >= 0,
  );
  const status = slot < 0 ? 0 : statusOf(slot);
  const words = heap.slice(ring + slot * DESCRIPTOR_WORDS, ring + (slot + 1) * DESCRIPTOR_WORDS);
  take(self, other);
  const shown = (status & RX_STATUS.mask.VP) !== 0;
  const hides = VF_DEVICES[device.deviceId]?.ownRss === true;
  return judged(
    slot >= 0 && shown !== hides,
    'tag of the port VLAN',
    hides ? 'hidden by an X550' : 'shown by an 82599 and an X540',
    docs('4.7'),
    slot < 0 ? 'no frame' : `descriptor ${Array.from(words, hex).join(' ')}, VP ${Number(shown)}`,
    slot < 0 ? {} : { silicon: `hide-vlan=${shown ? 'off' : 'on'}` },
  );
}

function tag(patient: Patient, other: RunningVf, strip: boolean): Finding {
  const what = `tag with VME ${Number(strip)}`;
  const expected = strip
    ? 'taken out, in the descriptor, VP 1'
    : 'in the frame; VP 1, as DPDK has it';
  const source = docs('7.7');
  try {
    for (const { vf } of [patient.self, other]) if (!vf.vlans.includes(VLAN)) vf.addVlan(VLAN);
  } catch (error) {
    if (!(error instanceof MailboxError)) throw error;
    return skipped(what, expected, source, error.message);
  }
  const { sent, got } = one(patient, other, PADDED + 4, VLAN);
  if (got === undefined) return judged(false, what, expected, source, 'no frame');
  const isTagged = (got.flags & RX_FLAGS.mask.VP) !== 0;
  const isRight = strip
    ? isSame(got.bytes, withoutTag(sent)) && got.vlan === VLAN
    : isSame(got.bytes, sent);
  const vlan = strip ? `, tag ${got.vlan}` : '';
  const seen = `${got.bytes.length} bytes, VP ${Number(isTagged)}${vlan}, flags ${hex(got.flags)}`;
  return judged(isRight && isTagged, what, expected, source, seen);
}

function oversize(patient: Patient, other: RunningVf): Finding {
  const { sent, got } = one(patient, other, OVERSIZE, undefined, MAYBE_US);
  const whole = got !== undefined && isSame(got.bytes, sent);
  const next = one(patient, other, PADDED);
  const after = next.got !== undefined && isSame(next.got.bytes, next.sent);
  return judged(
    (got === undefined || whole) && after,
    `${OVERSIZE} bytes, where the VF asked for ${patient.self.vf.maxFrame}`,
    'dropped, or whole where the PF takes more; the next frame arrives',
    docs('7.7'),
    `${got === undefined ? 'dropped' : `${got.bytes.length} bytes, ${whole ? 'whole' : 'changed'}`}; next one ${after ? 'arrived' : 'lost'}`,
  );
}

function emptyRing(patient: Patient, other: RunningVf): Finding {
  const { self, clock } = patient;
  take(self, other);
  const room = RX_RING - 1;
  const frames = Array.from({ length: 2 * RX_RING }, (_, i) => frameTo(self, other, PADDED, i));
  send(other, frames);
  const { left } = drained(other, clock, BOUND_US);
  const held = take(self, other).length;
  // The ring has room again: what comes now has waited somewhere instead of being dropped.
  const late = collect(self, other, clock, frames.length, MAYBE_US).frames.length;
  send(other, frames.slice(0, AFTER));
  const after = collect(self, other, clock, AFTER, BOUND_US).frames.length;
  return judged(
    left === 0 && held > 0 && held <= room && late === 0 && after === AFTER,
    `${frames.length} frames for a ring of ${RX_RING} that nobody empties`,
    `${room} kept, fewer where others send too, the rest dropped without holding up the sender; ${AFTER} more arrive once it was emptied`,
    docs('7.8'),
    `${held} kept, ${late} came later, ${left} still with the sender, then ${after} of ${AFTER}`,
  );
}
