// Step 7: the driver itself, and frames out of it: one, then 33, which is one more than it takes until a descriptor
// asks for a report. To the peer, or where none was named to the VF's own address. And whether interrupts arrive,
// for which a device masters the bus as it does for DMA.

import { COMMAND_BUS_MASTER, CONFIG_COMMAND } from '../../../hw/pci.ts';
import { VTEICS, VTEIMC, VTEIMS } from '../../../hw/registers.ts';
import { maskInterrupts } from '../../../ixgbevf/mailbox/handshake.ts';
import { native } from '../../../support/native.ts';
import { docs, type Finding, judged, time } from '../finding.ts';
import { collect, drained, frameTo, isSame, send } from '../frames.ts';
import { type Patient, type RunningVf, waitFor, waitLong } from '../patient.ts';

const FRAME_BYTES = 64;
const BOUND_US = 500_000;
/** A port that came up a moment ago may still be negotiating. */
const LINK_US = 3_000_000;
/** Of a VF that may never get what it sends to itself. */
const SELF_US = 50_000;
const BURST = 33;
/** That the host puts on. */
const TAG_BYTES = 4;
/** Slots between two reports. */
const REPORTS = 32;

/** What the driver gets out of the device. */
export async function* transmit(patient: Patient): AsyncGenerator<Finding> {
  const { subject } = patient;
  yield interrupt(patient);
  if (subject.peer !== undefined) yield await comesUp(patient, subject.peer);
  yield await comesUp(patient, subject.address);
  const { self, other } = patient;
  const up = await waitLong(
    patient,
    LINK_US,
    () => Number(self.vf.link().up),
    (value) => value === 1,
  );
  const link = self.vf.link();
  const isUp = 'up; the PF confirmed this VF, and the host did not disable its link';
  const linkSeen = `${link.up ? 'up' : 'down'}, ${link.speedMbps} Mbit/s, after ${time(up.us)}`;
  yield judged(link.up, 'link', isUp, docs('5.6'), linkSeen);
  const before = counted(self, other);
  for (const count of [1, BURST]) yield* burst(patient, count);
  yield counters(patient, before);
}

/** A cause set by hand, VTEICS, has to come out of the eventfd of its vector. */
function interrupt({ device, clock }: Patient): Finding {
  const command = device.readConfig16(CONFIG_COMMAND);
  device.writeConfig16(CONFIG_COMMAND, command | COMMAND_BUS_MASTER);
  const fd = native().eventfd(0, 0);
  const events = Int32Array.of(fd, 1, 0);
  try {
    device.enableVectors([fd]);
    device.write32(VTEIMS.offset, 1);
    device.write32(VTEICS.offset, 1);
    const { done, us } = waitFor(
      clock,
      BOUND_US,
      () => native().poll(events, 1, 0),
      (ready) => ready > 0,
    );
    device.write32(VTEIMC.offset, VTEIMC.mask.CAUSE);
    maskInterrupts(device);
    device.disableVectors();
    const seen = done ? `after ${time(us)}` : `none in ${time(us)}`;
    const extras = done ? {} : { silicon: 'msix-lost' };
    return judged(done, 'MSI-X vector 0, set by VTEICS', 'its eventfd', docs('8.4'), seen, extras);
  } finally {
    native().close(fd);
  }
}

async function comesUp(patient: Patient, address: string): Promise<Finding> {
  const startUs = patient.clock.nowUs();
  const { vf } = await patient.start(address, { metadata: true });
  const us = patient.clock.nowUs() - startUs;
  const seen = `MAC ${vf.mac}${vf.macAssigned ? '' : ', not assigned'}, API ${vf.apiVersion}, ${vf.maxQueues} queues, in ${time(us)}`;
  return judged(true, `driver on ${address}`, 'up', docs('5.1'), seen);
}

function* burst({ self, other, clock }: Patient, count: number): Generator<Finding> {
  const to = other ?? self;
  const frames = Array.from({ length: count }, (_, i) => frameTo(to, self, FRAME_BYTES, i));
  const sent = send(self, frames);
  const { us, left } = drained(self, clock, BOUND_US);
  const inRing = waitFor(
    clock,
    BOUND_US,
    () => self.vf.tx[0].clean(),
    (value) => value < REPORTS,
  );
  const what = count === 1 ? '1 frame' : `${count} frames`;
  yield judged(
    sent === count && left === 0 && inRing.done,
    `tx of ${what}`,
    `taken by the device; a report (DD) at every descriptor that asks, which is each ${REPORTS}th`,
    docs('3.5'),
    `${sent} posted, ${left} not taken after ${time(us)}, ${inRing.value} without report after ${time(inRing.us)}`,
  );
  const arrived = collect(to, self, clock, count, other === undefined ? SELF_US : BOUND_US);
  const same = arrived.frames.filter(({ bytes }, i) => isSame(bytes, frames[i])).length;
  const seen = `${arrived.frames.length} arrived, ${same} the same byte by byte, in ${time(arrived.us)}`;
  yield other === undefined
    ? judged(true, `${what} to itself`, 'open: none, or all', docs('7.3'), seen)
    : judged(same === count, `${what} at the peer`, 'all, in order, unchanged', docs('7.3'), seen);
}

/** Counters of the sender and, where there is one, of the peer. */
function counted(self: RunningVf, other: RunningVf | undefined): readonly number[] {
  const { txPackets, txBytes } = self.vf.stats();
  return [txPackets, txBytes, other?.vf.stats().rxPackets ?? 0];
}

function counters({ self, other, clock, grant }: Patient, before: readonly number[]): Finding {
  const frames = 1 + BURST;
  const wanted = [frames, frames * FRAME_BYTES, other === undefined ? 0 : frames];
  const tags = grant?.classes === 1 ? frames * TAG_BYTES : 0;
  let now: number[] = [];
  const { done, us } = waitFor(
    clock,
    BOUND_US,
    () => {
      now = counted(self, other).map((value, i) => value - before[i]);
      const [packets, bytes, received] = now;
      // Others may send to the peer as well.
      const isRight = bytes === wanted[1] || bytes === wanted[1] + tags;
      return Number(packets === wanted[0] && isRight && received >= wanted[2]);
    },
    (value) => value === 1,
  );
  const [packets, bytes, received] = now;
  return judged(
    done,
    'VFGPTC, VFGOTC, and VFGPRC of the peer',
    `${wanted.join(', ')} more (octets less 4 of CRC a frame; a port VLAN may add 4; the peer may hear others)`,
    docs('2.5'),
    `${packets}, ${bytes}, ${other === undefined ? 'no peer' : received}, after ${time(us)}`,
  );
}
