// Runs in the guest: lets a VF that the driver has started reach for memory that nobody mapped, by
// putting addresses of its own choice into the rings, then for what it may reach. One JSON object
// on stdout. Registers and descriptor bits are written out: this is no user of src/hw.
//   outside-dma.mjs ADDRESS

import { openVf } from '../../dist/ixgbevf/vf.js';
import { processArena } from '../../dist/memory/arena.js';
import { openKernelDevice } from '../../dist/vfio/kernel/open.js';

/** Low and high word of addresses outside every map: the guest's RAM, a hole, far above everything. */
const OUTSIDE = [
  [0x0200_0000, 0],
  [0x9000_0000, 0],
  [0x0000_1000, 0x40],
];
const LENGTH = 60;
/** EOP, IFCS, RS, DEXT, data. */
const COMMAND = LENGTH | (3 << 20) | (1 << 24) | (1 << 25) | (1 << 27) | (1 << 29);
const CONTEXT_CHECK = 0x80;
const WAIT_MS = 300;

const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS);

const arena = processArena();
const device = openKernelDevice(process.argv[2], arena);
const vf = await openVf(device, arena);
const views = () => arena.views;
const bufs = new Int32Array(64);
const result = { txDone: [], txFrames: [], rxFrames: [], received: 0 };

function ringWord(register, index) {
  return (device.read32(register) >>> 2) + index * 4;
}

for (const [low, high] of OUTSIDE) {
  vf.restart();
  const frames = device.read32(0x201c);
  const slot = device.read32(0x2018);
  const d = ringWord(0x2000, slot);
  const heap = views().i32;
  heap[d] = low;
  heap[d + 1] = high;
  heap[d + 2] = COMMAND;
  heap[d + 3] = (LENGTH << 14) | CONTEXT_CHECK;
  device.write32(0x2018, slot + 1);
  pause();
  result.txDone.push(heap[d + 3] & 1);
  result.txFrames.push((device.read32(0x201c) - frames) >>> 0);
}

for (const [low, high] of OUTSIDE) {
  vf.restart();
  const heap = views().i32;
  const slots = device.read32(0x1008) / 16;
  for (let i = 0; i < slots; i++) {
    const d = ringWord(0x1000, i);
    // What was received already keeps its DD.
    if ((heap[d + 2] & 1) !== 0) continue;
    // The high word first: the old low word below it is outside, too.
    heap[d + 1] = high;
    heap[d] = low;
  }
  // Whatever was under way while the addresses were written.
  pause();
  const frames = device.read32(0x101c);
  pause();
  result.rxFrames.push((device.read32(0x101c) - frames) >>> 0);
}

vf.restart();
for (let i = 0; i < 20; i++) {
  const n = vf.rx[0].batch(bufs, 0, bufs.length);
  result.received += n;
  vf.mempool.giveBatch(bufs, 0, n);
  pause();
  if (result.received > 0) break;
}
vf.close();
console.log(JSON.stringify(result));
