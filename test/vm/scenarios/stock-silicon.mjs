// Linux's stock ixgbevf on whatever the model plays where sources are silent about the chip (`ixy model --silicon`):
// this driver runs on the chip, so it has to live through each. A model a mode, two VFs of each in one guest; pings go
// from VF to VF, the second of which lies in a network namespace. Without late-dma, since Linux releases buffers at
// once, and without reset-lag and msix-lost, which it does not live through (src/model/README.md says why).

import { Guest } from '../guest.mjs';
import { Model } from '../model.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectEqual, expectMatch } from '../report.mjs';
import { TROUBLE } from './stock-bench.mjs';

/** The host puts both VFs into a VLAN, of which they know nothing. */
const PORT_VLAN = [0, 1].flatMap((vf) => ['--set', `0 vf ${vf} vlan 7`]);
/** Modes, and what else the model is told. */
const MODES = [
  ['rstd=none'],
  ['rstd=late:20000'],
  ['ungranted=0'],
  ['ungranted=ones'],
  ['ungranted=enable'],
  ['vfte=ties-enable'],
  ['hide-vlan=on', ...PORT_VLAN],
  ['hide-vlan=off', ...PORT_VLAN],
  ['hide-vlan=off', '--mac-type', 'x550', ...PORT_VLAN],
  ['stale-mrqc', '--mac-type', 'x550'],
  ['enable-lag=200'],
  ['mbx-lag=200'],
];
const GUEST_MS = 1_200_000;
/** The first slot of the machine that is free for devices. */
const FIRST_SLOT = 4;
const PINGS = 20;

/** Addresses of the two VFs of mode `i`. */
const addressOf = (i, vf) => `10.90.${i}.${vf + 1}`;

class SiliconBench {
  models = [];

  constructor(context) {
    Object.assign(this, context);
  }

  async boot() {
    const { tools, kernel, accel, personality } = this;
    for (const [silicon, ...more] of MODES) {
      const options = ['--ports', '1', '--vfs', '2', '--pf', personality, '--silicon', silicon];
      this.models.push(await Model.start([...options, ...more]));
    }
    const slot = (n) => (FIRST_SLOT + n).toString(16);
    const devices = this.models.flatMap((model, i) =>
      [0, 1].map((vf) => vfDevice(model.socket(0, vf), slot(2 * i + vf))),
    );
    this.guest = await Guest.boot({ tools, kernel, accel, devices, limitMs: GUEST_MS });
    await this.guest.kernelMessages();
    await this.guest.ok('load ixgbevf');
    const { length } = this.models;
    return `${2 * length} VFs of ${length} models, boot ${(this.guest.bootMs / 1000).toFixed(1)} s`;
  }

  /** Name of the interface in a slot. */
  async nameOf(i, vf) {
    const slot = (FIRST_SLOT + 2 * i + vf).toString(16).padStart(2, '0');
    return this.guest.ok(`ls /sys/bus/pci/devices/0000:00:${slot}.0/net`);
  }

  /** Both VFs of a mode come up, hear each other, and again after one went down and up. */
  async mode(i) {
    const { guest } = this;
    await guest.kernelMessages();
    const [near, far] = [await this.nameOf(i, 0), await this.nameOf(i, 1)];
    await guest.ok('unshare -n sleep 1000 > /dev/null 2>&1 & echo $! > /tmp/holder');
    await guest.until(
      'test $(readlink /proc/$(cat /tmp/holder)/ns/net) != $(readlink /proc/self/ns/net)',
    );
    const inside = 'nsenter -t $(cat /tmp/holder) -n';
    await guest.ok(`ip link set ${far} netns $(cat /tmp/holder)`);
    await guest.ok(`${inside} ip addr add ${addressOf(i, 1)}/24 dev ${far}`);
    await guest.ok(`${inside} ip link set ${far} up`);
    await guest.ok(`ip addr add ${addressOf(i, 0)}/24 dev ${near}`);
    try {
      for (const round of ['at first', 'after down and up']) {
        await guest.ok(`ip link set ${near} down; ip link set ${near} up`);
        await guest.until(`grep -q up /sys/class/net/${near}/operstate`, 'ip link');
        await guest.until(`ping -c 1 -W 3 ${addressOf(i, 1)} > /dev/null`, 'ip neigh');
        const text = await guest.ok(`ping -c ${PINGS} -i 0.1 -W 10 ${addressOf(i, 1)}`);
        expectMatch(text, / 0% packet loss/, `ping ${round}`);
      }
    } finally {
      await guest.run(`ip link set ${near} down; kill $(cat /tmp/holder)`);
    }
    const bad = (await guest.kernelMessages()).split('\n').filter((line) => TROUBLE.test(line));
    expectEqual(bad.join('\n'), '', 'lines of the kernel');
    expectEqual(this.models[i].faults, 0, "faults of the model's IOMMU");
  }

  async close() {
    await this.guest?.close();
    for (const model of this.models) await model.close();
  }
}

export async function stockSilicon(context) {
  const { report, kernel, accel } = context;
  report.section(`Linux ${kernel.release}: stock ixgbevf, a mode of the chip each (${accel})`);
  const bench = new SiliconBench(context);
  try {
    if (!(await report.check('the guest boots', () => bench.boot()))) return;
    let passed = 0;
    for (const [i, mode] of MODES.entries()) {
      const sentence = `two VFs hear each other with --silicon ${mode.join(' ')}`;
      if (await report.check(sentence, () => bench.mode(i))) passed++;
    }
    const delivered = bench.models.reduce((sum, model) => sum + model.delivered, 0);
    const ran = `${passed} of ${MODES.length} modes`;
    report.row(kernel.release, 'ixgbevf, --silicon', ran, delivered, 0);
  } finally {
    await bench.close();
  }
}
