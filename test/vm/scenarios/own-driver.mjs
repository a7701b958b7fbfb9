// Our driver in the guest, over the guest kernel's vfio-pci (type1v2) behind an emulated IOMMU, on
// two VFs of the model whose ports have generators: `ixy l2fwd` from the built checkout, which the
// guest sees over 9p. What the forwarder says it did is held against what the model counted.

import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.mjs';
import { Model } from '../model.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectEqual, expectMatch, expectTrue } from '../report.mjs';

const CLI = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const OUTSIDE = fileURLToPath(new URL('../outside-dma.mjs', import.meta.url));
const DEVICES = ['0000:00:05.0', '0000:00:06.0'];
const GUEST_MS = 600_000;
/** Starting takes 10 s under TCG: thousands of pages are mapped one by one. */
const RUN_MS = 120_000;
const USER = 1000;
const AS_USER = `/usr/bin/setpriv --reuid ${USER} --regid ${USER} --clear-groups`;
/** The kernel gives a process 8 MiB; the forwarder says how much it wants. */
const ENOUGH_KIB = 262_144;

class Bench {
  constructor(context, model) {
    Object.assign(this, context);
    this.model = model;
    this.environment = `IXY_VFIO=${this.abi}`;
    this.forwarded = 0;
    /** Violations of somebody else's driver. */
    this.foreign = new Set();
  }

  async boot() {
    this.guest = await Guest.boot({
      tools: this.tools,
      kernel: this.kernel,
      accel: this.accel,
      share: '/',
      limitMs: GUEST_MS,
      devices: [vfDevice(this.model.socket(0, 0), '5'), vfDevice(this.model.socket(1, 0), '6')],
    });
    await this.guest.kernelMessages();
    return `boot ${(this.guest.bootMs / 1000).toFixed(1)} s`;
  }

  /** The shell text of an ixy command; `prefix` is a program that starts it. */
  ixy(text, prefix = '') {
    return `${this.environment} host ${prefix} ${process.execPath} ${CLI} ${text}`;
  }

  /** Forwards for some seconds and compares with the model. */
  async forward(seconds, { prefix = '', limits = '' } = {}) {
    const sinks = () => [0, 1].map((port) => this.model.counters(port, 0)?.sinkReceived ?? 0);
    await this.model.nextCounters();
    const before = sinks();
    const command = `l2fwd ${DEVICES.join(' ')} --duration ${seconds} --json`;
    const text = await this.guest.ok(`${limits}${this.ixy(command, prefix)}`, RUN_MS);
    const last = JSON.parse(text.split('\n').at(-1));
    expectEqual(last.final, true, 'final');
    // One report may have been on its way.
    await this.model.nextCounters();
    await this.model.nextCounters();
    const after = sinks();
    for (const [port, device] of last.devices.entries()) {
      expectTrue(device.link, `${device.device} has no link`);
      expectTrue(device.rxPackets > 100, `${device.device} received ${device.rxPackets} frames`);
      const arrived = after[port] - before[port];
      expectEqual(arrived, device.txPackets, `frames that the wire got from ${device.device}`);
      const { sinkCorrupt, sinkDuplicates } = this.model.counters(port, 0);
      expectEqual(`${sinkCorrupt} ${sinkDuplicates}`, '0 0', 'corrupt, duplicate frames');
      this.forwarded += device.txPackets;
    }
    const [a, b] = last.devices;
    return `${((a.txPackets + b.txPackets) / last.seconds / 1000).toFixed(0)} kpps`;
  }
}

async function bindsToVfio(bench) {
  const { guest } = bench;
  await guest.ok('load vfio-pci && load vfio_iommu_type1');
  for (const device of DEVICES) {
    await guest.ok(`echo vfio-pci > /sys/bus/pci/devices/${device}/driver_override`);
    await guest.ok(`echo ${device} > /sys/bus/pci/drivers_probe`);
    const group = await guest.ok(`basename $(readlink /sys/bus/pci/devices/${device}/iommu_group)`);
    await guest.ok(`test -c /dev/vfio/${group}`);
  }
}

function asRoot(bench) {
  return bench.forward(5);
}

async function asUser(bench) {
  const { guest } = bench;
  const command = bench.ixy(`l2fwd ${DEVICES.join(' ')} --duration 2 --json`, AS_USER);
  await guest.ok('chown 0 /dev/vfio/*; chmod 600 /dev/vfio/[0-9]*');
  const refused = await guest.run(command, RUN_MS);
  expectEqual(refused.status, 1, 'status without permission');
  expectMatch(
    refused.output,
    /\/dev\/(vfio\/|iommu).*EACCES.*chown/,
    'the message without permission',
  );
  await guest.ok(
    `chown ${USER} /dev/vfio/[0-9]*; test ! -d /dev/vfio/devices || chown ${USER} /dev/vfio/devices/* /dev/iommu`,
  );
  const short = await guest.run(`ulimit -l 4096; ${command}`, RUN_MS);
  expectEqual(short.status, 1, 'status with 4 MiB of locked memory');
  expectMatch(short.output, /RLIMIT_MEMLOCK allows 4 MiB/, 'the message with 4 MiB');
  return bench.forward(3, { prefix: AS_USER, limits: `ulimit -l ${ENOUGH_KIB}; ` });
}

async function killedUnderLoad(bench) {
  const { guest, model } = bench;
  const command = bench.ixy(`l2fwd ${DEVICES.join(' ')} --json`);
  await guest.ok(`${command} > /tmp/forward 2>&1 & echo $! > /tmp/pid`);
  await guest.ok(
    `for i in $(seq 600); do tail -n 1 /tmp/forward | grep -q '"rxPackets":[1-9][0-9][0-9][0-9]' && exit 0; sleep 0.1; done; cat /tmp/forward; exit 1`,
    RUN_MS,
  );
  await guest.ok('kill -9 $(cat /tmp/pid); sleep 2');
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
  await guest.ok('ip link set eth0 up; ip link set eth1 up; sleep 2');
  for (const name of ['eth0', 'eth1']) {
    expectEqual(await guest.ok(`cat /sys/class/net/${name}/carrier`), '1', `carrier of ${name}`);
  }
  await guest.ok('ip link set eth0 down; ip link set eth1 down');
  await bench.model.nextCounters();
  // Linux's driver sets bits that are reserved; those lines are not ours.
  bench.foreign = bench.model.violations;
  await guest.ok(bench.ixy(`bind ${DEVICES.join(' ')}`));
  return bench.forward(3);
}

async function clean(bench) {
  const lines = await bench.guest.ok('dmesg');
  const bad = lines.split('\n').filter((line) => /DMAR: \[|Call Trace|BUG:|WARNING:/.test(line));
  expectEqual(bad.join('\n'), '', 'lines of the kernel');
  expectEqual(bench.model.faults, 0, "faults of the model's IOMMU");
  // Our own driver breaks no rule of the hardware.
  const broken = [...bench.model.violations].filter((line) => !bench.foreign.has(line));
  expectEqual(broken.join('\n'), '', 'rules of the hardware that were broken');
}

/** Stores and loads of the device's own choice, outside what the guest's IOMMU lets through. */
async function outsideDma(bench) {
  const { guest, model } = bench;
  await model.nextCounters();
  const before = model.counters(0, 0).iommuFaults;
  const text = await guest.ok(
    `${bench.environment} host ${process.execPath} ${OUTSIDE} ${DEVICES[0]}`,
    RUN_MS,
  );
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

const FORWARD = [
  ['both VFs bind to vfio-pci', bindsToVfio],
  ['l2fwd forwards as root, and the wire got what it says it sent', asRoot],
  ['l2fwd forwards as an ordinary user, who is told what is missing', asUser],
  ['l2fwd killed under load leaves a quiet device, and runs again', killedUnderLoad],
  ['ixy unbind gives both VFs back to ixgbevf, ixy bind takes them again', handedBack],
  ['no complaint of the kernel, no fault, no rule of the hardware broken', clean],
];
const TRAPPED = FORWARD.filter(([, run]) => [bindsToVfio, asRoot, clean].includes(run));
/** Slow enough for the rings to be changed before they are full. */
const SLOW = ['--port0', 'gen:rate=1000'];
const DMA = [
  ['both VFs bind to vfio-pci', bindsToVfio],
  ['DMA outside the maps reads and writes nothing; a restart goes on', outsideDma],
];

/** BAR pages 1 and 2 mapped by the guest's process. */
export function ownDriver(context) {
  return drive({ ...context, abi: 'group' }, FORWARD, ['--port0', 'gen'], 'pages shared');
}

/** Every register access goes through the guest's kernel and QEMU. */
export function ownDriverTrapped(context) {
  const options = ['--port0', 'gen', '--trap-all'];
  return drive({ ...context, abi: 'group' }, TRAPPED, options, 'all trapped');
}

export function dmaOutside(context) {
  return drive({ ...context, abi: 'group' }, DMA, SLOW, 'DMA outside the maps');
}

/** The device's own file and /dev/iommu. The kernel of this has no ixgbevf. */
export async function ownDriverIommufd(context) {
  const checks = FORWARD.filter(([, run]) => run !== handedBack);
  await drive({ ...context, abi: 'cdev' }, checks, ['--port0', 'gen'], 'pages shared');
  await drive({ ...context, abi: 'cdev' }, DMA, SLOW, 'DMA outside the maps');
}

async function drive(context, checks, options, mode) {
  const { report, kernel, accel } = context;
  const abi = context.abi === 'group' ? 'type1v2' : 'iommufd';
  report.section(`Linux ${kernel.release}: our driver over ${abi}, ${mode} (${accel})`);
  let model;
  let bench;
  try {
    model = await Model.start(['--ports', '2', '--port1', 'gen', ...options]);
    bench = new Bench(context, model);
    if (!(await report.check('the guest boots', () => bench.boot()))) return;
    let passed = 0;
    for (const [i, [sentence, run]] of checks.entries()) {
      if (await report.check(sentence, () => run(bench))) {
        passed++;
        continue;
      }
      if (run !== bindsToVfio) continue;
      for (const [rest] of checks.slice(i + 1)) report.skip(rest, 'no VF is bound');
      break;
    }
    await model.nextCounters();
    report.row(
      kernel.release,
      `ixy, ${abi}, ${mode}`,
      `${passed} of ${checks.length} checks`,
      bench.forwarded,
      model.faults,
    );
  } finally {
    await bench?.guest?.close();
    await model?.close();
  }
}
