// The bench of the scenarios with our driver in the guest, over the guest kernel's vfio-pci behind an
// emulated IOMMU: `ixy` from the built checkout, which the guest sees over 9p, on VFs of the model.
// What the forwarder says it did is held against what the model counted.

import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.mjs';
import { GUEST_NODE, guestPath } from '../initramfs.mjs';
import { Model } from '../model.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectEqual, expectMatch, expectTrue, lastJson } from '../report.mjs';

const CLI = guestPath(fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url)));
export const DEVICES = ['0000:00:05.0', '0000:00:06.0'];
const GUEST_MS = 1_200_000;
/** Starting takes 10 s under TCG: thousands of pages are mapped one by one. */
export const RUN_MS = 300_000;
export const USER = 1000;
export const AS_USER = `/usr/bin/setpriv --reuid ${USER} --regid ${USER} --clear-groups`;
/** The kernel gives a process 8 MiB; the forwarder says how much it wants. KiB. */
export const ENOUGH_KIB = 262_144;
/** Descriptors of an rx ring, and frames in the forwarder's hands, when it stops. */
const RING = 512;
const BATCH = 32;

/** How the frames of the model's two generators fared, by port: they end at the sink of the other port. */
function tally(model) {
  return [0, 1].map((port) => {
    const { sinkReceived, sinkGaps } = model.counters(1 - port, 0);
    return { ...model.counters(port, 0), arrived: sinkReceived, missing: sinkGaps };
  });
}

export class VfioBench {
  constructor(context, model) {
    Object.assign(this, context);
    this.model = model;
    this.environment = this.abi === undefined ? '' : `IXY_VFIO=${this.abi}`;
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
      append: this.append,
      devices: [
        vfDevice(this.model.socket(0, 0), '5'),
        vfDevice(this.model.socket(1, 0), '6'),
        ...(this.moreDevices?.(this.model) ?? []),
      ],
    });
    await this.guest.kernelMessages();
    return `boot ${(this.guest.bootMs / 1000).toFixed(1)} s`;
  }

  /** Shell text that runs a script with node; `prefix` is a program that starts it. */
  node(text, prefix = '') {
    return `${this.environment} host ${prefix} ${GUEST_NODE} ${text}`;
  }

  /** Shell text of an ixy command. */
  ixy(text, prefix) {
    return this.node(`${CLI} ${text}`, prefix);
  }

  /** Ctrl-C for the forwarder. */
  async interrupt() {
    const pid = await this.guest.ok(`pidof node || pgrep -f 'main.js l2fwd' | head -n 1`);
    await this.guest.ok(`kill -INT ${pid.split(/\s+/)[0]}`);
  }

  /** Runs an ixy command that has to fail with one line. */
  async refused(text, pattern, { prefix, limits = '' } = {}) {
    const { status, output } = await this.guest.run(`${limits}${this.ixy(text, prefix)}`, RUN_MS);
    expectEqual(status, 1, `status of ixy ${text}`);
    expectMatch(output, pattern, `ixy ${text}`);
    expectEqual(output.trim().split('\n').length, 1, `lines in ${output}`);
  }

  /** What `ixy list` says of each VF, by address: `ready`, or what is missing. */
  async listed(prefix, limits = '') {
    const text = await this.guest.ok(`${limits}${this.ixy('list --json', prefix)}`, RUN_MS);
    const { vfs, memlock } = JSON.parse(text);
    const rows = vfs.map(({ address, ready, missing }) => [address, ready ? 'ready' : missing]);
    return { ...Object.fromEntries(rows), memlock };
  }

  /**
   * Forwards for some seconds between the model's closed-loop generators and accounts for every
   * frame: what a generator offered is back at the wire, or in a ring when the forwarder stopped, or
   * in the forwarder's hands, or counted by it as given up. What an earlier run left in the rings
   * shows in this one as a gap, to the frame.
   */
  async forward(seconds, { prefix = '', limits = '' } = {}) {
    const { model } = this;
    // One report may have been on its way.
    await model.nextCounters();
    await model.nextCounters();
    const before = tally(model);
    const command = `l2fwd ${DEVICES.join(' ')} --duration ${seconds} --json`;
    const text = await this.guest.ok(`${limits}${this.ixy(command, prefix)}`, RUN_MS);
    const last = lastJson(text);
    expectEqual(last.final, true, 'final');
    await model.nextCounters();
    await model.nextCounters();
    const after = tally(model);
    let dropped = 0;
    for (const [port, device] of last.devices.entries()) {
      const peer = last.devices[1 - port];
      const more = (name) => after[port][name] - before[port][name];
      expectTrue(device.link, `${device.device} has no link`);
      expectTrue(device.rxPackets > 100, `${device.device} received ${device.rxPackets} frames`);
      expectEqual(more('delivered'), more('offered'), `frames delivered to ${device.device}`);
      expectEqual(more('arrived'), peer.txPackets, `frames that the wire got from ${peer.device}`);
      const left = more('delivered') - peer.txPackets - peer.txDropped;
      expectTrue(
        left >= 0 && left < RING + BATCH,
        `${left} frames left in the ring of ${device.device} and on the way to its peer`,
      );
      // All that is missing was in the rings, or with another driver, before this run.
      const gone = before[port].offered - before[port].arrived;
      const missing = after[port].missing - gone;
      expectTrue(
        missing >= 0 && missing <= peer.txDropped,
        `${missing} frames missing in the stream through ${device.device}, ${peer.txDropped} counted as given up`,
      );
      for (const drop of ['missedNoDescriptor', 'missedDisabled', 'filtered', 'spoofed'])
        expectEqual(more(drop), 0, `${drop} of ${device.device}`);
      const { sinkCorrupt, sinkDuplicates } = after[port];
      expectEqual(`${sinkCorrupt} ${sinkDuplicates}`, '0 0', 'corrupt, duplicate frames');
      dropped += device.txDropped;
      this.forwarded += device.txPackets;
    }
    const [a, b] = last.devices;
    const rate = ((a.txPackets + b.txPackets) / last.seconds / 1000).toFixed(0);
    return `${rate} kpps, ${dropped} given up`;
  }
}

/** The number of a VF's IOMMU group, which has to have its file. */
export async function groupOf(guest, device) {
  const group = await guest.ok(`basename $(readlink /sys/bus/pci/devices/${device}/iommu_group)`);
  await guest.ok(`test -c /dev/vfio/${group}`);
  return group;
}

/** `ixy bind` by root. The container's module, too, which udev would load. */
export async function bindsToVfio(bench) {
  const { guest } = bench;
  await guest.ok('load vfio-pci && load vfio_iommu_type1');
  const text = await guest.ok(bench.ixy(`bind ${DEVICES.join(' ')}`), RUN_MS);
  for (const device of DEVICES) {
    expectMatch(text, new RegExp(`${device}: no driver -> vfio-pci`), 'ixy bind');
    await groupOf(guest, device);
  }
}

/** The last check: nothing to complain about. */
export async function clean(bench) {
  const lines = await bench.guest.ok('dmesg');
  const bad = lines.split('\n').filter((line) => /DMAR: \[|Call Trace|BUG:|WARNING:/.test(line));
  expectEqual(bad.join('\n'), '', 'lines of the kernel');
  expectEqual(bench.model.faults, 0, "faults of the model's IOMMU");
  // Our own driver breaks no rule of the hardware.
  const broken = [...bench.model.violations].filter((line) => !bench.foreign.has(line));
  expectEqual(broken.join('\n'), '', 'rules of the hardware that were broken');
}

/**
 * Boots a guest on a model and runs checks.
 * @param context of the scenario, with `abi` where it is not for the driver to choose
 * @param checks [sentence, function] each
 * @param options of `ixy model`
 * @param mode what the table says about it
 */
export async function drive(context, checks, options, mode) {
  const { report, kernel, accel } = context;
  const abi = context.abi === 'cdev' ? 'iommufd' : 'type1v2';
  report.section(`Linux ${kernel.release}: our driver over ${abi}, ${mode} (${accel})`);
  let model;
  let bench;
  try {
    model = await Model.start(options);
    bench = new VfioBench(context, model);
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
    const ran = `${passed} of ${checks.length} checks`;
    report.row(kernel.release, `ixy, ${abi}, ${mode}`, ran, bench.forwarded, model.faults);
  } finally {
    await bench?.guest?.close();
    await model?.close();
  }
}
