// Whether everybody who counts frames between the wire and the guest counts the same: TAP interface,
// model, Linux's driver, its queues, the kernel's interface statistics. They are compared as of one
// moment in which nothing moves, to the frame; nothing is allowed for.

import { expectEqual } from '../report.mjs';
import { GUEST_IP, TAP } from './stock-bench.mjs';

/** The driver's statistics task and the watchdog run every two seconds. */
const SETTLE_S = 3;
/** Looks, until two in a row are the same; a neighbour probe may come in between for a while. */
const MOST_LOOKS = 10;

/** One look at all of them, one after the other: frames may move meanwhile. */
async function look({ guest, net, model }) {
  const fromTap = await net.counter(TAP, 'tx_packets');
  const toTap = await net.counter(TAP, 'rx_packets');
  const ethtool = await guest.ok('ethtool -S eth0');
  const statistics = await guest.ok('cd /sys/class/net/eth0/statistics; grep . *');
  // What is printed may have been counted before this; the report after the next was not.
  await model.nextCounters();
  await model.nextCounters();
  return { fromTap, toTap, ethtool, statistics, model: { ...model.counters(0, 0) } };
}

/**
 * The counters of a quiet time. Counters only grow, so two looks that are the same show that no
 * frame moved from the end of the first to the beginning of the second: all of it held at once.
 */
async function quietLook(bench) {
  let before = '';
  for (let i = 0; i < MOST_LOOKS; i++) {
    const now = await look(bench);
    const text = JSON.stringify(now);
    if (text === before) return now;
    before = text;
    await bench.guest.ok(`sleep ${SETTLE_S}`);
  }
  throw new Error(`counters still move after ${MOST_LOOKS} looks: ${before}`);
}

/** Numbers by name, from lines such as "  name: 12" and "name:12". */
function numbers(text) {
  const rows = [...text.matchAll(/^\s*(\w+):\s*(\d+)$/gm)];
  return Object.fromEntries(rows.map((match) => [match[1], Number(match[2])]));
}

export async function counters(bench) {
  // Has the wire's side ask for the guest's MAC 5 s from now, as it does by itself some time after
  // traffic: a comparison that such a frame can slip into fails here.
  await bench.net.ip(`neigh change ${GUEST_IP} dev ${TAP} nud delay`);
  const { fromTap, toTap, ethtool, statistics, model } = await quietLook(bench);
  const driver = numbers(ethtool);
  const kernel = numbers(statistics);
  const { offered, delivered, filtered, missedNoDescriptor, missedDisabled } = model;
  expectEqual(offered, fromTap, 'frames offered to the model, against the TAP interface');
  const lost = filtered + missedNoDescriptor + missedDisabled;
  expectEqual(delivered, offered - lost, `frames delivered of ${offered}, less ${lost} dropped`);
  expectEqual(driver.rx_packets, delivered, 'frames received, against the model');
  expectEqual(driver.tx_packets, toTap, 'frames sent, against the TAP interface');
  for (const direction of ['rx', 'tx']) {
    for (const unit of ['packets', 'bytes']) {
      const total = driver[`${direction}_${unit}`];
      const queue = new RegExp(`^${direction}_queue_\\d+_${unit}$`);
      const names = Object.keys(driver).filter((name) => queue.test(name));
      const sum = names.reduce((all, name) => all + driver[name], 0);
      expectEqual(
        sum,
        total,
        `${unit} of the ${names.length} ${direction} queues, against ethtool`,
      );
      expectEqual(kernel[`${direction}_${unit}`], total, `${direction} ${unit} of the interface`);
    }
    expectEqual(kernel[`${direction}_errors`], 0, `${direction}_errors of the interface`);
  }
  expectEqual(driver.rx_csum_offload_errors, 0, 'rx_csum_offload_errors');
  expectEqual(driver.tx_timeout_count, 0, 'tx_timeout_count');
  return `${driver.rx_packets} in, ${driver.tx_packets} out, ${lost} dropped`;
}
