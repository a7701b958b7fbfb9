// Runs in the guest: the kernel's VFIO on a VF that its own PF made, QEMU's igb (an 82576), whose registers this
// project's driver does not know. So only the device class is used. Registers and descriptor bits are written out
// from the 82576's datasheet (3.21, sec 8 and 9). One JSON object on stdout.
//   sriov-checks.mjs check ADDRESS     BAR0, COMMAND, interrupts, DMA, reset
//   sriov-checks.mjs hold ADDRESS [FILE]
//     opens it, says so, and gives it back when the host asks; with FILE only once that exists

import { existsSync, readFileSync } from 'node:fs';
import { processArena } from '../../dist/memory/arena.js';
import { iovaOf } from '../../dist/memory/iova.js';
import { native } from '../../dist/support/native.js';
import { KernelDevice } from '../../dist/vfio/kernel/device.js';
import { attachByCdev } from '../../dist/vfio/kernel/iommufd.js';
import { fileAccess, readPciFacts } from '../../dist/vfio/kernel/sysfs.js';
import { attachByGroup } from '../../dist/vfio/kernel/type1.js';

const COMMAND = 4;
const STATUS = 0x0008;
const EICS = 0x1520;
const EIMS = 0x1524;
const EIMC = 0x1528;
const EICR = 0x1580;
/** The mailbox: its control register with VFU, REQ and PFSTS, its first word, and the message that makes a PF serve a VF. */
const MAILBOX = 0x0c40;
const [REQ, VFU, PFSTS] = [0x1, 0x4, 0x10];
const MAILBOX_WORD = 0x0800;
const VF_RESET = 0x1;
/** Tx queue 0: base, length in bytes, head, tail, control. */
const TDBAL = 0x3800;
const TDBAH = 0x3804;
const TDLEN = 0x3808;
const TDH = 0x3810;
const TDT = 0x3818;
const TXDCTL = 0x3828;
const TXDCTL_ENABLE = 1 << 25;
/** Advanced data descriptor: EOP, IFCS, RS, DEXT, type data; DD of its write-back. */
const TX_COMMAND = (3 << 20) | (1 << 24) | (1 << 25) | (1 << 27) | (1 << 29);
const DD = 1;
const FRAME_BYTES = 60;
const RING_BYTES = 4096;
const WAIT_MS = 10_000;
const LOOK_MS = 20;
const HOLD_MS = 120_000;

const REMOVAL = 1;
const [role, address, file] = process.argv.slice(2);
const arena = processArena();
const shim = native();
const warnings = [];
const log = { debug() {}, info() {}, warn: (text) => warnings.push(text) };
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const uptime = () => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

function open() {
  const machine = { sysfs: '/sys', dev: '/dev', access: fileAccess };
  const facts = readPciFacts(machine.sysfs, address);
  const attach = existsSync('/dev/vfio/devices') ? attachByCdev : attachByGroup;
  return new KernelDevice(address, facts.deviceId, attach(machine, facts), arena, log, () => {});
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

/** Waits until `look` gives something that holds. */
function until(look, what) {
  for (const end = performance.now() + WAIT_MS; performance.now() < end; pause(1)) {
    if (look()) return;
  }
  throw new Error(`waited ${WAIT_MS} ms for ${what}`);
}

function checkBar(device) {
  const pages = [0, 1, 2, 3].map((page) => device.pageOffset(page));
  expect(!pages.includes(-1), `BAR0 pages that are not mapped: ${pages}`);
  device.writeConfig16(COMMAND, 0x6);
  expect((device.readConfig16(COMMAND) & 0x4) !== 0, 'bus mastering does not stay on');
  expect(device.read32(STATUS) !== 0xffffffff, 'STATUS reads all ones');
  device.write32(EIMC, 0x7);
  device.write32(EIMS, 0x5);
  expect((device.read32(EIMS) & 0x7) === 0x5, 'EIMS does not keep what was written');
  device.write32(EIMC, 0x7);
}

function checkInterrupts(device) {
  const fds = Array.from({ length: device.vectors }, () => shim.eventfd(0, 0));
  device.enableVectors(fds);
  device.write32(EIMS, 0x7);
  for (const vector of fds.keys()) {
    device.write32(EICS, 1 << vector);
    until(() => shim.eventfdDrain(fds[vector]) > 0, `vector ${vector}`);
    device.read32(EICR);
  }
  device.disableVectors();
  device.write32(EICS, 0x7);
  pause(100);
  const late = fds.filter((fd) => shim.eventfdDrain(fd) > 0);
  expect(late.length === 0, `${late.length} vectors signal after they were disconnected`);
  device.write32(EIMC, 0x7);
  for (const fd of fds) shim.close(fd);
  return fds.length;
}

/** Has the PF let the VF send. @returns its answer */
function register(device) {
  device.write32(MAILBOX, VFU);
  device.write32(MAILBOX_WORD, VF_RESET);
  device.write32(MAILBOX, REQ);
  until(() => (device.read32(MAILBOX) & PFSTS) !== 0, 'the answer of the PF');
  return device.read32(MAILBOX_WORD);
}

/** Sends one frame from `iova`. */
function send(device, ring, slot, iova) {
  const d = ring / 4 + slot * 4;
  const heap = arena.views.i32;
  heap[d] = iova >>> 0;
  heap[d + 1] = Math.floor(iova / 2 ** 32);
  heap[d + 2] = TX_COMMAND | FRAME_BYTES;
  heap[d + 3] = FRAME_BYTES << 14;
  device.write32(TDT, slot + 1);
  until(() => (Atomics.load(arena.views.i32, d + 3) & DD) !== 0, `DD of descriptor ${slot}`);
}

/** The device writes DD into the ring; a frame from memory that was taken back is a fault, which dmesg has. */
function checkDma(device) {
  const ring = arena.allocateDma(RING_BYTES, 4096);
  const frame = arena.allocateDma(4096, 4096);
  const mapping = (offset, sizeBytes) => ({
    ...{ iova: iovaOf(offset), sizeBytes, offset, address: arena.address + offset },
    ...{ fd: 0, fdOffset: 0 },
  });
  device.mapDma(mapping(ring, RING_BYTES));
  device.mapDma(mapping(frame, 4096));
  device.write32(TDBAL, iovaOf(ring) >>> 0);
  device.write32(TDBAH, Math.floor(iovaOf(ring) / 2 ** 32));
  device.write32(TDLEN, RING_BYTES);
  device.write32(TDH, 0);
  device.write32(TDT, 0);
  device.write32(TXDCTL, TXDCTL_ENABLE);
  send(device, ring, 0, iovaOf(frame));
  const before = uptime();
  device.unmapDma(iovaOf(frame), 4096);
  send(device, ring, 1, iovaOf(frame));
  return { iova: `0x${iovaOf(frame).toString(16)}`, before };
}

/** A reset stops the queue and bus mastering; the maps stay, and the device can be used again. */
function checkReset(device) {
  const begin = performance.now();
  device.reset();
  const resetMs = performance.now() - begin;
  expect((device.readConfig16(COMMAND) & 0x4) === 0, 'bus mastering is on after a reset');
  expect((device.read32(TXDCTL) & TXDCTL_ENABLE) === 0, 'tx queue 0 runs after a reset');
  device.writeConfig16(COMMAND, 0x6);
  return Math.round(resetMs);
}

function check() {
  const device = open();
  const command = device.readConfig16(COMMAND);
  checkBar(device);
  const vectors = checkInterrupts(device);
  const answer = register(device);
  const fault = checkDma(device);
  const resetMs = checkReset(device);
  expect(device.takeEvents() === 0, 'an event though nothing happened');
  device.close();
  return { command, vectors, answer, fault, resetMs };
}

function errorOf(action) {
  try {
    action();
    return '';
  } catch (error) {
    return error.message;
  }
}

function hold() {
  const device = open();
  device.writeConfig16(COMMAND, 0x6);
  console.log('open');
  const end = performance.now() + HOLD_MS;
  let events = 0;
  while (events === 0 && performance.now() < end) {
    pause(LOOK_MS);
    events = device.takeEvents();
  }
  const asked = uptime();
  expect(events === REMOVAL, `expected the removal to be told, got ${events}`);
  const refused = errorOf(() => device.reset());
  const command = device.readConfig16(COMMAND);
  if (file !== undefined) console.log('asked');
  while (file !== undefined && !existsSync(file) && performance.now() < end) pause(LOOK_MS);
  device.close();
  return { asked, refused, command, closed: uptime() };
}

const result = (role === 'check' ? check : hold)();
console.log(JSON.stringify({ ...result, warnings }));
