// A Virtual Function as its user holds it: open, look after, close. Everything
// here is the slow path and may block for up to a few seconds where the PF does
// not answer; frames move in queue/rx-ring.ts and queue/tx-ring.ts. The steps behind it are
// lifecycle.ts.

import type { ApiVersion } from '../hw/mailbox.ts';
import type { Arena } from '../memory/arena.ts';
import type { Mempool } from '../memory/mempool.ts';
import { VfioError } from '../support/errors.ts';
import { formatMac, parseStationMac } from '../support/mac.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { DeviceSlot } from './device-slot.ts';
import { disabledQueue, type Health } from './health.ts';
import { Lifecycle } from './lifecycle.ts';
import type { LinkState } from './link.ts';
import {
  checkDevice,
  checkPlatform,
  resolveOptions,
  type VfOptions,
  type VfSettings,
} from './options.ts';
import { openRxQueue, openTxQueue, type RxQueue, type TxQueue } from './queue/queues.ts';
import { type Listener, Recovery, type VfEvents } from './recovery.ts';
import type { VfStatistics } from './statistics.ts';
import { createVfMemory, freeVfMemory, type VfMemory } from './vf-memory.ts';

/** An open VF. Its methods belong to the thread that opened it; the queues may be used in others. */
export class IxgbeVf {
  /** Address the device was opened by. */
  readonly address: string;
  readonly rx: readonly [RxQueue, ...RxQueue[]];
  readonly tx: readonly [TxQueue, ...TxQueue[]];
  /** Mempools of the rings, by queue index modulo the length. */
  readonly mempools: readonly Mempool[];
  private readonly life: Lifecycle;
  private readonly recovery: Recovery;

  /** For `openVf`. */
  constructor(
    life: Lifecycle,
    rx: readonly RxQueue[],
    tx: readonly TxQueue[],
    mempools: readonly Mempool[],
  ) {
    this.address = life.device.address;
    // There is always a first one: options of less are refused.
    this.rx = rx as [RxQueue, ...RxQueue[]];
    this.tx = tx as [TxQueue, ...TxQueue[]];
    this.mempools = mempools;
    this.life = life;
    this.recovery = new Recovery(life);
    if (life.settings.recover) this.recovery.start();
  }

  /** The mempool of queue 0. */
  get mempool(): Mempool {
    return this.mempools[0];
  }

  /** "02:09:c0:00:00:00". */
  get mac(): string {
    return formatMac(this.life.registered.mac);
  }

  /** A copy of the six bytes. */
  get macBytes(): Uint8Array {
    return this.life.registered.mac.slice();
  }

  /** True where the host assigned a MAC. */
  get macAssigned(): boolean {
    return this.life.registered.macAssigned;
  }

  /** Version of the mailbox protocol that PF and VF agreed on. */
  get apiVersion(): ApiVersion {
    return this.life.registered.apiVersion;
  }

  /** Queues of each kind that the PF grants this VF, 1..8. */
  get maxQueues(): number {
    return Math.min(this.life.registered.rxQueues, this.life.registered.txQueues);
  }

  /** Longest frame, bytes with CRC, that the PF was asked to let through. */
  get maxFrame(): number {
    return this.life.settings.maxFrame;
  }

  /** True while the queues run. */
  get running(): boolean {
    return this.life.state === 'running';
  }

  get closed(): boolean {
    return this.life.state === 'closed';
  }

  /** True while the device is given back because it is gone, or its host wants it. */
  get removed(): boolean {
    return this.life.state === 'removed';
  }

  /** How often the VF was restarted by lookAfter(), or by `recover: true`. */
  get restarts(): number {
    return this.recovery.restarts;
  }

  /** Calls `listener` at each such event. Events come from lookAfter(), and so by themselves with `recover: true`. */
  on<Name extends keyof VfEvents>(name: Name, listener: Listener<Name>): this {
    this.recovery.on(name, listener, false);
    return this;
  }

  /** As on(), for the next such event only. */
  once<Name extends keyof VfEvents>(name: Name, listener: Listener<Name>): this {
    this.recovery.on(name, listener, true);
    return this;
  }

  /** Takes a listener away. */
  off<Name extends keyof VfEvents>(name: Name, listener: Listener<Name>): this {
    this.recovery.off(name, listener);
    return this;
  }

  /** VLAN ids joined with addVlan(), ascending. */
  get vlans(): number[] {
    return this.life.filters.vlanIds;
  }

  /**
   * The link now. May block 500 us while the link comes up.
   * @throws DeviceError when the device is gone
   */
  link(): LinkState {
    return this.open().monitor.check();
  }

  /**
   * Hardware counters since open. Call it at least every 50 s, or they may wrap unseen.
   * @throws DeviceError when the device is gone
   */
  stats(): VfStatistics {
    const life = this.open();
    // In the middle of a recovery the device may count from 0 again, which is no wrap.
    return life.state === 'down' ? life.statistics.values : life.countTraffic();
  }

  /**
   * Link, registration and tx progress; meant to be called every second or two.
   * @throws DeviceError when the device is gone
   */
  checkHealth(): Health {
    const life = this.open();
    const { monitor, mailbox, state, settings, device, watch } = life;
    const link = monitor.check();
    let resetReason = mailbox.lost;
    if (resetReason === '' && state === 'down') resetReason = 'the queues could not be started';
    if (state !== 'running') {
      return { link, resetNeeded: resetReason !== '', resetReason, stuck: [] };
    }
    const { txRingSize, clock } = settings;
    if (resetReason === '') resetReason = disabledQueue(device, life.startedQueues());
    const stuck = watch.check(clock.nowUs(), txRingSize);
    return { link, resetNeeded: resetReason !== '', resetReason, stuck };
  }

  /**
   * What `recover: true` does by itself ten times a second: looks at link, registration, queues and host, restarts the
   * VF where that is due, gives it back where it is gone, and tells of it by events. Holds its thread for 50 ms at most.
   */
  lookAfter(): void {
    this.recovery.look();
  }

  /**
   * Changes the VF's MAC; kept over restarts.
   * @throws TypeError, RangeError; MailboxError where the PF refuses
   */
  setMac(mac: string): void {
    this.open().changeMac(parseStationMac('mac', mac));
  }

  /**
   * Receives frames of a VLAN, 1..4094, besides untagged ones. Tags stay in the frames.
   * @throws RangeError; MailboxError where the PF refuses
   */
  addVlan(vlan: number): void {
    const { filters, mailbox } = this.open();
    filters.addVlan(mailbox, vlan);
  }

  /** Leaves a VLAN. @throws RangeError; MailboxError where the PF refuses */
  removeVlan(vlan: number): void {
    const { filters, mailbox } = this.open();
    filters.removeVlan(mailbox, vlan);
  }

  /**
   * Receives frames to a group address; the filter is a hash, so others may come along.
   * @throws TypeError, RangeError for no group address or more than 30; MailboxError
   */
  joinMulticast(group: string): void {
    const { filters, mailbox, registered } = this.open();
    filters.joinMulticast(mailbox, group, registered.filterType);
  }

  /**
   * Starts stopped queues again.
   * @throws DeviceError when a queue does not start, or the VF is down; RangeError for a mempool too empty
   */
  start(): void {
    const life = this.open();
    this.recovery.interrupt(false);
    life.start();
  }

  /**
   * Stops the queues; every buffer in them goes back to its mempool, frames not sent yet are lost. The VF stays
   * registered. Other threads may be using the queues: a batch of theirs is awaited, later ones move nothing. What their
   * queues hold stays there until they use them again after start(), or close().
   * @throws DeviceError when a queue does not stop: its buffers stay where they are until restart() or close()
   */
  stop(): void {
    const life = this.open();
    this.recovery.interrupt(true);
    life.stop();
  }

  /**
   * Resets the VF and brings it up as it was: MAC, VLANs, multicast groups, queues. Frames in the rings are lost.
   * Other threads may go on using the queues, which move nothing meanwhile. May block for seconds; after a failure it can be called again.
   * @throws MailboxError, DeviceError; RangeError where the PF now grants fewer queues
   */
  restart(): void {
    const life = this.open();
    this.recovery.interrupt(false);
    life.restart();
  }

  /** Stops the VF and gives everything back. Idempotent; works, as far as it goes, on a device that is gone. */
  close(): void {
    if (this.closed) return;
    this.life.close();
    this.recovery.close();
    for (const queue of [...this.rx, ...this.tx]) queue.release();
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  private open(): Lifecycle {
    if (this.removed) {
      const expected = 'expected a device, got one that was removed; close it and open it again';
      throw new VfioError('use VF', 0, this.address, expected);
    }
    if (!this.closed) return this.life;
    const expected = 'expected an open device, got a closed one; open it again';
    throw new VfioError('use VF', 0, this.address, expected);
  }
}

/**
 * Opens a VF and starts its queues.
 * @param device belongs to the VF from here on, also where this fails
 * @throws RangeError, TypeError for options; DeviceError, MailboxError, VfioError; then everything is undone
 */
export async function openVf(
  device: VfioDevice,
  arena: Arena,
  options: VfOptions = {},
): Promise<IxgbeVf> {
  const vf = await assemble(device, arena, options);
  try {
    vf.restart();
    return vf;
  } catch (error) {
    vf.close();
    throw error;
  }
}

/** Everything that needs no register. Where it fails there is nothing to stop: memory and device are given back. */
async function assemble(given: VfioDevice, arena: Arena, options: VfOptions): Promise<IxgbeVf> {
  const device = new DeviceSlot(given);
  let settings: VfSettings | undefined;
  let memory: VfMemory | undefined;
  try {
    checkPlatform(process.platform, process.arch);
    checkDevice(device);
    settings = resolveOptions(options, device.deviceId);
    memory = createVfMemory(arena, device.address, settings);
    const { clock } = settings;
    const rx = await Promise.all(memory.rx.map(({ handle }) => openRxQueue(handle, device)));
    const tx = await Promise.all(memory.tx.map(({ handle }) => openTxQueue(handle, device, clock)));
    return new IxgbeVf(new Lifecycle(device, settings, memory), rx, tx, memory.mempools);
  } catch (error) {
    device.close();
    if (settings !== undefined && memory !== undefined) freeVfMemory(memory, settings.log);
    throw error;
  }
}
