// The driver's features over the guest kernel's VFIO, on VFs whose ports a cable joins: frames of
// every length, filters, resets, MSI-X eventfds (driver-checks.mjs), `ixy pktgen`. Beside them two
// behind a bridge to conventional PCI, which the kernel puts into one IOMMU group.

import { fileURLToPath } from 'node:url';
import { guestPath } from '../initramfs.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectEqual, expectMatch, expectTrue, lastJson } from '../report.mjs';
import { bindsToVfio, clean, DEVICES, drive, groupOf, RUN_MS } from './vfio-bench.mjs';

const CHECKS = guestPath(fileURLToPath(new URL('../driver-checks.mjs', import.meta.url)));
/** Two VFs of the model's third port. */
const PAIR = ['0000:01:01.0', '0000:01:02.0'];
const FRAMES = 10_000;

const MODEL = ['--ports', '3', '--vfs', '2', '--pf-mtu', '9000'];
const CABLE = ['--port0', 'cable:1', '--port1', 'cable:1'];

function pairBehindBridge(model) {
  return [
    { driver: 'pcie-pci-bridge', id: 'bridge', bus: 'pcie.0', addr: '8' },
    { ...vfDevice(model.socket(2, 0), '1'), bus: 'bridge' },
    { ...vfDevice(model.socket(2, 1), '2'), bus: 'bridge' },
  ];
}

async function features(bench) {
  const text = await bench.guest.ok(bench.node(`${CHECKS} ${DEVICES.join(' ')}`), RUN_MS);
  const { passed, failed } = lastJson(text);
  const lines = failed.map(({ name, message }) => `${name}: ${message.slice(0, 300)}`);
  expectEqual(lines.join('\n'), '', 'checks that failed');
  await bench.model.nextCounters();
  await bench.model.nextCounters();
  bench.forwarded += bench.model.delivered;
  expectTrue(passed.length > 14, `only ${passed.length} checks ran`);
  return `${passed.length} checks of the driver`;
}

async function generate(bench, [from, to], options) {
  const command = `pktgen ${from} --rx ${to} --count ${FRAMES} ${options} --json`;
  const text = await bench.guest.ok(bench.ixy(command), RUN_MS);
  const { generator, final } = lastJson(text);
  expectEqual(final, true, 'final');
  const wanted = { sent: FRAMES, received: FRAMES, gaps: 0, duplicates: 0, corrupt: 0 };
  expectEqual(JSON.stringify(generator), JSON.stringify(wanted), `pktgen ${options}`);
  bench.forwarded += FRAMES;
}

async function pktgen(bench) {
  // At a rate that the receiver, who shares an emulated CPU, can follow: nobody holds a generator back, and the
  // ring of 2048 is a second of it.
  await generate(bench, DEVICES, '--rate 2k');
  await generate(bench, [...DEVICES].reverse(), '--rate 2k --size imix --flows 16');
}

async function oneGroup(bench) {
  const { guest } = bench;
  // One function for VFIO, the other stays with Linux's driver: VFIO takes neither.
  await guest.ok('load ixgbevf');
  await guest.ok(bench.ixy(`bind ${PAIR[0]}`), RUN_MS);
  const group = await groupOf(guest, PAIR[0]);
  const cause = `the IOMMU group of ${PAIR[0]} is not viable: ${PAIR[1]} is bound to ixgbevf; run .sudo ixy bind ${PAIR[1]}`;
  const listed = (await bench.listed())[PAIR[0]] ?? '';
  expectMatch(listed, new RegExp(`^/dev/vfio/${group}: ${cause}`), 'ixy list');
  await bench.refused(
    `pktgen ${PAIR[0]} --count 1`,
    new RegExp(`/dev/vfio/${group}.: EBUSY: ${cause}`),
  );
  await bench.model.nextCounters();
  bench.foreign = bench.model.violations;
  const text = await guest.ok(bench.ixy(`bind ${PAIR[1]}`), RUN_MS);
  expectMatch(text, /ixgbevf -> vfio-pci/, 'ixy bind');
  expectEqual(await groupOf(guest, PAIR[1]), group, 'group of the other function');
  // Both in one process: one group file, one container, frames from VF to VF inside the port.
  await generate(bench, PAIR, '--rate 2k');
}

const BIND = ['ixy bind hands both VFs to vfio-pci', bindsToVfio];
const FEATURES = [
  'frames of every length, filters, statistics, resets, MSI-X eventfds of the driver',
  features,
];
const PKTGEN = ['pktgen sends through the cable, and every frame comes back', pktgen];
const GROUP = [
  'a group whose second device ixgbevf has is refused; with both, one process runs both',
  oneGroup,
];
const CLEAN = ['no complaint of the kernel, no fault, no rule of the hardware broken', clean];

/** BAR pages 1 and 2 mapped by the guest's process. */
export function driverFeatures(context) {
  const checks = [BIND, FEATURES, PKTGEN, GROUP, CLEAN];
  const more = { ...context, moreDevices: pairBehindBridge };
  return drive(more, checks, [...MODEL, ...CABLE], 'features, pages shared');
}

/** Every register access goes through the guest's kernel and QEMU. */
export function driverFeaturesTrapped(context) {
  const options = [...MODEL, ...CABLE, '--trap-all'];
  return drive(context, [BIND, FEATURES, CLEAN], options, 'features, all trapped');
}
