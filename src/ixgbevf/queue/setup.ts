// Registers of the rx and tx queues: start, stop, defaults. 82599 DS sec 4.6.7
// (rx) and 4.6.8 (tx), in the order of linux ixgbevf_configure_rx_ring and
// _tx_ring. Descriptors and buffers are memory.ts. On shared BAR pages a
// store reads back at once, so a VFSTATUS read goes before every read-back that is trusted.

import { at, type Register } from '../../hw/define.ts';
import { VF_DEVICES } from '../../hw/pci.ts';
import {
  DESCTYPE_ADVANCED_ONE_BUFFER,
  MAX_QUEUES,
  PAGE_SIZE,
  VFDCA_RXCTRL,
  VFDCA_TXCTRL,
  VFMRQC,
  VFPSRTYPE,
  VFRDBAH,
  VFRDBAL,
  VFRDH,
  VFRDLEN,
  VFRDT,
  VFRXDCTL,
  VFSRRCTL,
  VFTDBAH,
  VFTDBAL,
  VFTDH,
  VFTDLEN,
  VFTDT,
  VFTDWBAH,
  VFTDWBAL,
  VFTXDCTL,
} from '../../hw/registers.ts';
import type { Clock } from '../../support/clock.ts';
import { pollSteps, pollUntil } from '../../support/poll.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import { flush, instanceName, readRegister, writeRegister } from '../access.ts';
import {
  armRx,
  armTx,
  clearDescriptors,
  HOST_TAG,
  QUEUE,
  type QueueMemory,
  STRIP_VLAN,
} from './memory.ts';

const KIB = 1024;
/** Header buffer that linux ixgbevf programs even where headers are not split. */
const HEADER_BYTES = 256;
const DEFAULT_BUFFER_BYTES = 2048;

const ENABLE_POLL_US = 100;
/** Silicon takes up to 100 us to stop a queue and a few ms to start one; the rest is margin. */
const ENABLE_TIMEOUT_US = 100_000;

/**
 * From ENABLE reading 0 to the last write to memory: the datasheet asks for about 100 us (82599 DS sec 4.6.7.1.2;
 * docs/82599-vf.md sec 5.8).
 */
const SETTLE_US = 100;

/** Prefetch and host thresholds of linux ixgbevf, in descriptors. WTHRESH stays 0: write back where RS asks. */
const PTHRESH = 32;
const HTHRESH = 1;

/** Relaxed ordering for descriptor reads only, as linux ixgbevf; bit 12 comes up as 1 and must be 0. */
const RX_DCA = VFDCA_RXCTRL.mask.DESC_RRO;
/** DESC_WRO stays 0, or DD could overtake what it reports. */
const TX_DCA = VFDCA_TXCTRL.mask.DESC_RRO | VFDCA_TXCTRL.mask.DATA_RRO;

/** Bytes of a buffer that the device fills: SRRCTL counts KiB. */
export function usableBufferBytes(bufferBytes: number, headroomBytes: number): number {
  return Math.floor((bufferBytes - headroomBytes) / KIB) * KIB;
}

/**
 * Programs and enables tx queues, and starts those whose ENABLE reads 1 within 100 ms.
 * May be left for a while wherever it yields.
 * @returns the others: `startLate` starts them when it does
 * @throws DeviceError when a queue does not stop first
 */
export function* startTx(
  device: VfioDevice,
  clock: Clock,
  queues: readonly QueueMemory[],
): Generator<void, QueueMemory[]> {
  for (const queue of queues) programTx(device, clock, queue);
  return yield* startEnabled(device, clock, queues);
}

/**
 * Fills rx queues, programs and enables them, and starts those whose ENABLE reads 1 within 100 ms.
 * May be left for a while wherever it yields.
 * @returns the others: `startLate` starts them when it does
 * @throws DeviceError when a queue does not stop first; RangeError when the mempool cannot fill the ring
 */
export function* startRx(
  device: VfioDevice,
  clock: Clock,
  queues: readonly QueueMemory[],
): Generator<void, QueueMemory[]> {
  for (const queue of queues) programRx(device, clock, queue);
  return yield* startEnabled(device, clock, queues);
}

/**
 * Starts those queues whose ENABLE reads 1 by now: a PF that has a VF's queues off may keep it 0 until it switches
 * them on.
 * @returns the others
 * @throws DeviceError when the device is gone
 */
export function startLate(device: VfioDevice, queues: readonly QueueMemory[]): QueueMemory[] {
  return queues.filter((queue) => {
    const enabled = queueEnabled(device, queue.kind, queue.index);
    if (enabled) writeTail(device, queue);
    return !enabled;
  });
}

/** Looks until all have started, 100 ms at most. */
function* startEnabled(
  device: VfioDevice,
  clock: Clock,
  queues: readonly QueueMemory[],
): Generator<void, QueueMemory[]> {
  flush(device);
  const startUs = clock.nowUs();
  let waiting = [...queues];
  yield* pollSteps(
    clock,
    { what: 'ENABLE', wanted: '1', intervalUs: ENABLE_POLL_US, timeoutUs: 2 * ENABLE_TIMEOUT_US },
    () => {
      waiting = startLate(device, waiting);
      return waiting.length;
    },
    (count) => count === 0 || clock.nowUs() - startUs >= ENABLE_TIMEOUT_US,
  );
  return waiting;
}

/** What a tx queue needs before it runs, but for its tail. */
function programTx(device: VfioDevice, clock: Clock, queue: QueueMemory): void {
  const q = queue.index;
  // SWFLSH without ENABLE stops the queue.
  writeRegister(device, VFTXDCTL, VFTXDCTL.mask.SWFLSH, q);
  flush(device);
  awaitStop(device, clock, VFTXDCTL, q);
  clearDescriptors(queue);
  writeRegister(device, VFTDBAL, queue.iova, q);
  writeRegister(device, VFTDBAH, Math.floor(queue.iova / 2 ** 32), q);
  writeRegister(device, VFTDLEN, queue.sizeBytes, q);
  // No head write-back: DD with RS reports. A leftover address would be written to.
  writeRegister(device, VFTDWBAH, 0, q);
  writeRegister(device, VFTDWBAL, 0, q);
  writeRegister(device, VFDCA_TXCTRL, TX_DCA, q);
  writeRegister(device, VFTDH, 0, q);
  writeRegister(device, VFTDT, 0, q);
  const { mask, shift } = VFTXDCTL;
  const thresholds = (PTHRESH << shift.PTHRESH) | (HTHRESH << shift.HTHRESH);
  writeRegister(device, VFTXDCTL, mask.ENABLE | thresholds, q);
}

/** Says whether the host tags the frames of an rx queue, before the queue is started. */
export function expectHostTag(queue: QueueMemory, tagged: boolean): void {
  const features = queue.features | (tagged ? HOST_TAG : 0);
  queue.arena.views.i32[queue.handle.state + QUEUE.FEATURES] = features;
}

/** What an rx queue needs before it runs, buffers too, but for its tail. */
function programRx(device: VfioDevice, clock: Clock, queue: QueueMemory): void {
  const q = queue.index;
  writeRegister(device, VFRXDCTL, 0, q);
  flush(device);
  awaitStop(device, clock, VFRXDCTL, q);
  clearDescriptors(queue);
  writeRegister(device, VFRDBAL, queue.iova, q);
  writeRegister(device, VFRDBAH, Math.floor(queue.iova / 2 ** 32), q);
  writeRegister(device, VFRDLEN, queue.sizeBytes, q);
  writeRegister(device, VFDCA_RXCTRL, RX_DCA, q);
  writeRegister(device, VFRDH, 0, q);
  writeRegister(device, VFRDT, 0, q);
  const bufferBytes = usableBufferBytes(queue.bufferBytes, queue.headroomBytes);
  // DROP_EN: a queue out of descriptors loses its own frames instead of blocking every VF of the port.
  writeRegister(device, VFSRRCTL, VFSRRCTL.mask.DROP_EN | bufferFormat(bufferBytes), q);
  // RLPML_EN stays 0: an 82599 cannot limit frame length a queue.
  const features = queue.arena.views.i32[queue.handle.state + QUEUE.FEATURES];
  const strip = (features & (STRIP_VLAN | HOST_TAG)) !== 0 ? VFRXDCTL.mask.VME : 0;
  armRx(queue, tailWord(device, VFRDT, q));
  writeRegister(device, VFRXDCTL, VFRXDCTL.mask.ENABLE | strip, q);
}

/** Gives a queue that is on its descriptors. Not before: a write to the tail is lost while ENABLE reads 0. */
function writeTail(device: VfioDevice, queue: QueueMemory): void {
  const { kind, index, size } = queue;
  // The rx ring was filled by armRx; see there why its last slot stays with the driver.
  if (kind === 'rx') writeRegister(device, VFRDT, size - 1, index);
  else writeRegister(device, VFTDT, armTx(queue, tailWord(device, VFTDT, index)), index);
}

/**
 * Clears ENABLE of the first `count` rx and tx queues, without waiting for them to stop.
 * @throws DeviceError when the device is gone
 */
export function disableQueues(device: VfioDevice, rxCount: number, txCount: number): void {
  for (let q = 0; q < rxCount; q++) {
    // A queue that the PF did not grant may read as anything.
    const value = readRegister(device, VFRXDCTL, q);
    writeRegister(device, VFRXDCTL, value & VFRXDCTL.mask.VME, q);
  }
  flush(device);
  for (let q = 0; q < txCount; q++) writeRegister(device, VFTXDCTL, VFTXDCTL.mask.SWFLSH, q);
  flush(device);
  // At the VF's next reset a PF sets ENABLE for a moment wherever anything else than 0 stands (linux ixgbe_vf_reset_event).
  for (let q = 0; q < txCount; q++) writeRegister(device, VFTXDCTL, 0, q);
}

/**
 * Waits until the first `count` rx and tx queues have stopped: from then on they touch no memory.
 * @throws DeviceError naming the queue that did not
 */
export function awaitStopped(
  device: VfioDevice,
  clock: Clock,
  rxCount: number,
  txCount: number,
): void {
  flush(device);
  for (let q = 0; q < rxCount; q++) awaitStop(device, clock, VFRXDCTL, q);
  for (let q = 0; q < txCount; q++) awaitStop(device, clock, VFTXDCTL, q);
  clock.sleepUs(SETTLE_US);
}

/**
 * Writes what neither VFCTRL.RST nor VFLR resets, for all 8 queues (82599 specification update, software
 * clarification 5; DPDK virt_clr_reg). Leaves every queue disabled.
 */
export function writeQueueDefaults(device: VfioDevice): void {
  writeRegister(device, VFPSRTYPE, 0);
  for (let q = 0; q < MAX_QUEUES; q++) {
    writeRegister(device, VFRXDCTL, 0, q);
    writeRegister(device, VFRDH, 0, q);
    writeRegister(device, VFRDT, 0, q);
    writeRegister(device, VFSRRCTL, bufferFormat(DEFAULT_BUFFER_BYTES), q);
    writeRegister(device, VFDCA_RXCTRL, RX_DCA, q);
    writeRegister(device, VFTXDCTL, 0, q);
    writeRegister(device, VFTDH, 0, q);
    writeRegister(device, VFTDT, 0, q);
    writeRegister(device, VFTDWBAH, 0, q);
    writeRegister(device, VFTDWBAL, 0, q);
    writeRegister(device, VFDCA_TXCTRL, TX_DCA, q);
  }
}

/**
 * Tells RSS how many queues this VF spreads over, and header split its header types as both drivers do. RSS of an
 * X550's VF is its own, and off: a driver before may have left it on (linux ixgbevf_setup_vfmrqc).
 * @param rxQueues 1, 2, 4 or 8
 */
export function writePacketTypes(device: VfioDevice, rxQueues: number): void {
  const { TCP, UDP, IPV4, IPV6, L2 } = VFPSRTYPE.mask;
  const spread = Math.log2(rxQueues) << VFPSRTYPE.shift.RQPL;
  writeRegister(device, VFPSRTYPE, TCP | UDP | IPV4 | IPV6 | L2 | spread);
  if (VF_DEVICES[device.deviceId].ownRss) writeRegister(device, VFMRQC, 0);
}

/** True when the queue is enabled as far as the device says. */
export function queueEnabled(device: VfioDevice, kind: 'rx' | 'tx', queue: number): boolean {
  const register = kind === 'rx' ? VFRXDCTL : VFTXDCTL;
  return (readRegister(device, register, queue) & register.mask.ENABLE) !== 0;
}

function bufferFormat(bufferBytes: number): number {
  const { shift } = VFSRRCTL;
  return (
    ((bufferBytes / KIB) << shift.BSIZEPKT) |
    ((HEADER_BYTES / 64) << shift.BSIZEHDR) |
    (DESCTYPE_ADVANCED_ONE_BUFFER << shift.DESCTYPE)
  );
}

/** Waits for ENABLE to read 0; what was written before has been flushed. */
function awaitStop(
  device: VfioDevice,
  clock: Clock,
  register: typeof VFRXDCTL | typeof VFTXDCTL,
  queue: number,
): void {
  pollUntil(
    clock,
    {
      what: `${instanceName(register, queue)}.ENABLE`,
      wanted: '0',
      intervalUs: ENABLE_POLL_US,
      timeoutUs: ENABLE_TIMEOUT_US,
      advice: 'the queue may still write to memory; close the device',
    },
    () => readRegister(device, register, queue),
    (value) => (value & register.mask.ENABLE) === 0,
  );
}

/** Heap word of a queue's tail register where its page is mapped, 0 where it is trapped. */
function tailWord(device: VfioDevice, register: Register, queue: number): number {
  const offset = at(register, queue);
  const page = device.pageOffset(Math.floor(offset / PAGE_SIZE));
  return page < 0 ? 0 : (page + (offset % PAGE_SIZE)) >>> 2;
}
