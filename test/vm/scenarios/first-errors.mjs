// From a fresh boot to a forwarder without root, in the order in which a user meets it: every
// obstacle of a real kernel with the line that `ixy` has for it, then README's way past it. The
// table of all errors and where each is produced: test/vfio/kernel/README.md.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expectEqual, expectMatch, expectTrue, lastJson } from '../report.mjs';
import {
  AS_USER,
  clean,
  DEVICES,
  drive,
  ENOUGH_KIB,
  groupOf,
  RUN_MS,
  USER,
} from './vfio-bench.mjs';

/** Frames of each generator: all of them have to come back. */
const FRAMES = 20_000;
const PAIR = DEVICES.join(' ');
const FORWARD = `l2fwd ${PAIR} --duration 5 --json`;
/** How long all frames may take. */
const FORWARD_MS = 120_000;
const ENOUGH = `ulimit -l ${ENOUGH_KIB}; `;
const user = { prefix: AS_USER };
const README = fileURLToPath(new URL('../../../README.md', import.meta.url));
/** Stands for the group vfio. */
const RULE_GROUP = 1001;

async function listSays(bench, pattern, prefix, limits) {
  const rows = await bench.listed(prefix, limits);
  for (const device of DEVICES) expectMatch(rows[device] ?? '', pattern, `ixy list, ${device}`);
  return rows;
}

async function wrongAddresses(bench) {
  await bench.refused(
    `l2fwd 0000:00:05.7 ${DEVICES[1]}`,
    /\(0000:00:05\.7\): ENODEV: there is no PCI device at this address; `ixy list` shows/,
  );
  // The ISA bridge of the machine.
  await bench.refused(
    `l2fwd 0000:00:1f.0 ${DEVICES[1]}`,
    /\(0000:00:1f\.0\): ENODEV: expected a VF of the 82599 family \(.*\), got 8086:2918; `ixy list`/,
  );
}

async function nothingLoaded(bench) {
  const { guest } = bench;
  const cure = 'run `sudo modprobe vfio-pci`, then `sudo ixy bind 0000:00:0[56].0`';
  await listSays(bench, new RegExp(`got one bound to no driver; ${cure}$`));
  await bench.refused(
    `bind ${PAIR}`,
    /0000:00:05\.0: vfio-pci is not loaded; run `sudo modprobe vfio-pci`/,
  );
  await guest.ok('load ixgbevf');
  await bench.refused(
    FORWARD,
    /\(0000:00:05\.0\): EBUSY: expected a device bound to vfio-pci, got one that ixgbevf has as network interface eth\d; run `sudo modprobe vfio-pci`, then `sudo ixy bind 0000:00:05\.0`/,
  );
  await guest.ok('rmmod ixgbevf');
  await bench.refused(
    FORWARD,
    /\(0000:00:05\.0\): ENODEV: .*got one bound to no driver; run `sudo modprobe vfio-pci`, then `sudo ixy bind 0000:00:05\.0`/,
  );
}

async function bound(bench) {
  const { guest } = bench;
  await guest.ok('load vfio-pci');
  const dry = await guest.ok(bench.ixy(`bind --dry-run ${PAIR}`), RUN_MS);
  expectMatch(dry, /driver_override/, 'ixy bind --dry-run');
  await listSays(bench, /got one bound to no driver; run `sudo ixy bind 0000:00:0[56]\.0`$/);
  await guest.ok(bench.ixy(`bind ${PAIR}`), RUN_MS);
  for (const device of DEVICES) await groupOf(guest, device);
  // udev would load this with the first group.
  await bench.refused(FORWARD, /no type1v2 IOMMU; run `sudo modprobe vfio_iommu_type1`/);
  await guest.ok('load vfio_iommu_type1');
}

/** What README's udev rule does, on the nodes that it matches: there is no udev here. */
async function viaUdevRule({ guest }) {
  const readme = readFileSync(README, 'utf8');
  for (const device of DEVICES) {
    const node = `/dev/vfio/${await groupOf(guest, device)}`;
    const numbers = await guest.ok(`stat -c '%t %T' ${node}`);
    const [major, minor] = numbers.split(' ').map((text) => Number.parseInt(text, 16));
    const subsystem = await guest.ok(
      `basename $(readlink /sys/dev/char/${major}:${minor}/subsystem)`,
    );
    const rule = `SUBSYSTEM=="${subsystem}", GROUP="vfio", MODE="0660"`;
    expectTrue(readme.includes(rule), `README has no rule ${rule} for ${node}`);
    await guest.ok(`chgrp ${RULE_GROUP} ${node} && chmod 660 ${node}`);
  }
}

async function withoutRights(bench) {
  const { guest } = bench;
  // As udev's own rules leave it: everybody may open the container, root alone a group.
  await guest.ok('chmod 666 /dev/vfio/vfio; chmod 600 /dev/vfio/[0-9]*');
  const group = await groupOf(guest, DEVICES[0]);
  await listSays(
    bench,
    /^\/dev\/vfio\/\d+: no permission to read and write it; run `sudo chown/,
    AS_USER,
  );
  await bench.refused(
    FORWARD,
    new RegExp(
      `/dev/vfio/${group}.: EACCES: no permission .*sudo chown ${USER} /dev/vfio/${group}.*udev rule: SUBSYSTEM=="vfio", OWNER="${USER}"`,
    ),
    user,
  );
  await viaUdevRule(bench);
  await listSays(
    bench,
    /^ready$/,
    `/usr/bin/setpriv --reuid ${USER} --regid ${RULE_GROUP} --clear-groups`,
  );
  await guest.ok(bench.ixy(`bind --owner ${USER} ${PAIR}`), RUN_MS);
  const rows = await listSays(bench, /^ready$/, AS_USER, 'ulimit -l 8192; ');
  expectMatch(rows.memlock ?? '', /may lock 8192 KiB of memory.*README, memlock/, 'ixy list');
  // With rings of 512 the buffers of a forwarder fit into what many systems allow.
  await bench.refused(
    `${FORWARD} --rx-ring 4096`,
    /ENOMEM: needs \d+ MiB of locked memory, RLIMIT_MEMLOCK allows 8 MiB/,
    {
      ...user,
      limits: 'ulimit -l 8192; ',
    },
  );
}

async function entryLimit(bench) {
  const { guest } = bench;
  const file = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
  const limit = await guest.ok(`cat ${file}`);
  // Chunks of the arena are large, and both VFs share them.
  await guest.ok(`echo 0 > ${file}`);
  await bench.refused(
    FORWARD,
    /ENOSPC: expected room for one mapping more than the 0 there are, the container takes 0; raise it \(parameter dma_entry_limit of vfio_iommu_type1\)/,
    { ...user, limits: ENOUGH },
  );
  await guest.ok(`echo ${limit} > ${file}`);
}

/** What the issue of this driver is about: no root, no loss. */
async function forwardsAll(bench) {
  const { guest, model } = bench;
  const rows = await listSays(bench, /^ready$/, AS_USER, ENOUGH);
  expectEqual(rows.memlock, null, 'memlock line of ixy list');
  // Until the wire has all of them back, however long that takes here.
  const command = `${ENOUGH}${bench.ixy(`l2fwd ${PAIR} --json`, AS_USER)}`;
  await guest.ok(`(${command}) > /tmp/all 2>&1 & echo started`);
  const end = performance.now() + FORWARD_MS;
  const arrived = () => [0, 1].every((port) => model.counters(port, 0).sinkReceived >= FRAMES);
  while (!arrived() && performance.now() < end) await model.nextCounters();
  await bench.interrupt();
  await guest.until('grep -q final /tmp/all', 'cat /tmp/all');
  const last = lastJson(await guest.ok('cat /tmp/all'));
  await model.nextCounters();
  await model.nextCounters();
  for (const [port, device] of last.devices.entries()) {
    const { rxPackets, txPackets, txDropped } = device;
    const counts = model.counters(port, 0);
    const { offered, delivered, sinkReceived, sinkGaps, sinkDuplicates, sinkCorrupt } = counts;
    expectEqual(
      [offered, delivered, rxPackets, txPackets, sinkReceived].join(),
      new Array(5).fill(FRAMES).join(),
      `frames offered, delivered, received, sent, back at the wire; ${device.device}`,
    );
    expectEqual(
      [txDropped, sinkGaps, sinkDuplicates, sinkCorrupt].join(),
      '0,0,0,0',
      'dropped, missing, duplicate, corrupt',
    );
    bench.forwarded += txPackets;
  }
  return `${FRAMES} frames each way`;
}

async function twoAtOnce(bench) {
  const { guest } = bench;
  const group = await groupOf(guest, DEVICES[0]);
  const first = `${ENOUGH}${bench.ixy(`l2fwd ${PAIR} --json`, AS_USER)}`;
  await guest.ok(`(${first}) > /tmp/first 2>&1 & echo started`);
  await guest.until('grep -q seconds /tmp/first', 'cat /tmp/first');
  await bench.refused(
    FORWARD,
    new RegExp(
      `/dev/vfio/${group}.: EBUSY: another process has ${DEVICES[0]} open; .sudo fuser -v`,
    ),
    { ...user, limits: ENOUGH },
  );
  await bench.refused(
    `unbind ${DEVICES[0]}`,
    new RegExp(`${DEVICES[0]}: in use by process \\d+ \\(.*\\); end it first`),
  );
  await bench.interrupt();
  await guest.until('grep -q final /tmp/first', 'cat /tmp/first');
  expectTrue(JSON.parse((await guest.ok('tail -n 1 /tmp/first')).trim()).final, 'no final report');
}

const CHECKS = [
  ['an address with nothing behind it, or no VF, is refused', wrongAddresses],
  ['before anything is loaded, list, bind and l2fwd say what is missing', nothingLoaded],
  ['bound by root; without its IOMMU module the container says which to load', bound],
  ['uid 1000 is told of rights and locked memory, and ixy bind --owner helps', withoutRights],
  ['a container that takes too few mappings says how many', entryLimit],
  ['uid 1000: ixy list shows both ready, l2fwd forwards every frame', forwardsAll],
  ['a device that another process has is refused; SIGINT ends that one', twoAtOnce],
  [
    'no complaint of the kernel, no fault, no rule of the hardware broken',
    async (bench) => {
      // ixgbevf's reserved bits are not ours.
      bench.foreign = new Set([...bench.model.violations].filter((line) => /VTEIMC/.test(line)));
      await clean(bench);
    },
  ],
];

/** The ordinary user's way, on a guest with an IOMMU. */
export function firstErrors(context) {
  const gen = `gen:count=${FRAMES}`;
  const options = ['--ports', '2', '--port0', gen, '--port1', gen];
  return drive(context, CHECKS, options, 'without root');
}

async function noIommu(bench) {
  const { guest } = bench;
  await listSays(bench, /^the device has no IOMMU group, so the IOMMU is off; .*intel_iommu=on/);
  await guest.ok('load vfio-pci');
  await bench.refused(
    `bind ${PAIR}`,
    /0000:00:05\.0: the device has no IOMMU group, so the IOMMU is off; .*intel_iommu=on/,
  );
  await bench.refused(
    FORWARD,
    /\(0000:00:05\.0\): ENODEV: the device has no IOMMU group, so the IOMMU is off; .*intel_iommu=on .*kernel command line/,
  );
}

/** The same machine whose kernel leaves the IOMMU off. */
export function noIommuErrors(context) {
  const checks = [['list, bind and l2fwd say that the IOMMU is off', noIommu]];
  const off = { ...context, append: 'intel_iommu=off' };
  return drive(off, checks, ['--ports', '2'], 'IOMMU off');
}
