// Step 2: the device as VFIO gives it: what opening and a function level reset take and change. Touches config
// space and the registers VFSTATUS only.

import { COMMAND_BUS_MASTER, CONFIG_COMMAND, VF_DEVICES } from '../../../hw/pci.ts';
import { ALL_ONES, BAR0_SIZE, PAGE_SIZE, VECTORS, VFSTATUS } from '../../../hw/registers.ts';
import { formatRanges, iovaOf, rangesHold } from '../../../memory/iova.ts';
import { ARENA_LIMIT } from '../../../memory/layout.ts';
import { pciAddress } from '../../../vfio/address.ts';
import type { VfioDevice } from '../../../vfio/device.ts';
import { pciFolder, textOf } from '../../../vfio/kernel/sysfs.ts';
import { DEVICE_FLAG, REGION_FLAG } from '../../../vfio/linux-vfio.ts';
import { docs, type Finding, hex, judged, skipped, time } from '../finding.ts';
import { type Patient, waitFor } from '../patient.ts';

/** Linux waits 100 ms after a function level reset by itself. */
const LONGEST_RESET_US = 200_000;
/** Opening includes a function level reset, and the first of a process loads what makes system calls. */
const LONGEST_OPEN_US = 5_000_000;
const BAR0_LINE = 0;
const BAR3_LINE = 3;

/** What VFIO says and does. */
export async function* vfio(patient: Patient): AsyncGenerator<Finding> {
  const { clock } = patient;
  yield* bars(patient);
  const startUs = clock.nowUs();
  await patient.open();
  const openUs = clock.nowUs() - startUs;
  const { device } = patient;
  yield judged(
    openUs < LONGEST_OPEN_US,
    'time of open',
    'a function level reset, 100 ms, and some ms',
    docs('9.3'),
    time(openUs),
  );
  yield flags(device);
  const known = VF_DEVICES[device.deviceId];
  yield judged(
    known !== undefined,
    'device id',
    'a VF of the family',
    docs('1.1'),
    `${hex(device.deviceId)}, ${known?.name ?? 'unknown'}`,
  );
  yield judged(
    device.vectors === VECTORS,
    'MSI-X vectors',
    `${VECTORS}`,
    docs('1.2'),
    `${device.vectors}`,
  );
  const mapped = Array.from({ length: BAR0_SIZE / PAGE_SIZE }, (_, page) =>
    device.pageOffset(page) < 0 ? 'trapped' : 'mapped',
  );
  yield judged(
    true,
    'pages of BAR0',
    'all mapped on hardware; a vfio-user server may trap some',
    docs('2'),
    mapped.join(', '),
  );
  yield judged(
    rangesHold(device.iovaRanges, iovaOf(0), ARENA_LIMIT),
    'IOVA ranges',
    `0x${iovaOf(0).toString(16)} and ${ARENA_LIMIT / 2 ** 30} GiB from there inside one`,
    docs('9.3'),
    formatRanges(device.iovaRanges),
  );
  yield* busMaster(patient);
  yield* functionReset(patient);
}

/** Flags of linux/vfio.h, raw. */
function flags({ address, vfioFlags }: VfioDevice): Finding {
  const expected =
    'device with RESET and PCI (0x3), BAR0 to READ and WRITE (0x3), on hardware to MMAP too (0x7)';
  if (vfioFlags === undefined) {
    return skipped('VFIO flags', expected, docs('9.2'), `no VFIO in between: ${address}`);
  }
  const { RESET, PCI } = DEVICE_FLAG;
  const wanted = REGION_FLAG.READ | REGION_FLAG.WRITE;
  return judged(
    (vfioFlags.device & (RESET | PCI)) === (RESET | PCI) && (vfioFlags.bar0 & wanted) === wanted,
    'VFIO flags',
    expected,
    docs('9.2'),
    `device ${hex(vfioFlags.device)}, BAR0 ${hex(vfioFlags.bar0)}`,
  );
}

/** BAR0 and BAR3 as the kernel laid them out: a line "first last flags" each in `resource`. */
function* bars({ subject }: Patient): Generator<Finding> {
  const pci = pciAddress(subject.address);
  const source = docs('1.2');
  const expected = '0x4000 bytes each, BAR0 the registers, BAR3 the MSI-X table';
  if (pci === undefined) {
    yield skipped('BAR0 and BAR3', expected, source, `${subject.address} is not in sysfs`);
    return;
  }
  const lines = textOf(`${pciFolder(subject.surroundings.sysfs, pci)}/resource`).split('\n');
  const size = (line: number): number => {
    const [first, last] = (lines[line] ?? '').split(' ').map(Number);
    return last - first + 1;
  };
  yield judged(
    size(BAR0_LINE) === BAR0_SIZE && size(BAR3_LINE) === BAR0_SIZE,
    'BAR0 and BAR3',
    expected,
    source,
    `BAR0 ${lines[BAR0_LINE] ?? 'none'}, BAR3 ${lines[BAR3_LINE] ?? 'none'}`,
  );
}

function* busMaster({ device }: Patient): Generator<Finding> {
  const before = device.readConfig16(CONFIG_COMMAND);
  yield judged(
    (before & COMMAND_BUS_MASTER) === 0,
    'COMMAND after open',
    'bus master off: VFIO clears it',
    docs('9.3'),
    hex(before),
  );
  device.writeConfig16(CONFIG_COMMAND, before | COMMAND_BUS_MASTER);
  const after = device.readConfig16(CONFIG_COMMAND);
  yield judged(
    (after & COMMAND_BUS_MASTER) !== 0,
    'COMMAND with bus master written',
    'bit 2 reads 1',
    docs('1.2'),
    hex(after),
  );
}

function* functionReset({ device, clock }: Patient): Generator<Finding> {
  const startUs = clock.nowUs();
  device.reset();
  const us = clock.nowUs() - startUs;
  yield judged(
    us < LONGEST_RESET_US,
    'time of FLR',
    '100 ms in the kernel, which waits that long for a 10ed; a model needs less',
    'Linux reset_intel_82599_sfp_virtfn',
    time(us),
  );
  yield silence('all ones after FLR', 'none once FLR returned', 'Linux pcie_flr', {
    ...waitFor(
      clock,
      LONGEST_RESET_US,
      () => device.read32(VFSTATUS.offset),
      (value) => value !== ALL_ONES,
    ),
  });
  const command = device.readConfig16(CONFIG_COMMAND);
  yield judged(
    (command & COMMAND_BUS_MASTER) === 0,
    'COMMAND after FLR',
    'bus master off',
    docs('9.3'),
    hex(command),
  );
}

/** How long a function that was reset answered nothing. */
export function silence(
  what: string,
  expected: string,
  source: string,
  { done, us, looks }: { done: boolean; us: number; looks: number },
): Finding {
  if (looks === 1 && done) return judged(true, what, expected, source, 'none');
  const seen = done ? `VFSTATUS reads all ones for ${time(us)}` : `still after ${time(us)}`;
  return judged(false, what, expected, source, seen, { silicon: `reset-lag=${Math.round(us)}` });
}
