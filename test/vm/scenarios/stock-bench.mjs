// The bench of stock-driver.mjs: a guest with Linux's driver on two VFs, a TAP interface in a
// network namespace of the host as the wire, and what most checks do with them.

import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.mjs';
import { GUEST_NODE, guestPath } from '../initramfs.mjs';
import { vfDevice } from '../qemu.mjs';
import { expectMatch } from '../report.mjs';

export const PEER = fileURLToPath(new URL('../peer.mjs', import.meta.url));
export const TAP = 'ixyvm0';
export const HOST_IP = '10.82.0.1';
export const GUEST_IP = '10.82.0.2';
/** Of VF 1, in a network namespace of the guest. */
export const SECOND_IP = '10.82.0.3';
export const PINGS = 20;
/** Lines of the kernel that no healthy driver causes. Those of the boot are not looked at. */
export const TROUBLE =
  /[Hh]ang|NETDEV WATCHDOG|DMAR: \[|DRHD: handling fault|Call Trace|BUG:|WARNING:|not responding|Reset adapter|failed|error/;
const TCP_BYTES = 16_000_000;
const GUEST_MS = 1_200_000;

/** Waits for all, then throws what failed first: a guest takes no command while another runs. */
async function bothDone(...promises) {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** State that the checks share. */
export class StockBench {
  constructor(context, model, net) {
    Object.assign(this, context);
    this.model = model;
    this.net = net;
  }

  async boot() {
    this.guest = await Guest.boot({
      tools: this.tools,
      kernel: this.kernel,
      accel: this.accel,
      share: '/',
      limitMs: GUEST_MS,
      devices: [vfDevice(this.model.socket(0, 0), '5'), vfDevice(this.model.socket(0, 1), '6')],
    });
    await this.guest.kernelMessages();
    return `boot ${(this.guest.bootMs / 1000).toFixed(1)} s`;
  }

  node(args) {
    return `host ${GUEST_NODE} ${guestPath(PEER)} ${args.join(' ')}`;
  }

  async sysfs(name, what) {
    return this.guest.ok(`cat /sys/class/net/${name}/${what}`);
  }

  /** Every ethtool counter of eth0. */
  async ethtoolCounters() {
    const text = await this.guest.ok('ethtool -S eth0');
    return Object.fromEntries(
      [...text.matchAll(/^\s*(\w+): (\d+)$/gm)].map((match) => [match[1], Number(match[2])]),
    );
  }

  /** Nothing may be lost, but for what waits for an answer to ARP: the kernel keeps only some of that. */
  async pingFromGuest(address, extra = '') {
    await this.guest.until(`ping -c 1 -W 3 ${address} > /dev/null`, 'ip neigh');
    const text = await this.guest.ok(`ping -c ${PINGS} -i 0.05 -W 3 ${extra} ${address}`);
    expectMatch(text, / 0% packet loss/, `ping ${extra} ${address}`);
  }

  async pingFromHost(address, extra = []) {
    const once = ['ping', '-c', '1', '-W', '3', address];
    for (let i = 0; i < 10 && (await this.net.run(this.tools.busybox, once)).status !== 0; i++);
    const args = ['ping', '-c', `${PINGS}`, '-i', '0.05', '-W', '3', ...extra, address];
    expectMatch(await this.net.busybox(args), / 0% packet loss/, args.join(' '));
  }

  /** TCP from the host to the guest, then back; each end compares digests. */
  async tcp() {
    await this.guest.ok(`${this.node(['tcp-serve', '0.0.0.0', '5001'])} > /tmp/serve 2>&1 &`);
    const send = [PEER, 'tcp-send', GUEST_IP, '5001', `${TCP_BYTES}`];
    const toGuest = await this.net.ok(process.execPath, send);
    const serve = this.net.ok(process.execPath, [PEER, 'tcp-serve', HOST_IP, '5002']);
    const sent = this.guest.ok(this.node(['tcp-send', HOST_IP, '5002', `${TCP_BYTES}`]));
    const [toHost] = await bothDone(sent, serve);
    return `to guest ${toGuest}, to host ${toHost}`;
  }

  /**
   * Waits until an interface passes frames, which is a moment after its carrier came: its queue is
   * put in place by the work that sets this state.
   */
  async linkUp(name = 'eth0') {
    await this.guest.until(`grep -q up /sys/class/net/${name}/operstate`, 'ip link');
  }

  /** Runs `work` while VF 1 is up in a namespace of its own. @param work gets what enters that namespace */
  async withSecondVf(work) {
    const { guest } = this;
    await guest.ok('unshare -n sleep 1000 > /dev/null 2>&1 & echo $! > /tmp/holder');
    await guest.until(
      'test $(readlink /proc/$(cat /tmp/holder)/ns/net) != $(readlink /proc/self/ns/net)',
    );
    const inside = 'nsenter -t $(cat /tmp/holder) -n';
    await guest.ok(`ip link set eth1 netns $(cat /tmp/holder)`);
    await guest.ok(`${inside} ip addr add ${SECOND_IP}/24 dev eth1`);
    await guest.ok(`${inside} ip link set eth1 up`);
    try {
      // No sysfs of that namespace is mounted.
      await guest.until(`${inside} ip link show eth1 | grep -q LOWER_UP`);
      await guest.ok('sleep 1');
      return await work(inside);
    } finally {
      // The kernel takes the VF back when the namespace goes.
      await guest.run('kill $(cat /tmp/holder)');
      await guest.until('test -e /sys/class/net/eth1');
    }
  }

  /** Sets the MTU on both sides. */
  async mtu(bytes) {
    await this.net.ip(`link set ${TAP} mtu ${bytes}`);
    return this.guest.run(`ip link set eth0 mtu ${bytes}`);
  }
}
