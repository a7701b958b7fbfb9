// Runs in a process of its own, under an LD_PRELOAD library that answers VFIO's calls or as another
// user: does the steps it is given on the built library, and prints what came of each as JSON.
// argv[2]: {"sysfs", "dev", "steps": [[name, ...arguments], ...]}

import { readdirSync } from 'node:fs';
import { openVf } from '../../../dist/ixgbevf/vf.js';
import { processArena } from '../../../dist/memory/arena.js';
import { iovaOf } from '../../../dist/memory/iova.js';
import { native } from '../../../dist/support/native.js';
import { openKernelDevice } from '../../../dist/vfio/kernel/open.js';

const { sysfs, dev, steps } = JSON.parse(process.argv[2]);
const arena = processArena();
const devices = {};
const vfs = {};
const logged = [];
const log = {
  debug: () => {},
  info: (text) => logged.push(`info: ${text}`),
  warn: (text) => logged.push(`warn: ${text}`),
};

const STATUS = new Float64Array(4);
const MAPPING = { sizeBytes: 4096, fd: 0, fdOffset: 0 };
const STEPS = {
  open(address, abi) {
    const options = { dev, sysfs, log, ...(abi === undefined ? {} : { abi }) };
    devices[address] = openKernelDevice(address, arena, options);
  },
  async start(address) {
    vfs[address] = await openVf(devices[address], arena, {});
    return { mac: vfs[address].mac };
  },
  async stop(address) {
    await vfs[address].close();
  },
  facts(address) {
    const { deviceId, vectors, iovaRanges } = devices[address];
    const offsets = [0, 1, 2, 3].map((page) => devices[address].pageOffset(page));
    const window = Math.max(...offsets.map((offset, page) => offset - page * 4096));
    const mapped = offsets.map((offset, page) => offset > 0 && offset === window + page * 4096);
    return { address: devices[address].address, deviceId, vectors, iovaRanges, mapped };
  },
  read32: (address, offset) => devices[address].read32(offset),
  write32: (address, offset, value) => devices[address].write32(offset, value),
  /** The page as the driver's rings reach it. */
  readPage: (address, page, offset) =>
    arena.views.u32[(devices[address].pageOffset(page) + offset) / 4],
  /** The devices leave the bus: fake-kernel.c has memfds of that size for them. */
  vanish() {
    for (const name of readdirSync('/proc/self/fd')) {
      const fd = Number(name);
      if (native().fstat(fd, STATUS) === 0 && STATUS[2] === 8 * 2 ** 40) native().ftruncate(fd, 0);
    }
  },
  config: (address, offset) => devices[address].readConfig16(offset),
  setConfig: (address, offset, value) => devices[address].writeConfig16(offset, value),
  grow(megabytes) {
    arena.allocateDma(megabytes * 1024 * 1024);
  },
  attach: (address) => arena.attach(devices[address]),
  detach: (address) => arena.detach(devices[address]),
  map(address, offset, sizeBytes) {
    const at = arena.allocateDma(sizeBytes, 4096);
    const place = { offset: at, address: arena.address + at };
    devices[address].mapDma({ ...MAPPING, ...place, sizeBytes, iova: iovaOf(offset) });
  },
  /** The same user address for everybody. */
  mapSame(address, offset, sizeBytes) {
    STEPS.mapSame.at ??= arena.allocateDma(2 * 1024 * 1024, 4096);
    const place = { offset: STEPS.mapSame.at, address: arena.address + STEPS.mapSame.at };
    devices[address].mapDma({ ...MAPPING, ...place, sizeBytes, iova: iovaOf(offset) });
  },
  unmap: (address, offset, sizeBytes) => devices[address].unmapDma(iovaOf(offset), sizeBytes),
  /** "new" makes an eventfd. */
  vectors(address, fds) {
    const made = fds.map((fd) => (fd === 'new' ? native().eventfd(0, 0) : fd));
    devices[address].enableVectors(made);
    return made.map((fd) => (fd < 0 ? fd : 'fd'));
  },
  noVectors: (address) => devices[address].disableVectors(),
  events: (address) => devices[address].takeEvents(),
  reset: (address) => devices[address].reset(),
  close: (address) => devices[address].close(),
  logged: () => logged,
};

// A WebAssembly.Memory that grows sets the rights of all its pages anew, and with that the trapped BAR
// pages of the preload library would trap no more: so it grows before there are any.
arena.releaseWindow(arena.reserveWindow(1 << 20));
arena.releaseDma(arena.allocateDma(96 << 20));

const results = [];
for (const [name, ...given] of steps) {
  try {
    results.push({ value: (await STEPS[name](...given)) ?? null });
  } catch (error) {
    results.push({ error: { name: error.name, errno: error.errno, message: error.message } });
  }
}
process.stdout.write(JSON.stringify(results));
