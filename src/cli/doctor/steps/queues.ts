// Step 6: queues off and on, rx and tx, each that the PF granted, and what those answer that it did not. Bus
// mastering is off and no tail is written, so that no descriptor is ever fetched.

import { at } from '../../../hw/define.ts';
import { DESCRIPTOR_SIZE } from '../../../hw/descriptors.ts';
import {
  ALL_ONES,
  DESCTYPE_ADVANCED_ONE_BUFFER,
  MAX_QUEUES,
  RX_QUEUE,
  TX_QUEUE,
  VFRXDCTL,
  VFSRRCTL,
  VFSTATUS,
  VFTXDCTL,
} from '../../../hw/registers.ts';
import { IOVA_HIGH } from '../../../memory/iova.ts';
import type { VfioDevice } from '../../../vfio/device.ts';
import { docs, type Finding, hex, judged, time } from '../finding.ts';
import { type Patient, RX_RING, type Waited, waitFor } from '../patient.ts';
import { runs } from '../registers.ts';

type Kind = 'rx' | 'tx';
const KINDS: readonly Kind[] = ['rx', 'tx'];

/** Linux looks 10 times, 1 to 2 ms apart. */
const START_US = 20_000;
/** The datasheet's 100 us, and margin. */
const STOP_US = 20_000;

/** The registers of a kind of queue. */
const of = (kind: Kind) => (kind === 'rx' ? RX_QUEUE : TX_QUEUE);
const enableOf = (kind: Kind): number => of(kind).control.mask.ENABLE;

/** What queues do when they are switched. */
export async function* queues(patient: Patient): AsyncGenerator<Finding> {
  const { grant = { rxQueues: 1, txQueues: 1, classes: 0 } } = patient;
  for (const kind of KINDS) {
    const count = kind === 'rx' ? grant.rxQueues : grant.txQueues;
    const started: Waited[] = [];
    const stopped: Waited[] = [];
    for (let q = 0; q < count; q++) {
      started.push(switchOn(patient, kind, q));
      stopped.push(switchOff(patient, kind, q));
    }
    // What comes at the first look needed no time.
    const late = started.every(({ looks }) => looks > 1);
    yield judged(
      started.every(({ done }) => done),
      `ENABLE of ${kind} queues 0 to ${count - 1}, written 1`,
      'reads 1 within 10 looks, 1 to 2 ms apart',
      kind === 'rx' ? docs('5.4') : docs('5.3'),
      times(started),
      late ? { silicon: `enable-lag=${Math.round(Math.min(...started.map(({ us }) => us)))}` } : {},
    );
    yield judged(
      stopped.every(({ done }) => done),
      `ENABLE of ${kind} queues 0 to ${count - 1}, written 0`,
      'reads 0 within 100 us',
      docs('5.8'),
      times(stopped),
    );
  }
  yield ungranted(patient);
}

function times(waits: readonly Waited[]): string {
  return waits
    .map(({ done, us, value }) => `${done ? '' : `not, ${hex(value)} `}after ${time(us)}`)
    .join(', ');
}

/**
 * Switches a queue on with an empty ring: head and tail are 0, and stay so.
 * @returns how long ENABLE took to read 1; VFSTATUS is read before each look, so that the device has taken the write in
 */
export function switchOn({ device, clock }: Patient, kind: Kind, q: number): Waited {
  const { base, baseHigh, length, control } = of(kind);
  device.write32(at(base, q), 0);
  // Where nothing is mapped, should a device fetch what it was not told to.
  device.write32(at(baseHigh, q), IOVA_HIGH);
  device.write32(at(length, q), RX_RING * DESCRIPTOR_SIZE);
  if (kind === 'rx') {
    const { mask, shift } = VFSRRCTL;
    const format = DESCTYPE_ADVANCED_ONE_BUFFER << shift.DESCTYPE;
    device.write32(at(VFSRRCTL, q), mask.DROP_EN | format | (2 << shift.BSIZEPKT));
  }
  const enable = enableOf(kind);
  device.write32(at(control, q), enable);
  return waitFor(
    clock,
    START_US,
    () => look(device, kind, q),
    (value) => (value & enable) !== 0,
  );
}

function switchOff({ device, clock }: Patient, kind: Kind, q: number): Waited {
  device.write32(at(of(kind).control, q), 0);
  return waitFor(
    clock,
    STOP_US,
    () => look(device, kind, q),
    (value) => (value & enableOf(kind)) === 0,
  );
}

function look(device: VfioDevice, kind: Kind, q: number): number {
  device.read32(VFSTATUS.offset);
  return device.read32(at(of(kind).control, q));
}

/** What queues answer that the PF did not grant, to a write that does not enable them. */
function ungranted({ device, grant }: Patient): Finding {
  const rows = KINDS.flatMap((kind) => {
    const first = (kind === 'rx' ? grant?.rxQueues : grant?.txQueues) ?? 1;
    const [register, written] =
      kind === 'rx' ? [VFRXDCTL, VFRXDCTL.mask.VME] : [VFTXDCTL, 0x20 << VFTXDCTL.shift.PTHRESH];
    const values: number[] = [];
    for (let q = first; q < MAX_QUEUES; q++) {
      device.write32(at(register, q), written);
      values.push(look(device, kind, q));
      device.write32(at(register, q), 0);
    }
    return { register, first, written, values, enable: enableOf(kind) };
  });
  const every = (holds: (value: number, enable: number) => boolean): boolean =>
    rows.some(({ values }) => values.length > 0) &&
    rows.every(({ values, enable }) => values.every((value) => holds(value, enable)));
  let mode = '';
  if (every((value) => value === ALL_ONES)) mode = 'ungranted=ones';
  else if (every((value, enable) => (value & enable) !== 0)) mode = 'ungranted=enable';
  else if (every((value) => value === 0)) mode = 'ungranted=0';
  const seen = rows.map(({ register, first, written, values }) =>
    values.length === 0
      ? `${register.name}: all are granted`
      : `${register.name} from ${first} on: ${hex(written)} written, ${runs(values)} read`,
  );
  return judged(
    true,
    'queues that the PF did not grant',
    'open: what was written, 0, all ones or ENABLE; no driver judges them',
    docs('11'),
    seen.join('; '),
    mode === '' ? {} : { silicon: mode },
  );
}
