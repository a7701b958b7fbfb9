// What Linux leaves to the hardware beside TCP over IP: segments of TCP inside VXLAN, whose outer headers the
// device sums as it is told to, and SCTP's CRC32c. From VF to VF, since hosts may lack both.

import { fileURLToPath } from 'node:url';
import { guestPath } from '../initramfs.mjs';
import { expectEqual, expectMatch } from '../report.mjs';
import { GUEST_IP, SECOND_IP } from './stock-bench.mjs';

const SCTP_PEER = guestPath(fileURLToPath(new URL('../sctp-peer.py', import.meta.url)));
/** The host's; busybox knows no VXLAN. */
const IP = 'host /usr/bin/env ip';
const TCP_BYTES = 4_000_000;
const SCTP_BYTES = 500_000;

/** Counters of /proc/net/snmp by name, of the namespace that `inside` enters. */
async function snmp({ guest }, inside) {
  const rows = (await guest.ok(`${inside} cat /proc/net/snmp`)).split('\n');
  const counters = {};
  for (let i = 0; i + 1 < rows.length; i += 2) {
    const [names, values] = [rows[i], rows[i + 1]].map((row) => row.split(' ').slice(1));
    const protocol = rows[i].split(':')[0];
    for (const [k, name] of names.entries()) counters[`${protocol}.${name}`] = Number(values[k]);
  }
  return counters;
}

/** One stream through a tunnel: nothing arrives with a header that is wrong. @returns what was counted, in words */
async function stream(bench, inside, to) {
  const { guest } = bench;
  const before = [await snmp(bench, ''), await snmp(bench, inside)];
  await guest.ok(`${inside} ${bench.node(['tcp-serve', to, '5003'])} > /tmp/serve 2>&1 &`);
  const sent = await guest.ok(bench.node(['tcp-send', to, '5003', `${TCP_BYTES}`]));
  const after = [await snmp(bench, ''), await snmp(bench, inside)];
  const more = (name) => after.reduce((sum, one, i) => sum + one[name] - before[i][name], 0);
  for (const name of ['Ip.InHdrErrors', 'Tcp.InCsumErrors', 'Udp.InCsumErrors'])
    expectEqual(more(name), 0, `${name} while TCP went to ${to}`);
  return `${sent}, ${more('Tcp.RetransSegs')} of ${more('Tcp.OutSegs')} segments sent again`;
}

/** VXLAN over IPv4: IPv6 inside as Linux sets it up, IPv4 inside once its identification may be changed. */
export async function vxlan(bench) {
  const { guest } = bench;
  await guest.ok('load vxlan');
  return bench.withSecondVf(async (inside) => {
    const ends = [
      ['', 'eth0', GUEST_IP, SECOND_IP, 1],
      [inside, 'eth1', SECOND_IP, GUEST_IP, 2],
    ];
    for (const [at, name, local, remote, host] of ends) {
      const tunnel = `vxlan id 42 local ${local} remote ${remote} dstport 4789 dev ${name}`;
      await guest.ok(`${at} ${IP} link add vx${host} type ${tunnel}`);
      await guest.ok(`${at} ${IP} addr add fd42::${host}/64 dev vx${host} nodad`);
      await guest.ok(`${at} ip addr add 10.42.0.${host}/24 dev vx${host}`);
      await guest.ok(`${at} ip link set vx${host} up`);
    }
    const six = await stream(bench, inside, 'fd42::2');
    await guest.ok('ethtool -K eth0 tx-tcp-mangleid-segmentation on');
    await guest.ok('ethtool -K vx1 tx-tcp-mangleid-segmentation on');
    const four = await stream(bench, inside, '10.42.0.2');
    await guest.ok('ethtool -K eth0 tx-tcp-mangleid-segmentation off; ip link del vx1');
    return `IPv6: ${six}; IPv4: ${four}`;
  });
}

/** SCTP with the features that the driver comes with: the queue goes on, and no checksum is wrong. */
export async function sctp(bench) {
  const { guest } = bench;
  // libcrc32c asks for it by name, which nothing in the module tells.
  await guest.ok('load crc32c_generic && load sctp');
  expectMatch(await guest.ok('ethtool -k eth0'), /tx-checksum-sctp: on/, 'ethtool -k');
  return bench.withSecondVf(async (inside) => {
    const peer = `host /usr/bin/python3 ${SCTP_PEER}`;
    await guest.ok(`${inside} ${peer} serve ${SECOND_IP} 5004 > /tmp/serve 2>&1 &`);
    await guest.until('grep -q listening /tmp/serve', 'cat /tmp/serve');
    const sent = await guest.ok(`${peer} send ${SECOND_IP} 5004 ${SCTP_BYTES}`);
    for (const at of ['', inside]) {
      const counters = await guest.ok(`${at} cat /proc/net/sctp/snmp`);
      expectMatch(counters, /SctpChecksumErrors\s+0\n/, 'counters of SCTP');
    }
    await bench.pingFromGuest(SECOND_IP);
    return sent;
  });
}
