// Step 3: every register that a read leaves as it is, before anything was written, and how long a read takes.

import { ALL_ONES, VFMRQC, VFRXDCTL, VFSTATUS, VFTXDCTL } from '../../../hw/registers.ts';
import { docs, type Finding, hex, judged, time, unusable } from '../finding.ts';
import type { Patient } from '../patient.ts';
import { isLeftAlone, registersOf, runs, snapshot } from '../registers.ts';

const READS = 1000;
/** A read over PCIe takes about one; a message to another process some tens. */
const SLOW_US = 1000;
/** The queues that every VF has. */
const SURE_QUEUES = 2;

/** What the registers hold. */
export async function* registers(patient: Patient): AsyncGenerator<Finding> {
  const { device } = patient;
  const all = snapshot(device);
  const said = Object.entries(all)
    .filter(([, values]) => values.some((value) => value !== 0))
    .map(([name, values]) => `${name} ${runs(values)}`);
  const silent = all.VFSTATUS[0] === ALL_ONES;
  const seen = `${said.join('; ') || 'nothing'}; all others 0x0`;
  const expected = 'VFSTATUS other than 0xffffffff; what registers hold after a reset is open';
  yield silent
    ? unusable('registers of all 8 queues', expected, docs('2, 11'), seen)
    : judged(true, 'registers of all 8 queues', expected, docs('2, 11'), seen, { raw: all });
  const enable = VFRXDCTL.mask.ENABLE | VFTXDCTL.mask.ENABLE;
  const controls = [...all.VFRXDCTL.slice(0, SURE_QUEUES), ...all.VFTXDCTL.slice(0, SURE_QUEUES)];
  yield judged(
    controls.every((value) => (value & enable) === 0),
    'ENABLE of queues 0 and 1 after FLR',
    '0, rx and tx',
    docs('4.7'),
    controls.map(hex).join(', '),
  );
  const left = registersOf(device.deviceId).filter(isLeftAlone);
  yield judged(
    true,
    'not read',
    'those that a read changes or that say nothing',
    docs('2.1'),
    left.map(({ name }) => name).join(', '),
  );
  if (VFMRQC.name in all) yield staleRss(all[VFMRQC.name][0]);
  yield latency(patient);
}

/** VFMRQC bit 0. */
const RSSEN = 1;

function staleRss(value: number): Finding {
  const stale = (value & RSSEN) !== 0;
  return judged(
    !stale,
    'VFMRQC.RSSEN after FLR',
    '0',
    docs('2.4'),
    hex(value),
    stale ? { silicon: 'stale-mrqc' } : {},
  );
}

function latency({ device, clock }: Patient): Finding {
  const times = Array.from({ length: READS }, () => {
    const startUs = clock.nowUs();
    device.read32(VFSTATUS.offset);
    return clock.nowUs() - startUs;
  }).sort((a, b) => a - b);
  const median = times[READS / 2];
  return judged(
    median < SLOW_US,
    'time of a register read',
    `about 1 us over PCIe, below ${time(SLOW_US)} anywhere`,
    'PCIe: a non-posted request and its completion',
    `median ${time(median)}, least ${time(times[0])}, most ${time(times[READS - 1])} of ${READS} reads`,
  );
}
