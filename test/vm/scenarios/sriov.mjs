// The kernel's VFIO on real VFs of a real PF: QEMU's igb in the guest with Linux's PF driver. The registers are not
// those of this project's driver, so what is tested is `ixy bind --vfs` on the kernel's own sysfs, and the device
// class (sriov-checks.mjs): a VF without memory-enable bit, and a host that takes it back while it is open.

import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.mjs';
import { GUEST_NODE, guestPath } from '../initramfs.mjs';
import { expectEqual, expectMatch, expectTrue, lastJson } from '../report.mjs';

const CLI = guestPath(fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url)));
const CHECKS = guestPath(fileURLToPath(new URL('../sriov-checks.mjs', import.meta.url)));
const PF = '0000:01:00.0';
const VFS = ['0000:01:10.0', '0000:01:10.2'];
const GUEST_MS = 1_200_000;
const RUN_MS = 300_000;
const DEVICES = [
  { driver: 'pcie-root-port', id: 'rp0', bus: 'pcie.0', addr: '4', chassis: 1, slot: 1 },
  { driver: 'igb', id: 'nic0', bus: 'rp0' },
];
const BIND = `bind --vfs ${VFS.length} --force ${PF}`;
const NUMVFS = `/sys/bus/pci/devices/${PF}/sriov_numvfs`;

/** On a file system that guest and chroot share. */
const GO = '/dev/shm/go';

class SriovBench {
  constructor(context) {
    Object.assign(this, context);
  }

  async boot() {
    const { tools, kernel, accel } = this;
    const what = { tools, kernel, accel, share: '/', limitMs: GUEST_MS, devices: DEVICES };
    this.guest = await Guest.boot(what);
    await this.guest.ok('load igb && load vfio-pci && load vfio_iommu_type1');
    // A PF that is down passes on no interrupts of its VFs.
    await this.guest.ok('ip link set eth0 up');
    return `boot ${(this.guest.bootMs / 1000).toFixed(1)} s`;
  }

  ixy(text) {
    return `host ${GUEST_NODE} ${CLI} ${text}`;
  }

  /** Starts a program that holds VF 0 until the host asks for it. @param file it waits for that before it gives it back */
  async hold(file = '') {
    const { guest } = this;
    await guest.ok(`host ${GUEST_NODE} ${CHECKS} hold ${VFS[0]} ${file} > /tmp/held 2>&1 &`);
    await guest.until('grep -q ^open$ /tmp/held', 'cat /tmp/held');
  }

  /**
   * Does a write on the host that takes the VF away, while a program holds it.
   * @returns how long after the close the write returned, in words
   */
  async takenBack(write) {
    await this.hold();
    const returned = await this.guest.ok(`${write}; cut -d ' ' -f 1 /proc/uptime`, RUN_MS);
    return this.wasTold(Number(returned));
  }

  /** What the program saw. @param returned when the write on the host returned, by /proc/uptime */
  async wasTold(returned) {
    const { guest } = this;
    await guest.until('grep -q closed /tmp/held', 'cat /tmp/held');
    const { asked, refused, command, closed, warnings } = lastJson(await guest.ok('cat /tmp/held'));
    expectMatch(refused, /EAGAIN: VFIO_DEVICE_RESET: the host holds the device/, 'the reset');
    expectEqual(command & 0x4, 0, 'bus mastering, after the refused reset');
    expectEqual(warnings.length, 1, `warnings of the close: ${warnings}`);
    expectMatch(warnings[0], /close: reset .*EAGAIN/, 'the close');
    // Both clocks tick in hundredths of a second.
    expectTrue(returned >= closed - 0.02, `the write returned at ${returned}, before ${closed}`);
    const ms = (seconds) => `${(seconds * 1000).toFixed(0)} ms`;
    return `closed ${ms(closed - asked)} after it was asked, the writer returned ${ms(returned - closed)} later`;
  }
}

async function makesVfs(bench) {
  const { guest } = bench;
  const refused = await guest.run(bench.ixy(`bind --vfs 2 ${PF}`), RUN_MS);
  expectEqual(refused.status, 1, 'status of ixy bind --vfs without --force');
  expectMatch(refused.output, /expected a VF of the 82599 family .*got 8086:10c9/, 'ixy bind');
  const text = await guest.ok(bench.ixy(BIND), RUN_MS);
  expectMatch(text, /0000:01:00\.0: 2 VFs/, 'ixy bind');
  for (const vf of VFS) expectMatch(text, new RegExp(`${vf}: no driver -> vfio-pci`), 'ixy bind');
  const groups = await guest.ok('ls /dev/vfio');
  expectTrue(groups.split(/\s+/).length >= VFS.length + 1, `VFIO nodes: ${groups}`);
  expectEqual(await guest.ok(`cat ${NUMVFS}`), '2', 'sriov_numvfs');
}

async function drivesVf(bench) {
  const { guest } = bench;
  await guest.kernelMessages();
  const text = await guest.ok(`host ${GUEST_NODE} ${CHECKS} check ${VFS[0]}`, RUN_MS);
  const { command, vectors, answer, fault, resetMs, warnings } = lastJson(text);
  expectEqual(warnings.join(), '', 'warnings');
  expectEqual(vectors, 3, 'vectors');
  expectEqual(answer & 0xffff, 1, 'opcode of the answer of the PF');
  const faults = (await guest.kernelMessages()).split('\n').filter((line) => /DMAR: \[/.test(line));
  expectEqual(faults.length, 1, `DMA faults in the kernel's log: ${faults.join('\n')}`);
  expectMatch(faults[0], new RegExp(`01:10\\.0\\].*${fault.iova}`), 'the fault');
  return `COMMAND 0x${command.toString(16)} at open, reset ${resetMs} ms`;
}

async function unbound(bench) {
  const told = await bench.takenBack(`echo ${VFS[0]} > /sys/bus/pci/drivers/vfio-pci/unbind`);
  const { guest } = bench;
  await guest.ok(`test ! -e /sys/bus/pci/devices/${VFS[0]}/driver`);
  await guest.ok(bench.ixy(`bind --force ${VFS[0]}`), RUN_MS);
  return told;
}

async function removed(bench) {
  const { guest } = bench;
  const alone = await guest.ok(
    `read a b < /proc/uptime; echo 0 > ${NUMVFS}; read c d < /proc/uptime; echo $a $c`,
  );
  const [from, to] = alone.split(' ').map(Number);
  await guest.ok(bench.ixy(BIND), RUN_MS);
  const told = await bench.takenBack(`echo 0 > ${NUMVFS}`);
  await guest.ok(`test ! -e /sys/bus/pci/devices/${VFS[0]}`);
  return `${told}; held by nobody it takes ${((to - from) * 1000).toFixed(0)} ms`;
}

/** Nobody gives the VF back: what looks at the machine meanwhile must not hang. */
async function kept(bench) {
  const { guest } = bench;
  await guest.ok(bench.ixy(BIND), RUN_MS);
  await bench.hold(GO);
  const write = `(echo 0 > ${NUMVFS}; cut -d ' ' -f 1 /proc/uptime > /tmp/returned)`;
  await guest.ok(`rm -f /tmp/returned; ${write} > /dev/null 2>&1 &`);
  await guest.until('grep -q ^asked$ /tmp/held', 'cat /tmp/held');
  const list = await guest.run(bench.ixy('list'), RUN_MS);
  expectEqual(list.status, 0, `status of ixy list: ${list.output}`);
  const bind = await guest.run(bench.ixy(BIND), RUN_MS);
  expectEqual(bind.status, 1, `status of ixy bind: ${bind.output}`);
  expectMatch(bind.output, /within 5 s, got no answer: it removes VFs and waits/, 'ixy bind');
  await guest.ok('test ! -e /tmp/returned');
  await guest.ok(`touch ${GO}`);
  await guest.until('test -s /tmp/returned', 'cat /tmp/held');
  return bench.wasTold(Number(await guest.ok('cat /tmp/returned')));
}

const CHECKS_IN_ORDER = [
  ['ixy bind --vfs makes VFs of any PF by force, and binds them', makesVfs],
  ['BAR0, bus mastering, interrupts, DMA maps and reset of a VF of a PF', drivesVf],
  ['unbind returns when the program gives the VF back, as it is asked to', unbound],
  ['so does sriov_numvfs=0, and the VF is gone', removed],
  ['while the VF is not given back ixy list answers, and ixy bind says why it cannot', kept],
];

/** QEMU's igb, its PF driver and VFs in one guest. */
export async function sriov(context) {
  const { report, kernel, accel } = context;
  report.section(`Linux ${kernel.release}: VFs of QEMU's igb over VFIO (${accel})`);
  const bench = new SriovBench(context);
  try {
    if (!(await report.check('the guest boots', () => bench.boot()))) return;
    let passed = 0;
    for (const [sentence, run] of CHECKS_IN_ORDER)
      if (await report.check(sentence, () => run(bench))) passed++;
    const ran = `${passed} of ${CHECKS_IN_ORDER.length} checks`;
    report.row(kernel.release, "VFIO on VFs of QEMU's igb", ran, 2, 0);
  } finally {
    await bench.guest?.close();
  }
}
