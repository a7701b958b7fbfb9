// Linux's stock ixgbevf drives two VFs of the model's port 0, whose wire is a TAP interface on the
// host: what the model gets wrong about the hardware shows here, since this driver and the kernel's
// TCP know nothing of ours. VF 0 is eth0; VF 1 lies in a network namespace of the guest.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { HostNet, noTapReason } from '../host-net.mjs';
import { Model } from '../model.mjs';
import { expectEqual, expectMatch, expectTrue } from '../report.mjs';
import {
  GUEST_IP,
  HOST_IP,
  PEER,
  PINGS,
  SECOND_IP,
  StockBench,
  TAP,
  TROUBLE,
} from './stock-bench.mjs';
import { counters } from './stock-counters.mjs';
import { sctp, vxlan } from './stock-tunnels.mjs';

const WIRE_PEER = fileURLToPath(new URL('../wire-peer.py', import.meta.url));
const VF0_MAC = '02:09:c0:00:00:00';
/** Statistics and the watchdog of the driver come every two seconds. */
const SETTLE_S = 3;
async function probes(bench) {
  const { guest } = bench;
  await guest.ok('load ixgbevf');
  expectEqual(await bench.sysfs('eth0', 'address'), VF0_MAC, 'MAC of VF 0');
  expectEqual(await bench.sysfs('eth1', 'address'), '02:09:c0:00:00:01', 'MAC of VF 1');
  const driver = await guest.ok('basename $(readlink /sys/class/net/eth0/device/driver)');
  expectEqual(driver, 'ixgbevf', 'driver of eth0');
  // Neighbour discovery would disturb the counts; the check of IPv6 turns it on.
  for (const name of ['eth0', 'eth1'])
    await guest.ok(`echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
}

async function ping(bench) {
  await bench.pingFromGuest(HOST_IP);
  await bench.pingFromHost(GUEST_IP);
  // Fragments.
  await bench.pingFromGuest(HOST_IP, '-s 4000');
  await bench.pingFromHost(GUEST_IP, ['-s', '4000']);
}

function tcp(bench) {
  return bench.tcp();
}

async function linkComesUp(bench) {
  const { guest } = bench;
  await guest.ok(`ip addr add ${GUEST_IP}/24 dev eth0 && ip link set eth0 up`);
  await bench.linkUp();
  expectEqual(await bench.sysfs('eth0', 'speed'), '10000', 'speed of eth0');
  expectEqual(await bench.sysfs('eth0', 'duplex'), 'full', 'duplex of eth0');
  expectMatch(await guest.ok('dmesg'), /ixgbevf 0000:00:05\.0: NIC Link is Up 10 Gbps/, 'dmesg');
}

/** The driver's own test writes patterns to the ring registers and reads them back. */
async function selfTest(bench) {
  const text = await bench.guest.ok('ethtool -t eth0 offline; ethtool -t eth0 online');
  expectEqual([...text.matchAll(/test result is PASS/g)].length, 2, `passes in\n${text}`);
  await bench.linkUp();
  await bench.pingFromGuest(HOST_IP);
}

/** docs/82599-vf.md sec 7.7: a PF whose own MTU is 1500 refuses SET_LPE above 1518. */
async function jumboRefused(bench) {
  const { status, output } = await bench.mtu(9000);
  expectTrue(status !== 0, `ip link set eth0 mtu 9000 succeeded: ${output}`);
  await bench.mtu(1500);
  await bench.guest.ok('ip link set eth0 down; ip link set eth0 up');
  await bench.linkUp();
  await bench.pingFromGuest(HOST_IP);
}

/** In VLAN 100 the wire's station answers; nobody joined 200, where the right MAC must not help. */
async function vlanOnWire(bench) {
  const { guest, net } = bench;
  const answer = [WIRE_PEER, TAP, 'answer', '100', '10.82.100.1', '60'];
  const station = net.spawn('python3', answer, { stdio: ['ignore', 'pipe', 'inherit'] });
  // Or it ends, and the pings fail.
  const listening = Promise.race([once(station.stdout, 'data'), once(station, 'exit')]);
  try {
    await guest.ok('ip link add link eth0 name eth0.100 type vlan id 100');
    await guest.ok('ip addr add 10.82.100.2/24 dev eth0.100 && ip link set eth0.100 up');
    await bench.linkUp('eth0.100');
    await listening;
    await bench.pingFromGuest('10.82.100.1');
    const received = async () => Number(await bench.sysfs('eth0', 'statistics/rx_packets'));
    for (const [vid, expected] of [
      ['100', 10],
      ['200', 0],
    ]) {
      const before = await received();
      await net.ok('python3', [WIRE_PEER, TAP, 'send', vid, VF0_MAC, '10']);
      await guest.ok(`sleep ${SETTLE_S}`);
      expectEqual((await received()) - before, expected, `frames received in VLAN ${vid}`);
    }
  } finally {
    station.kill();
    await guest.run('ip link del eth0.100');
  }
}

async function multicast(bench) {
  const { guest, net } = bench;
  const group = '239.82.1.2';
  const receive = bench.node(['group-receive', group, '6000', GUEST_IP, '50']);
  await guest.ok(`(${receive}; echo status $?) > /tmp/group 2>&1 &`);
  await guest.until('grep -q joined /tmp/group');
  const before = (await bench.ethtoolCounters()).multicast;
  const sendTo = (to) => net.ok(process.execPath, [PEER, 'group-send', to, '6000', HOST_IP, '50']);
  await sendTo(group);
  await guest.until('grep -q status /tmp/group');
  expectMatch(await guest.ok('cat /tmp/group'), /50 datagrams\nstatus 0/, 'the receiver');
  await guest.ok(`sleep ${SETTLE_S}`);
  const heard = (await bench.ethtoolCounters()).multicast;
  expectTrue(heard - before >= 50, `multicast counter rose by ${heard - before}`);
  // Another group, with another hash: 01:00:5e:51:07:09 is not in the table.
  await sendTo('239.81.7.9');
  await guest.ok(`sleep ${SETTLE_S}`);
  const after = (await bench.ethtoolCounters()).multicast;
  expectEqual(after, heard, 'multicast counter, after frames of a group that nobody joined');
}

async function ipv6(bench) {
  const { guest, net } = bench;
  await guest.ok('echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6');
  await guest.ok('ip addr add fd82::2/64 dev eth0');
  await net.ok('sh', ['-c', `echo 0 > /proc/sys/net/ipv6/conf/${TAP}/disable_ipv6`]);
  await net.ip(`addr add fd82::1/64 dev ${TAP}`);
  // Duplicate address detection, which needs the solicited-node groups, takes a second.
  await guest.ok('sleep 3');
  await bench.pingFromGuest('fd82::1');
  await bench.pingFromHost('fd82::2');
  await guest.ok('echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6');
  await net.ok('sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${TAP}/disable_ipv6`]);
}

/** VF to VF, which never reaches the wire. */
function loopback(bench) {
  const { guest, net } = bench;
  return bench.withSecondVf(async (inside) => {
    await bench.pingFromHost(SECOND_IP);
    const before = await net.counter(TAP, 'rx_packets');
    await bench.pingFromGuest(SECOND_IP);
    // The first ARP request is a broadcast and goes to the wire, too.
    const leaked = (await net.counter(TAP, 'rx_packets')) - before;
    expectTrue(leaked <= 3, `${leaked} frames between the VFs went to the wire`);
    // The same in a VLAN: the tag goes in and out by descriptors on both sides.
    const vlan = (at, name, ip) =>
      guest.ok(
        `${at} ip link add link ${name} name ${name}.300 type vlan id 300; ${at} ip addr add ${ip}/24 dev ${name}.300; ${at} ip link set ${name}.300 up`,
      );
    await vlan('', 'eth0', '10.82.30.2');
    await vlan(inside, 'eth1', '10.82.30.3');
    await bench.pingFromGuest('10.82.30.3');
    await guest.ok('ip link del eth0.300');
  });
}

async function jumbo(bench) {
  expectEqual((await bench.mtu(9000)).status, 0, 'status of ip link set eth0 mtu 9000');
  await bench.linkUp();
  const before = await bench.net.counter(TAP, 'rx_packets');
  await bench.pingFromGuest(HOST_IP, '-s 8972');
  const frames = (await bench.net.counter(TAP, 'rx_packets')) - before;
  expectTrue(frames < 2 * PINGS, `${PINGS} pings of 9000 bytes left in ${frames} frames`);
  await bench.pingFromHost(GUEST_IP, ['-s', '8972']);
  const text = await bench.tcp();
  expectEqual((await bench.mtu(1500)).status, 0, 'status of ip link set eth0 mtu 1500');
  await bench.linkUp();
  await bench.pingFromGuest(HOST_IP);
  return text;
}

async function ringSizes(bench) {
  for (const size of [64, 4096, 512]) {
    await bench.guest.ok(`ethtool -G eth0 rx ${size} tx ${size}`);
    await bench.linkUp();
    await bench.pingFromGuest(HOST_IP);
  }
}

async function downAndUp(bench) {
  const { guest } = bench;
  for (let i = 0; i < 3; i++) {
    await guest.ok('ip link set eth0 down; ip link set eth0 up');
    await bench.linkUp();
    await bench.pingFromGuest(HOST_IP);
  }
}

async function reload(bench) {
  const { guest } = bench;
  await guest.ok('rmmod ixgbevf && load ixgbevf');
  await guest.ok('echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6');
  await guest.ok(`ip addr add ${GUEST_IP}/24 dev eth0 && ip link set eth0 up`);
  await bench.linkUp();
  await bench.pingFromGuest(HOST_IP);
  await bench.pingFromHost(GUEST_IP);
}

async function cleanMessages(bench) {
  const lines = (await bench.guest.ok('dmesg')).split('\n');
  const bad = lines.filter((line) => TROUBLE.test(line));
  expectEqual(bad.join('\n'), '', 'lines of the kernel');
  expectEqual(bench.model.faults, 0, "faults of the model's IOMMU");
}

const PROBE = [
  ['the driver probes both VFs and takes the MACs that the PF assigned', probes],
  ['the link comes up at 10 Gbit/s', linkComesUp],
  ['ping from guest to host and from host to guest loses nothing', ping],
  ['TCP carries 16 MB each way unchanged, with segmentation and checksum offload', tcp],
];
const CLEAN = [
  'the kernel has nothing to complain about, and the model saw no fault',
  cleanMessages,
];
const FULL = [
  ...PROBE,
  ["the counters of kernel, driver's queues, model and TAP interface agree", counters],
  ['a VLAN that was joined is heard, tagged on the wire; another is not', vlanOnWire],
  ['a multicast group that was joined is heard, another is not', multicast],
  ['IPv6 finds its neighbour', ipv6],
  ['two VFs of one port reach each other without the wire', loopback],
  ['TCP inside VXLAN arrives segment by segment, without a wrong header', vxlan],
  ['SCTP arrives with its checksums', sctp],
  ['MTU 9000 carries frames of 9014 bytes, and TCP over them', jumbo],
  ['rings of 64, 4096 and 512 descriptors work', ringSizes],
  ['the interface goes down and comes up three times', downAndUp],
  ['the module is removed and loaded again', reload],
  CLEAN,
];
// On a shared page every store reads back as it was made, so the test of VFRDLEN's low bits can
// only pass where pages are trapped.
const TRAPPED = [
  ...PROBE,
  ['ethtool -t passes: registers, interrupts, link', selfTest],
  ['MTU 9000 is refused by a PF whose own MTU is 1500', jumboRefused],
  ['the module is removed and loaded again', reload],
  CLEAN,
];

/** Every BAR page the way a client maps it, a PF with jumbo frames. */
export function stockDriver(context) {
  return drive(context, FULL, ['--pf-mtu', '9000'], 'pages shared');
}

/** No page shared, a PF with the standard MTU. */
export function stockDriverTrapped(context) {
  return drive(context, TRAPPED, ['--trap-all'], 'all trapped');
}

async function drive(context, checks, options, mode) {
  const { report, kernel, tools, accel, personality } = context;
  report.section(`Linux ${kernel.release}: stock ixgbevf, PF ${personality}, ${mode} (${accel})`);
  const reason = noTapReason();
  if (reason !== undefined) {
    for (const [sentence] of checks) report.skip(sentence, reason);
    return;
  }
  const net = await HostNet.make(tools);
  let model;
  let bench;
  try {
    // Before the model makes the interface: router solicitations would be counted.
    await net.ok('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6']);
    const ports = ['--ports', '1', '--vfs', '2', '--port0', `tap:${TAP}`, '--pf', personality];
    model = await Model.start([...ports, ...options], net);
    await net.ip(`addr add ${HOST_IP}/24 dev ${TAP}`);
    await net.ip(`link set ${TAP} up`);
    bench = new StockBench(context, model, net);
    if (!(await report.check('the guest boots', () => bench.boot()))) return;
    let passed = 0;
    for (const [i, [sentence, run]] of checks.entries()) {
      if (await report.check(sentence, () => run(bench))) {
        passed++;
        continue;
      }
      if (run !== probes && run !== linkComesUp) continue;
      for (const [rest] of checks.slice(i + 1)) report.skip(rest, 'the driver has no link');
      break;
    }
    await model.nextCounters();
    report.row(
      kernel.release,
      `ixgbevf, ${personality}, ${mode}`,
      `${passed} of ${checks.length} checks`,
      model.delivered,
      model.faults,
    );
  } finally {
    await bench?.guest?.close();
    await model?.close();
    await net.close();
    for (const line of model?.violations ?? []) report.note(`the model says: ${line}`);
  }
}
