// Runs in the guest: the driver's features on two VFs whose ports a cable joins, so that one process
// sees both ends. One JSON object on stdout: {passed: [NAME], failed: [{name, message}]}.
//   driver-checks.mjs ADDRESS0 ADDRESS1
// The addresses may be vfio-user sockets, too.

import { openVf } from '../../dist/ixgbevf/vf.js';
import { processArena } from '../../dist/memory/arena.js';
import { createMempool } from '../../dist/memory/mempool.js';
import { packetViews } from '../../dist/memory/packet-views.js';
import { native } from '../../dist/support/native.js';
import { parseAddress } from '../../dist/vfio/address.js';
import { VfioUserDevice } from '../../dist/vfio/user/client.js';
import { interruptChecks } from './interrupt-checks.mjs';

const MACS = ['02:09:c0:00:00:00', '02:09:c0:00:01:00'];
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const STRANGER = '02:00:00:00:00:99';
const GROUP = '01:00:5e:51:07:09';
const MAX_FRAME = 9018;
/** How long nothing need move before it counts as lost: an emulated CPU shares a real one with whatever else runs. */
const ARRIVE_MS = 30_000;
/** How long nothing has to come where nothing should. */
const SILENT_MS = 300;

const addresses = process.argv.slice(2, 4);
const arena = processArena();

async function device(address) {
  if (parseAddress(address).kind === 'vfio-user') return VfioUserDevice.connect(address, arena, {});
  const { openKernelDevice } = await import('../../dist/vfio/kernel/open.js');
  return openKernelDevice(address, arena);
}

function fail(what, expected, got) {
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
}

function equal(got, expected, what) {
  if (JSON.stringify(got) !== JSON.stringify(expected)) fail(what, expected, got);
}

const bytesOf = (mac) => mac.split(':').map((part) => Number.parseInt(part, 16));

/** A frame that is different for every id, in every byte behind its header. */
function frame({ dst, src, vlan, length = 60, id = 0 }) {
  const head = [...bytesOf(dst), ...bytesOf(src)];
  if (vlan !== undefined) head.push(0x81, 0x00, vlan >> 8, vlan & 0xff);
  head.push(0x88, 0xb5, id >>> 24, (id >>> 16) & 0xff, (id >>> 8) & 0xff, id & 0xff);
  return Uint8Array.from({ length }, (_, i) => (i < head.length ? head[i] : (i * 7 + id) & 0xff));
}

const mempool = createMempool(arena, { count: 4096, bufferBytes: 10_240 });
const free = mempool.available;
const views = packetViews(mempool);
const batch = new Int32Array(64);
let vfs = [];
let devices = [];

async function openBoth(options = {}) {
  devices = [];
  vfs = [];
  for (const address of addresses) {
    const one = await device(address);
    devices.push(one);
    vfs.push(await openVf(one, arena, { mempool, maxFrame: MAX_FRAME, ...options }));
  }
  await link();
}

function closeBoth() {
  for (const vf of vfs) vf.close();
  equal(mempool.available, free, 'buffers back in the mempool');
}

/** Lets other threads and the machine's other CPU go on. */
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

async function link() {
  const end = performance.now() + ARRIVE_MS;
  while (!vfs.every((vf) => vf.link().up)) {
    if (performance.now() > end) fail('link of both VFs', 'up', 'down');
    pause(10);
  }
}

/** Frames that a VF has now, as copies. */
function take(vf, into) {
  for (const queue of vf.rx) {
    const n = queue.batch(batch, 0, batch.length);
    for (let i = 0; i < n; i++) into.push(views.frame(batch[i]).slice());
    mempool.giveBatch(batch, 0, n);
  }
}

/** Sends frames from one VF and receives on the other meanwhile, until `expected` came or time is up. */
function pass(from, to, frames, expected = frames.length, queue = 0) {
  const got = [];
  const bufs = new Int32Array(32);
  let end = performance.now() + ARRIVE_MS;
  /** As long as frames move there is time. */
  const receive = () => {
    const before = got.length;
    take(vfs[to], got);
    if (got.length > before) end = performance.now() + ARRIVE_MS;
  };
  for (let at = 0; at < frames.length; ) {
    const n = mempool.takeBatch(bufs, 0, Math.min(bufs.length, frames.length - at));
    for (let i = 0; i < n; i++) views.fill(bufs[i], frames[at + i]);
    const sent = vfs[from].tx[queue].batch(bufs, 0, n);
    mempool.giveBatch(bufs, sent, n - sent);
    at += sent;
    receive();
    if (performance.now() > end) fail('frames sent in time', frames.length, at);
    if (sent === 0) pause(1);
  }
  while (got.length < expected && performance.now() < end) {
    receive();
    if (got.length < expected) pause(1);
  }
  return got;
}

/** What passes is byte for byte what was sent, in order. */
function passWhole(from, to, frames) {
  const got = pass(from, to, frames);
  equal(got.length, frames.length, `frames from VF ${from} to VF ${to}`);
  for (const [i, bytes] of frames.entries()) {
    const same = Buffer.compare(got[i], bytes) === 0;
    if (!same) fail(`frame ${i} of ${bytes.length} bytes`, [...bytes], [...got[i]]);
  }
}

const between = (from, to, fields) => frame({ dst: MACS[to], src: MACS[from], ...fields });

function nothingPasses(from, to, frames) {
  const got = pass(from, to, frames, 0);
  pause(SILENT_MS);
  take(vfs[to], got);
  equal(got.length, 0, 'frames that came through');
}

const CHECKS = {
  'MAC, mailbox version and link are those of the PF': () => {
    equal(
      vfs.map((vf) => vf.mac),
      MACS,
      'MACs',
    );
    equal(
      vfs.map((vf) => vf.link()),
      addresses.map(() => ({ up: true, speedMbps: 10_000, enabled: true })),
      'link',
    );
    if (!vfs.every((vf) => vf.macAssigned)) fail('MAC', 'assigned', 'made up');
  },
  'every length from 60 to 1,514 bytes arrives byte for byte, both ways': () => {
    const lengths = Array.from({ length: 1455 }, (_, i) => 60 + i);
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ])
      passWhole(
        from,
        to,
        lengths.map((length, id) => between(from, to, { length, id })),
      );
  },
  'jumbo frames up to 9,014 bytes arrive byte for byte': () => {
    const lengths = [1515, 2048, 2049, 4096, 8999, MAX_FRAME - 4];
    passWhole(
      0,
      1,
      lengths.map((length, id) => between(0, 1, { length, id })),
    );
  },
  'short frames are padded with zeros': () => {
    const short = between(0, 1, { length: 40, id: 3 });
    const [got] = pass(0, 1, [short]);
    equal([...got], [...short, ...new Array(20).fill(0)], 'the frame');
  },
  '20,000 frames go round the rings many times, in order': () => {
    const frames = Array.from({ length: 20_000 }, (_, id) => between(0, 1, { id }));
    passWhole(0, 1, frames);
  },
  'a VLAN that was joined is heard, another is not': () => {
    vfs[1].addVlan(100);
    const tagged = (vlan) => [1, 2, 3].map((id) => between(0, 1, { vlan, length: 64, id }));
    vfs[0].addVlan(100);
    passWhole(0, 1, tagged(100));
    nothingPasses(0, 1, tagged(200));
    for (const vf of vfs) vf.removeVlan(100);
    nothingPasses(0, 1, tagged(100));
  },
  'broadcast and a group that was joined are heard, other stations are not': () => {
    passWhole(0, 1, [frame({ dst: BROADCAST, src: MACS[0], id: 1 })]);
    const group = [frame({ dst: GROUP, src: MACS[0], id: 2 })];
    nothingPasses(0, 1, group);
    vfs[1].joinMulticast(GROUP);
    passWhole(0, 1, group);
    nothingPasses(0, 1, [frame({ dst: STRANGER, src: MACS[0] })]);
  },
  "a frame with somebody else's source MAC does not leave": () => {
    nothingPasses(0, 1, [frame({ dst: MACS[1], src: STRANGER })]);
  },
  'hardware statistics are what was sent and received': () => {
    const before = vfs.map((vf) => vf.stats());
    const frames = [60, 61, 777, 1514].map((length, id) => between(0, 1, { length, id }));
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    passWhole(0, 1, frames);
    // The model puts counters on a shared page now and then.
    const end = performance.now() + ARRIVE_MS;
    const counted = () =>
      vfs[0].stats().txPackets - before[0].txPackets > 3 &&
      vfs[1].stats().rxPackets - before[1].rxPackets > 3;
    while (!counted() && performance.now() < end) pause(10);
    const [sender, receiver] = vfs.map((vf) => vf.stats());
    equal(sender.txPackets - before[0].txPackets, 4, 'txPackets');
    equal(sender.txBytes - before[0].txBytes, bytes, 'txBytes');
    equal(receiver.rxPackets - before[1].rxPackets, 4, 'rxPackets');
    equal(receiver.rxBytes - before[1].rxBytes, bytes, 'rxBytes');
  },
  'both are reset and go on': async () => {
    for (let i = 0; i < 3; i++) {
      for (const vf of vfs) vf.restart();
      await link();
      passWhole(0, 1, [between(0, 1, { id: i })]);
      passWhole(1, 0, [between(1, 0, { id: i })]);
    }
  },
  'closed and opened again, five times, with two queues and rings of 64 to 512': async () => {
    for (const rings of [64, 512, 128, 256, 512]) {
      closeBoth();
      const options = { rxRingSize: rings, txRingSize: rings };
      await openBoth({ ...options, rxQueues: 2, txQueues: 2 });
      const frames = Array.from({ length: 200 }, (_, id) => between(0, 1, { id }));
      passWhole(0, 1, frames);
      equal(pass(0, 1, frames, 200, 1).length, 200, 'frames from the second queue');
    }
    equal(
      vfs.map((vf) => vf.checkHealth().resetNeeded),
      [false, false],
      'reset needed',
    );
  },
};

/** The kernel takes the mapping away: without a guard the load would be a SIGBUS. */
async function vanishedBar() {
  const one = await device(addresses[0]);
  equal(one.pageOffset(0) < 0, false, 'page 0 is trapped');
  one.writeConfig16(4, 0);
  equal([one.read32(8), one.read32(0x1028)], [0xffffffff, 0xffffffff], 'registers');
  one.close();
  const again = await device(addresses[0]);
  again.writeConfig16(4, 6);
  equal(again.read32(8) === 0xffffffff, false, 'registers of the device opened again are all ones');
  again.close();
}

const passed = [];
const failed = [];

async function check(name, run) {
  try {
    await run();
    passed.push(name);
  } catch (error) {
    failed.push({ name, message: error.message });
  }
}

try {
  await openBoth();
  for (const [name, run] of Object.entries(CHECKS)) await check(name, run);
  const rig = { device: devices[1], shim: native(), equal, pause };
  const send = (id) => passWhole(0, 1, [between(0, 1, { id })]);
  for (const [name, run] of Object.entries(interruptChecks(rig, send))) await check(name, run);
  await check('everything is given back', closeBoth);
  if (parseAddress(addresses[0]).kind !== 'vfio-user') {
    await check('a BAR whose memory is off reads all ones', vanishedBar);
  }
} catch (error) {
  failed.push({ name: 'open', message: error.message });
}
console.log(JSON.stringify({ passed, failed }));
