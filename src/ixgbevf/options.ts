// The options of a VF, checked before the device is touched, and the refusals
// that need no register: platform, device id.

import {
  CRC_SIZE,
  ETHER_HEADER,
  MAX_FRAME_WITH_CRC,
  MAX_RING,
  MIN_RING,
} from '../hw/descriptors.ts';
import { MIN_LPE } from '../hw/mailbox.ts';
import { HYPERV_VF_DEVICES, VF_DEVICES } from '../hw/pci.ts';
import { MAX_QUEUES } from '../hw/registers.ts';
import { BUF_UNIT } from '../memory/layout.ts';
import type { Mempool } from '../memory/mempool.ts';
import { type Clock, systemClock } from '../support/clock.ts';
import { DeviceError, refuseUnknown } from '../support/errors.ts';
import { type Log, silentLog } from '../support/log.ts';
import { type MacBytes, parseStationMac } from '../support/mac.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { METADATA, STRIP_VLAN } from './queue/memory.ts';
import { usableBufferBytes } from './queue/setup.ts';

/** How to open a VF. */
export interface VfOptions {
  /**
   * 1, 2, 4 or 8, and no more than the PF grants. Default 1. Where the PF has traffic classes, queue n has the frames of
   * class n and there is no RSS.
   */
  readonly rxQueues?: number;
  /** 1 to 8, and no more than the PF grants, which is 1 where it has traffic classes. Default 1. */
  readonly txQueues?: number;
  /** Descriptors of each rx ring: a power of two from 64 to 4,096. Default 512. */
  readonly rxRingSize?: number;
  /** Descriptors of each tx ring: a power of two from 64 to 4,096. Default 512. */
  readonly txRingSize?: number;
  /**
   * Where the rings take buffers from; an array is indexed by queue, modulo its length. A mempool has one owner
   * thread, so queues of different threads need different ones, and the two ends of a forwarder the same one.
   * Default: one a queue index, made here and freed by close().
   */
  readonly mempool?: Mempool | readonly Mempool[];
  /**
   * Where tx queues give sent buffers back, and so the mempool of what may be sent by them; an array as in `mempool`,
   * which is the default. A forwarder with a thread for each direction crosses two mempools this way.
   */
  readonly txMempool?: Mempool | readonly Mempool[];
  /** Longest frame, bytes with header and CRC, without VLAN tag: 68 to 9,728. Default 1,518. */
  readonly maxFrame?: number;
  /**
   * Rx queues also keep flags (RX_FLAGS), VLAN tag and RSS hash of each frame, in tables: see PacketViews. Costs
   * about a nanosecond a packet. Default false.
   */
  readonly metadata?: boolean;
  /**
   * The device takes VLAN tags out of received frames; needs `metadata`, where the tag is then. Default false. A tag that
   * the host puts on (port VLAN, priority, traffic classes) is taken out in any case, and shown nowhere.
   */
  readonly stripVlan?: boolean;
  /** The VF's MAC, "02:00:00:00:00:01". Default: the one the host assigned, or a random one. */
  readonly mac?: string;
  /** A tx queue that makes no progress for this long is reported by checkHealth(). Default 1,000. */
  readonly stuckAfterMs?: number;
  /**
   * Looks after the VF by itself: see IxgbeVf.on(). The main thread must come back to its event loop for that. Default false.
   */
  readonly recover?: boolean;
  /**
   * Opens the device again after it was removed, or throws while it is not there; asked four times a second where
   * `recover` is true. The VF then goes on with the same queues, buffers and counters. Default: it stays removed.
   */
  readonly reopen?: () => Promise<VfioDevice>;
  readonly clock?: Clock;
  readonly log?: Log;
}

/** Options with every default filled in. */
export interface VfSettings
  extends Required<
    Omit<VfOptions, 'mempool' | 'txMempool' | 'metadata' | 'stripVlan' | 'mac' | 'reopen'>
  > {
  /** Empty: to be made. */
  readonly mempools: readonly Mempool[];
  /** Empty: as `mempools`. */
  readonly txMempools: readonly Mempool[];
  /** METADATA, STRIP_VLAN of every rx queue. */
  readonly features: number;
  readonly mac: MacBytes | undefined;
  readonly reopen: (() => Promise<VfioDevice>) | undefined;
}

/**
 * Checks options and fills in defaults.
 * @throws RangeError or TypeError: what, expected, got
 */
export function resolveOptions(options: VfOptions, deviceId: number): VfSettings {
  const {
    rxQueues = 1,
    txQueues = 1,
    rxRingSize = 512,
    txRingSize = 512,
    mempool = [],
    txMempool = [],
    maxFrame = 1500 + ETHER_HEADER + CRC_SIZE,
    metadata = false,
    stripVlan = false,
    mac,
    stuckAfterMs = 1000,
    recover = false,
    reopen,
    clock = systemClock,
    log = silentLog,
    ...unknown
  } = options;
  refuseUnknown(
    'options',
    unknown,
    'rxQueues, txQueues, rxRingSize, txRingSize, mempool, txMempool, maxFrame, metadata, stripVlan, mac, stuckAfterMs, recover, reopen, clock, log',
  );
  checkInteger('rxQueues', rxQueues, 1, MAX_QUEUES);
  checkInteger('txQueues', txQueues, 1, MAX_QUEUES);
  // RSS picks a queue by the low bits of its table's entries.
  if (!isPowerOfTwo(rxQueues)) {
    throw new RangeError(`rxQueues: expected 1, 2, 4 or 8, got ${rxQueues}`);
  }
  checkSpread(rxQueues, deviceId);
  checkRing('rxRingSize', rxRingSize);
  checkRing('txRingSize', txRingSize);
  checkInteger('maxFrame', maxFrame, MIN_LPE, MAX_FRAME_WITH_CRC);
  if (!(stuckAfterMs > 0)) {
    throw new RangeError(`stuckAfterMs: expected a time above 0, got ${stuckAfterMs}`);
  }
  if (stripVlan && !metadata) {
    throw new RangeError(
      'stripVlan: expected metadata: true with it, got false; the tags would be lost',
    );
  }
  const mempools = listOf(mempool);
  for (const { bufferBytes, headroomBytes } of mempools) {
    const usable = usableBufferBytes(bufferBytes, headroomBytes);
    // The CRC is stripped and a VLAN tag may be there: 4 bytes each.
    if (usable < maxFrame) {
      throw new RangeError(
        `maxFrame: expected at most ${usable}, what a buffer of the mempool holds (${bufferBytes} bytes less ${headroomBytes} headroom, in KiB), got ${maxFrame}; make the mempool with larger buffers`,
      );
    }
  }
  return {
    rxQueues,
    txQueues,
    rxRingSize,
    txRingSize,
    mempools,
    txMempools: listOf(txMempool),
    maxFrame,
    features: (metadata ? METADATA : 0) | (stripVlan ? STRIP_VLAN : 0),
    mac: mac === undefined ? undefined : parseStationMac('mac', mac),
    stuckAfterMs,
    recover,
    reopen,
    clock,
    log,
  };
}

/**
 * Refuses several rx queues where nothing would spread frames over them.
 * @throws RangeError
 */
export function checkSpread(rxQueues: number, deviceId: number): void {
  if (rxQueues > 1 && VF_DEVICES[deviceId]?.ownRss === true) {
    throw new RangeError(
      `rxQueues: expected 1 on an ${VF_DEVICES[deviceId].name}, whose own RSS registers this driver does not program, got ${rxQueues}`,
    );
  }
}

function listOf(mempool: Mempool | readonly Mempool[]): readonly Mempool[] {
  return Array.isArray(mempool) ? mempool : [mempool as Mempool];
}

/** Buffer size of an own mempool: what holds the longest frame, in the mempool's unit. */
export function ownBufferBytes(maxFrame: number): number {
  return Math.ceil(maxFrame / BUF_UNIT) * BUF_UNIT;
}

/**
 * Refuses what this driver would not be right on.
 * @throws DeviceError
 */
export function checkPlatform(platform: string, arch: string): void {
  if (platform === 'linux' && arch === 'x64') return;
  throw new DeviceError(
    'platform',
    'linux x64',
    `${platform} ${arch}`,
    0,
    'plain JavaScript has no read barrier between DD and the length of a descriptor; only the memory order of x86-64 makes up for that',
  );
}

/**
 * Refuses devices that are no VF of this family.
 * @throws DeviceError
 */
export function checkDevice(device: VfioDevice): void {
  const id = device.deviceId;
  if (VF_DEVICES[id] !== undefined) return;
  const advice = HYPERV_VF_DEVICES.includes(id)
    ? 'the Hyper-V variants have no mailbox that a driver can use'
    : `${device.address} is not a VF of an 82599 or its kin; is it the PF?`;
  const wanted = Object.keys(VF_DEVICES).map((known) => hexId(Number(known)));
  throw new DeviceError('PCI device id', wanted.join(', '), hexId(id), 0, advice);
}

/**
 * Checks that `value` is an integer from `low` to `high`.
 * @throws RangeError
 */
export function checkInteger(name: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new RangeError(`${name}: expected an integer from ${low} to ${high}, got ${value}`);
}

function checkRing(name: string, size: number): void {
  if (Number.isInteger(size) && size >= MIN_RING && size <= MAX_RING && isPowerOfTwo(size)) return;
  throw new RangeError(
    `${name}: expected a power of two from ${MIN_RING} to ${MAX_RING}, got ${size}`,
  );
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

function hexId(id: number): string {
  return `8086:${id.toString(16).padStart(4, '0')}`;
}
