// A VF that leaves the machine and comes back under a running `ixy l2fwd`, as when a virtual machine moves to another
// host: QEMU unplugs and plugs it over its control socket, by ACPI. The model hides MSI-X, since QEMU 11.1 aborts
// when a vfio-user device that has it is unplugged; with MSI-X the guest itself removes the device and looks for it again.

import { Guest } from '../guest.mjs';
import { Model } from '../model.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectEqual, expectMatch, expectTrue, lastJson } from '../report.mjs';
import { clean, groupOf, RUN_MS, VfioBench } from './vfio-bench.mjs';

/** Behind a root port each, so that they can be unplugged; the third slot is empty at first. */
const SLOTS = ['0000:01:00.0', '0000:02:00.0', '0000:03:00.0'];
const [FIRST, SECOND] = SLOTS;
const PLUGGED = `/sys/bus/pci/devices/${FIRST}`;
const GUEST_MS = 1_200_000;
const OUTPUT = '/dev/shm/forward';

const rootPort = (n) => ({
  ...{ driver: 'pcie-root-port', id: `rp${n}`, bus: 'pcie.0', addr: `${n + 8}` },
  ...{ chassis: n + 1, slot: n + 1 },
});

/** A VF behind root port `n`. */
const behind = (socket, n) => ({ ...vfDevice(socket, '0'), id: `vf${n}`, bus: `rp${n}` });

class HotplugBench extends VfioBench {
  async boot() {
    const { tools, kernel, accel, model } = this;
    this.guest = await Guest.boot({
      ...{ tools, kernel, accel, share: '/', limitMs: GUEST_MS },
      devices: [
        ...SLOTS.map((_, n) => rootPort(n)),
        behind(model.socket(0, 0), 0),
        behind(model.socket(1, 0), 1),
      ],
    });
    this.controls = await this.guest.controls();
    const { guest } = this;
    await guest.ok('load vfio-pci && load vfio_iommu_type1');
    // What is plugged in later is bound as well.
    await guest.ok('echo 8086 10ed > /sys/bus/pci/drivers/vfio-pci/new_id');
    for (const device of [FIRST, SECOND]) await groupOf(guest, device);
    return `boot ${(guest.bootMs / 1000).toFixed(1)} s`;
  }

  async startForwarder() {
    const command = this.ixy(`l2fwd ${FIRST} ${SECOND} --wait-for-device --json`);
    await this.guest.ok(`(${command}; echo status $?) > ${OUTPUT} 2>&1 &`);
    await this.forwards();
  }

  /** Waits until both devices receive, by reports that came after now. */
  async forwards() {
    const { guest } = this;
    await guest.ok(`cp ${OUTPUT} ${OUTPUT}.before 2> /dev/null || : > ${OUTPUT}.before`);
    const lines = `tail -n +$(($(wc -l < ${OUTPUT}.before) + 1)) ${OUTPUT}`;
    // Packets per second of a report that is not 0, twice in one line.
    const flows = '"rxMpps":[0-9.e-]*[1-9].*"rxMpps":[0-9.e-]*[1-9]';
    await guest.until(`${lines} | grep -q '${flows}'`, `cat ${OUTPUT}`);
  }

  /** Ends it as a person does. @returns its last report */
  async endForwarder() {
    const { guest } = this;
    await this.interrupt();
    await guest.until(`grep -q '^status' ${OUTPUT}`, `cat ${OUTPUT}`);
    const text = await guest.ok(`cat ${OUTPUT}`);
    expectMatch(text, /^status 0$/m, 'l2fwd');
    return lastJson(text);
  }
}

async function unplugged(bench) {
  const { guest, controls, model } = bench;
  await bench.startForwarder();
  const before = await groupOf(guest, FIRST);
  let begin = performance.now();
  await controls.unplug('vf0');
  const outMs = performance.now() - begin;
  await guest.ok(`test ! -e ${PLUGGED}`);
  // Another device takes the number of the group that went.
  await controls.execute('device_add', behind(model.socket(0, 1), 2));
  await guest.until(`test -e /sys/bus/pci/devices/${SLOTS[2]}/iommu_group`);
  begin = performance.now();
  await controls.execute('device_add', behind(model.socket(0, 0), 0));
  await bench.forwards();
  const inMs = performance.now() - begin;
  const after = await groupOf(guest, FIRST);
  expectTrue(after !== before, `the group is ${after} as before`);
  const last = await bench.endForwarder();
  const [first] = last.devices;
  expectTrue(first.restarts >= 1, `restarts of ${FIRST}: ${first.restarts}`);
  bench.forwarded += last.devices.reduce((sum, one) => sum + one.txPackets, 0);
  return `group ${before} -> ${after}, out in ${outMs.toFixed(0)} ms, forwarding ${inMs.toFixed(0)} ms after it was plugged in`;
}

async function removedAndFound(bench) {
  const { guest } = bench;
  await bench.startForwarder();
  await guest.ok(`echo 1 > ${PLUGGED}/remove`, RUN_MS);
  await guest.ok(`test ! -e ${PLUGGED}`);
  await guest.ok('echo 1 > /sys/bus/pci/rescan');
  await guest.until(`test -e ${PLUGGED}/driver`);
  await bench.forwards();
  const last = await bench.endForwarder();
  expectEqual(last.devices[0].device, FIRST, 'device');
  bench.forwarded += last.devices.reduce((sum, one) => sum + one.txPackets, 0);
}

const UNPLUG = [
  'a VF unplugged and plugged in again, by then in another group, forwards again',
  unplugged,
];
const REMOVE = ['a VF that the guest removes and finds again forwards again', removedAndFound];
const CLEAN = ['no complaint of the kernel, no fault, no rule of the hardware broken', clean];
const MODEL = ['--ports', '2', '--vfs', '2', '--port0', 'gen', '--port1', 'gen'];

async function drive(context, checks, options, mode) {
  const { report, kernel, accel } = context;
  report.section(`Linux ${kernel.release}: a VF comes and goes, ${mode} (${accel})`);
  let model;
  let bench;
  try {
    model = await Model.start([...MODEL, ...options]);
    bench = new HotplugBench(context, model);
    if (!(await report.check('the guest boots', () => bench.boot()))) return;
    let passed = 0;
    for (const [sentence, run] of checks)
      if (await report.check(sentence, () => run(bench))) passed++;
    await model.nextCounters();
    const ran = `${passed} of ${checks.length} checks`;
    report.row(kernel.release, `ixy, ${mode}`, ran, bench.forwarded, model.faults);
  } finally {
    bench?.controls?.close();
    await bench?.guest?.close();
    await model?.close();
  }
}

/** Over QEMU's control socket. */
export async function hotplug(context) {
  await drive(context, [UNPLUG, CLEAN], ['--no-msix'], 'unplugged and plugged in');
  await drive(context, [REMOVE, CLEAN], [], 'removed and found again');
}
