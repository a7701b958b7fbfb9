// Step 4: VFCTRL.RST. What VFMAILBOX shows in the 100 ms after it, which registers it leaves alone, and whether
// a queue can be switched on before the PF knows the VF again. Bus mastering is off all the time.

import { at, type Register } from '../../../hw/define.ts';
import {
  ALL_ONES,
  DESCTYPE_ADVANCED_ONE_BUFFER,
  VFCTRL,
  VFDCA_RXCTRL,
  VFDCA_TXCTRL,
  VFMAILBOX,
  VFPSRTYPE,
  VFRDBAH,
  VFRDBAL,
  VFRDLEN,
  VFRXDCTL,
  VFSRRCTL,
  VFSTATUS,
  VFTDBAH,
  VFTDBAL,
  VFTDLEN,
  VFTDWBAH,
  VFTDWBAL,
  VFTXDCTL,
  VTIVAR,
  VTIVAR_MISC,
} from '../../../hw/registers.ts';
import { maskInterrupts } from '../../../ixgbevf/mailbox/handshake.ts';
import { writeQueueDefaults } from '../../../ixgbevf/queue/setup.ts';
import { docs, type Finding, hex, judged, time, unusable } from '../finding.ts';
import { type Patient, waitFor } from '../patient.ts';
import { switchOn } from './queues.ts';
import { silence } from './vfio.ts';

const SAMPLED_US = 100_000;
/** How long DPDK sleeps after RST before it looks at anything. */
const SETTLED_US = 50_000;
const { RSTI, RSTD } = VFMAILBOX.mask;

/**
 * Values that a register keeps or loses visibly, and that start nothing: ENABLE and head write-back stay off.
 * Heads and tails are not written.
 */
const PATTERNS: readonly (readonly [Register, number])[] = [
  [VFPSRTYPE, VFPSRTYPE.mask.L2 | VFPSRTYPE.mask.TCP],
  [VFRDBAL, 0x5a5a_5a00],
  [VFRDBAH, 1],
  [VFRDLEN, 0x1000],
  [VFDCA_RXCTRL, VFDCA_RXCTRL.mask.DATA_WRO],
  [
    VFSRRCTL,
    (4 << VFSRRCTL.shift.BSIZEPKT) | (DESCTYPE_ADVANCED_ONE_BUFFER << VFSRRCTL.shift.DESCTYPE),
  ],
  [VFRXDCTL, VFRXDCTL.mask.VME],
  [VFTDBAL, 0x5a5a_5a00],
  [VFTDBAH, 1],
  [VFTDLEN, 0x1000],
  [VFDCA_TXCTRL, VFDCA_TXCTRL.mask.DATA_RRO],
  [VFTXDCTL, 0x20 << VFTXDCTL.shift.PTHRESH],
  [VFTDWBAL, 0x5a5a_5a00],
  [VFTDWBAH, 1],
  [VTIVAR, 0x8180_8180],
  [VTIVAR_MISC, 0x82],
];

/** What a reset of the VF does. */
export async function* reset(patient: Patient): AsyncGenerator<Finding> {
  const { device, clock } = patient;
  maskInterrupts(device);
  for (const [register, value] of PATTERNS) device.write32(register.offset, value);
  device.read32(VFSTATUS.offset);
  const held = PATTERNS.map(([register]) => device.read32(register.offset));
  const before = device.read32(VFMAILBOX.offset);
  device.write32(VFCTRL.offset, VFCTRL.mask.RST);
  const answer = waitFor(
    clock,
    SAMPLED_US,
    () => device.read32(VFMAILBOX.offset),
    (value) => value !== ALL_ONES,
  );
  const within = 'none, or over before DPDK looks, which is after 50 ms';
  yield silence('all ones after RST', within, 'DPDK ixgbe_reset_hw_vf', answer);
  if (!answer.done) {
    yield unusable('function after RST', 'one that answers', docs('5.1'), 'all ones');
    return;
  }
  yield* mailboxAfter(patient, before, answer);
  yield survivors(
    PATTERNS.map(([register, value], i) => {
      return { register, value, held: held[i], now: device.read32(register.offset) };
    }),
  );
  writeQueueDefaults(device);
  yield unregistered(patient);
}

/** VFMAILBOX at a time after RST. */
interface Sample {
  readonly us: number;
  readonly value: number;
}

function* mailboxAfter(
  { device, clock }: Patient,
  before: number,
  first: { us: number; value: number },
): Generator<Finding> {
  const changes: Sample[] = [{ us: first.us, value: first.value }];
  let looks = 1;
  const startUs = clock.nowUs() - first.us;
  waitFor(
    clock,
    SAMPLED_US,
    () => {
      looks++;
      const value = device.read32(VFMAILBOX.offset);
      if (value !== changes.at(-1)?.value) changes.push({ us: clock.nowUs() - startUs, value });
      return value;
    },
    () => false,
  );
  const said = changes.map(({ us, value }) => `${hex(value)} at ${time(us)}`).join(', ');
  const seen = `${hex(before)} before; ${said}; ${looks} reads`;
  const settled = changes.find(({ value }, i) => i === changes.length - 1 && (value & RSTI) === 0);
  yield judged(
    settled !== undefined && settled.us <= SETTLED_US,
    'VFMAILBOX for 100 ms after RST',
    'RSTI and RSTD both 0 within 50 ms; RSTD shows once, or never',
    'DPDK ixgbe_reset_hw_vf, Linux ixgbevf_reset_hw_vf',
    seen,
    { silicon: rstdMode(changes), raw: changes },
  );
  const shown = changes.findIndex(({ value }) => (value & RSTD) !== 0);
  if (shown >= 0) {
    const after = changes[shown + 1]?.value;
    yield judged(
      after !== undefined && (after & RSTD) === 0,
      'RSTD after it was read',
      '0: any read clears it',
      docs('4.1'),
      after === undefined ? 'stays 1' : hex(after),
    );
  }
}

/** RSTD that the first read shows came with the reset; later reads that show it tell how late it was. */
function rstdMode(changes: readonly Sample[]): string {
  const shown = changes.find(({ value }) => (value & RSTD) !== 0);
  if (shown === undefined) return 'rstd=none';
  return shown === changes[0] ? 'rstd=now' : `rstd=late:${Math.round(shown.us)}`;
}

function survivors(
  all: readonly { register: Register; value: number; held: number; now: number }[],
): Finding {
  const survived = all.filter(({ held, now }) => now === held);
  const wrong = all.filter(
    ({ register, value, held, now }) =>
      held !== value || (now === value) !== register.survivesReset,
  );
  const names = (rows: readonly { register: Register }[]): string =>
    rows.map(({ register }) => register.name).join(', ') || 'none';
  return judged(
    wrong.length === 0,
    'what survives RST, in queue 0',
    `${names(all.filter(({ register }) => register.survivesReset))}; no other`,
    `${docs('1.3')}; 82599 specification update, software clarification 5`,
    `${names(survived)}; against the list: ${names(wrong)}`,
    {
      raw: all.map(({ register, ...values }) => ({ register: register.name, ...values })),
    },
  );
}

/** A PF has the queues of a VF off (VFTE, VFRE) from its reset to its RESET message. */
function unregistered(patient: Patient): Finding {
  const on = switchOn(patient, 'tx', 0);
  patient.device.write32(at(VFTXDCTL, 0), 0);
  patient.device.read32(VFSTATUS.offset);
  return judged(
    true,
    'ENABLE of tx queue 0 before RESET',
    'open: 1, or 0 while the PF has the queues off',
    docs('5.3'),
    `${hex(on.value)} after ${time(on.us)}`,
    on.done ? {} : { silicon: 'vfte=ties-enable' },
  );
}
