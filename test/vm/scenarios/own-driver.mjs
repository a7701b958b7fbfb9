// `ixy l2fwd` in the guest between two VFs of the model whose ports have generators: as root, killed
// under load, beside Linux's own driver. And DMA that nobody mapped.

import { fileURLToPath } from 'node:url';
import { guestPath } from '../initramfs.mjs';
import { expectEqual, expectTrue } from '../report.mjs';
import {
  AS_USER,
  bindsToVfio,
  clean,
  DEVICES,
  drive,
  ENOUGH_KIB,
  RUN_MS,
  USER,
} from './vfio-bench.mjs';

const OUTSIDE = guestPath(fileURLToPath(new URL('../outside-dma.mjs', import.meta.url)));

function asRoot(bench) {
  return bench.forward(3);
}

/** The doctor on one VF, whose port goes on generating. Nothing but the machine and times may be other than expected. */
async function examined(bench) {
  const { guest } = bench;
  const text = await guest.ok(bench.ixy(`doctor ${DEVICES[0]} --json`), RUN_MS);
  const reports = text.split('\n').filter((line) => line.startsWith('{'));
  const { verdict, counts, silicon } = JSON.parse(reports.pop());
  expectTrue(verdict !== 'unusable', `the doctor says ${verdict}`);
  for (const { name, findings } of reports.map((line) => JSON.parse(line))) {
    const others = findings.filter(
      ({ verdict, what }) => verdict === 'other than expected' && !what.startsWith('time of '),
    );
    if (name !== 'host') expectEqual(others.map(({ what }) => what).join(), '', `step ${name}`);
  }
  return `${counts['as expected']} as expected, ${silicon}`;
}

/** The device's own file and /dev/iommu given to a user, as README's udev rules do. */
async function asUser(bench) {
  const { guest } = bench;
  const command = `l2fwd ${DEVICES.join(' ')} --duration 1`;
  const limits = `ulimit -l ${ENOUGH_KIB}; `;
  await guest.ok(
    'chown 0 /dev/vfio/devices/* /dev/iommu; chmod 600 /dev/vfio/devices/* /dev/iommu',
  );
  await bench.refused(command, /\/dev\/vfio\/devices\/vfio\d\): EACCES: .*SUBSYSTEM=="vfio-dev"/, {
    prefix: AS_USER,
    limits,
  });
  await guest.ok(`chown ${USER} /dev/vfio/devices/*`);
  await bench.refused(command, /\/dev\/iommu\): EACCES: .*KERNEL=="iommu"/, {
    prefix: AS_USER,
    limits,
  });
  await guest.ok(`chown ${USER} /dev/iommu`);
  await bench.refused(command, /ENOMEM: needs \d+ MiB of locked memory/, {
    prefix: AS_USER,
    limits: 'ulimit -l 4096; ',
  });
  return bench.forward(3, { prefix: AS_USER, limits });
}

async function killedUnderLoad(bench) {
  const { guest, model } = bench;
  const command = bench.ixy(`l2fwd ${DEVICES.join(' ')} --json`);
  await guest.ok(`${command} > /tmp/forward 2>&1 & echo $! > /tmp/pid`);
  await guest.until(
    `tail -n 1 /tmp/forward | grep -q '"rxPackets":[1-9][0-9][0-9][0-9]'`,
    'cat /tmp/forward',
  );
  await guest.ok('kill -9 $(cat /tmp/pid)');
  // Its memory is unmapped page by page, and its devices are reset, before it is gone.
  await guest.until('test ! -d /proc/$(cat /tmp/pid)');
  await model.nextCounters();
  await model.nextCounters();
  const delivered = model.delivered;
  await model.nextCounters();
  await model.nextCounters();
  expectEqual(model.delivered, delivered, 'frames delivered to VFs whose process was killed');
  expectEqual(model.faults, 0, 'faults after the process was killed');
  return bench.forward(3);
}

async function handedBack(bench) {
  const { guest } = bench;
  await guest.ok('load ixgbevf');
  await guest.ok(bench.ixy(`unbind ${DEVICES.join(' ')}`));
  for (const name of ['eth0', 'eth1']) {
    await guest.ok(`ip link set ${name} up`);
    await guest.until(`grep -q 1 /sys/class/net/${name}/carrier`);
  }
  await guest.ok('ip link set eth0 down; ip link set eth1 down');
  await bench.model.nextCounters();
  // Linux's driver sets bits that are reserved; those lines are not ours.
  bench.foreign = bench.model.violations;
  await guest.ok(bench.ixy(`bind ${DEVICES.join(' ')}`));
  return bench.forward(3);
}

/** Stores and loads of the device's own choice, outside what the guest's IOMMU lets through. */
async function outsideDma(bench) {
  const { guest, model } = bench;
  await model.nextCounters();
  const before = model.counters(0, 0).iommuFaults;
  const text = await guest.ok(bench.node(`${OUTSIDE} ${DEVICES[0]}`), RUN_MS);
  const { txDone, txFrames, rxFrames, received } = JSON.parse(text);
  expectEqual(txDone.join(), '0,0,0', 'DD of frames from memory outside the maps');
  expectEqual(txFrames.join(), '0,0,0', 'frames sent from memory outside the maps');
  expectEqual(rxFrames.join(), '0,0,0', 'frames received into memory outside the maps');
  await model.nextCounters();
  await model.nextCounters();
  const faults = model.counters(0, 0).iommuFaults - before;
  expectTrue(faults >= 6, `expected a fault for each address and direction, got ${faults}`);
  expectTrue(received > 0, 'nothing was received after the VF was restarted');
  bench.forwarded += received;
  return `${faults} faults`;
}

const BIND = ['ixy bind hands both VFs to vfio-pci', bindsToVfio];
const CLEAN = ['no complaint of the kernel, no fault, no rule of the hardware broken', clean];
const AS_ROOT = ['l2fwd forwards as root all that the generators send', asRoot];
const DOCTOR = ['ixy doctor finds the device as it expects it', examined];
const KILLED = ['l2fwd killed under load leaves a quiet device, and runs again', killedUnderLoad];
const BACK = ['ixy unbind gives both VFs back to ixgbevf, ixy bind takes them again', handedBack];
const DMA = [
  BIND,
  ['DMA outside the maps reads and writes nothing; a restart goes on', outsideDma],
];

const GENERATORS = ['--ports', '2', '--port0', 'gen', '--port1', 'gen'];
/** Slow enough for the rings to be changed before they are full. */
const SLOW = ['--ports', '2', '--port0', 'gen:rate=1000', '--port1', 'gen'];

/** BAR pages 1 and 2 mapped by the guest's process. */
export function ownDriver(context) {
  return drive(context, [BIND, AS_ROOT, DOCTOR, KILLED, BACK, CLEAN], GENERATORS, 'pages shared');
}

/** Every register access goes through the guest's kernel and QEMU. */
export function ownDriverTrapped(context) {
  const options = [...GENERATORS, '--trap-all'];
  return drive(context, [BIND, AS_ROOT, KILLED, CLEAN], options, 'all trapped');
}

export function dmaOutside(context) {
  return drive(context, DMA, SLOW, 'DMA outside the maps');
}

/** The device's own file and /dev/iommu. That kernel has no ixgbevf. */
export async function ownDriverIommufd(context) {
  const cdev = { ...context, abi: 'cdev' };
  const user = ['l2fwd forwards as an ordinary user, who is told what is missing', asUser];
  await drive(cdev, [BIND, AS_ROOT, DOCTOR, user, KILLED, CLEAN], GENERATORS, 'pages shared');
  await drive(cdev, DMA, SLOW, 'DMA outside the maps');
}
