// The life of a VF: down, running, stopped, closed, and the order of steps
// between them: linux ixgbevf_configure on the way up, ixgbevf_down on the way
// down. Memory that a device may still write to is never freed. What users see is vf.ts.

import { apiAtLeast } from '../hw/mailbox.ts';
import { VFCTRL, VFSTATUS } from '../hw/registers.ts';
import { LimitedClock } from '../support/clock.ts';
import { DeviceError, MailboxError } from '../support/errors.ts';
import { formatMac, type MacBytes } from '../support/mac.ts';
import { finish } from '../support/poll.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { writeRegister } from './access.ts';
import { enableBusMaster } from './bus-master.ts';
import type { DeviceSlot } from './device-slot.ts';
import { checkGrant, placeQueues, txReach } from './grant.ts';
import { StuckWatch } from './health.ts';
import { LinkMonitor } from './link.ts';
import { Filters } from './mailbox/filters.ts';
import { maskInterrupts, type Registration, register, resetVf } from './mailbox/handshake.ts';
import { Mailbox, REPLY_US } from './mailbox/mailbox.ts';
import { linkEnabled, requestMac, requestMaxFrame } from './mailbox/requests.ts';
import { checkDevice, checkSpread, type VfSettings } from './options.ts';
import { closeGates, openGates, shutGates } from './queue/gate.ts';
import { countUnread, countUnsent } from './queue/leftovers.ts';
import type { QueueMemory } from './queue/memory.ts';
import {
  awaitStopped,
  disableQueues,
  startLate,
  startRx,
  startTx,
  writePacketTypes,
} from './queue/setup.ts';
import { Statistics, type VfStatistics } from './statistics.ts';
import { disarmAll, freeVfMemory, type VfMemory } from './vf-memory.ts';

/** A port that resets while the VF comes up is tried again this often. */
const ATTEMPTS = 3;
/** A thread leaves a batch within microseconds, unless it has no CPU. */
const LEAVE_US = 1_000_000;
/** A host that removes a device waits; beside this bound there are a few system calls. */
const REMOVE_US = 500_000;

/**
 * `down`: neither running nor known to have stopped; only restart() and close() are left. `removed`: the device was given
 * back, the memory of the queues not yet.
 */
export type LifeState = 'running' | 'stopped' | 'down' | 'removed' | 'closed';

/** The parts of a VF and how they start and end together. */
export class Lifecycle {
  readonly device: DeviceSlot;
  readonly settings: VfSettings;
  readonly mailbox: Mailbox;
  readonly monitor: LinkMonitor;
  readonly statistics: Statistics;
  readonly filters = new Filters();
  readonly watch: StuckWatch;
  readonly clock: LimitedClock;
  state: LifeState = 'down';
  /** Queues whose ENABLE has not read 1 yet since they were started. */
  private late: QueueMemory[] = [];
  private readonly memory: VfMemory;
  private registration: Registration | undefined;
  private chosenMac: MacBytes | undefined;
  /** After the device was given back: whether its memory may be freed. */
  private certain = false;

  constructor(device: DeviceSlot, settings: VfSettings, memory: VfMemory) {
    this.device = device;
    this.settings = settings;
    this.memory = memory;
    this.chosenMac = settings.mac;
    this.clock = new LimitedClock(settings.clock);
    this.mailbox = new Mailbox(device, this.clock);
    this.monitor = new LinkMonitor(device, this.mailbox, this.clock);
    this.statistics = new Statistics(device);
    this.watch = new StuckWatch(device, memory.tx, settings.stuckAfterMs);
  }

  /** What the PF last agreed to. @throws DeviceError before the first restart() succeeded */
  get registered(): Registration {
    if (this.registration !== undefined) return this.registration;
    throw new DeviceError('VF', 'registered with its PF', 'not registered', 0, 'open it again');
  }

  /** Asks the PF for another MAC and keeps it over restarts. @throws MailboxError */
  changeMac(mac: MacBytes): void {
    finish(requestMac(this.mailbox, mac));
    this.chosenMac = mac;
    this.registration = { ...this.registered, mac };
  }

  /** Brings the totals up to date. A reset of the port clears its counters, which must not be taken for a wrap. */
  countTraffic(): VfStatistics {
    this.mailbox.look();
    return this.mailbox.lost === '' ? this.statistics.update() : this.statistics.values;
  }

  /**
   * Starts stopped queues again.
   * @throws DeviceError when a queue does not start, or the VF is down; RangeError for an empty mempool
   */
  start(): void {
    if (this.state === 'running') return;
    if (this.state === 'down') {
      throw new DeviceError('VF', 'stopped', 'down', 0, 'use restart(), which resets it first');
    }
    finish(this.guarded(this.startQueues()));
  }

  /**
   * Stops the queues; every buffer in them goes back to its mempool, frames not sent yet are lost. The VF stays
   * registered. Where another thread uses a queue, its buffers stay in it until that thread sends again, or close().
   * @throws DeviceError when a queue does not stop: its buffers stay where they are until restart() or close()
   */
  stop(): void {
    const { state } = this;
    if (state !== 'running' && state !== 'down') return;
    this.state = 'down';
    closeGates(this.queues, this.clock, LEAVE_US);
    this.stopQueues();
    countUnsent(this.device, this.memory.tx);
    countUnread(this.memory.rx);
    disarmAll(this.memory);
    // Of a VF in the middle of a restart nobody knows what the PF makes: only another restart() starts it again.
    if (state === 'running') this.state = 'stopped';
  }

  /**
   * Resets the VF and brings it up as it was: MAC, VLANs, multicast groups, queues. Frames in the rings are lost.
   * May block for seconds; after a failure it can be called again.
   * @throws MailboxError, DeviceError; RangeError where the PF now grants fewer queues
   */
  restart(): void {
    for (let attempt = 1; ; attempt++) {
      try {
        finish(this.restarting());
        return;
      } catch (error) {
        const again = error instanceof MailboxError && error.failure === 'reset';
        if (!again || attempt === ATTEMPTS) throw error;
        this.settings.log.warn(`${this.device.address}: ${error.message}; trying again`);
      }
    }
  }

  /** One attempt of restart(), which may be left for a while wherever it yields. @param replyUs see Mailbox.timeoutUs */
  *restarting(replyUs = REPLY_US): Generator<void> {
    this.mailbox.timeoutUs = replyUs;
    enableBusMaster(this.device);
    if (this.registration !== undefined) this.countTraffic();
    yield* this.guarded(this.bringUp());
  }

  /** Lets no thread into the queues any more, without waiting for those that are in them. */
  pause(): void {
    this.state = 'down';
    shutGates(this.queues);
  }

  /**
   * Gives the device back and keeps the memory, so that threads may go on looking at the queues, which move nothing any
   * more. Bounded: whoever removes the device waits for this.
   */
  remove(): void {
    if (this.state === 'closed' || this.state === 'removed') return;
    this.state = 'removed';
    this.certain = this.clock.within(REMOVE_US, () => this.giveBack());
  }

  /**
   * Takes a device that came back in the place of the one that was removed. The VF is down then.
   * @throws DeviceError where it is no VF of this family, RangeError where it cannot have these queues; it is closed then
   */
  replace(device: VfioDevice): void {
    try {
      checkDevice(device);
      checkSpread(this.settings.rxQueues, device.deviceId);
    } catch (error) {
      device.close();
      throw error;
    }
    this.device.current = device;
    this.state = 'down';
    // Its counters begin anew, which must not be taken for a wrap.
    this.mailbox.lost = 'the device was removed';
  }

  /** Stops the VF and gives everything back. Idempotent; works, as far as it goes, on a device that is gone. */
  close(): void {
    if (this.state === 'closed') return;
    if (this.state !== 'removed') this.certain = this.giveBack();
    this.state = 'closed';
    const { device, memory, settings } = this;
    if (this.certain) this.attempt('free memory', () => freeVfMemory(memory, settings.log));
    else
      settings.log.warn(
        `${device.address}: its DMA memory is kept, the device may still write to it`,
      );
  }

  /** @returns true when the device touches no memory any more, and no thread its queues */
  private giveBack(): boolean {
    const { device, memory } = this;
    const left = this.attempt('stop threads', () => closeGates(this.queues, this.clock, LEAVE_US));
    const stopped = this.attempt('stop queues', () => this.stopQueues());
    if (left) countUnsent(device, memory.tx);
    this.attempt('reset VF', () => {
      maskInterrupts(device);
      writeRegister(device, VFCTRL, VFCTRL.mask.RST);
      // So that it goes out. What comes back does not matter: in its reset a function may read as all ones.
      device.read32(VFSTATUS.offset);
    });
    this.attempt('disable interrupts', () => device.disableVectors());
    this.attempt('reset function', () => device.reset());
    // Where the stop is not certain, only the end of the device is: no DMA after close() returned.
    const certain = stopped || this.attempt('close device', () => device.close());
    this.attempt('detach arena', () => memory.arena.detach(device.current));
    this.attempt('close device', () => device.close());
    if (left && certain) countUnread(memory.rx);
    return left && certain;
  }

  private get queues(): QueueMemory[] {
    return [...this.memory.rx, ...this.memory.tx];
  }

  private *bringUp(): Generator<void> {
    const { device, mailbox, settings, memory, clock } = this;
    const { log } = settings;
    closeGates(this.queues, clock, LEAVE_US);
    disableQueues(device, settings.rxQueues, txReach(memory));
    countUnsent(device, memory.tx);
    yield* resetVf(device, mailbox, clock);
    const known = this.registration;
    const macs = { chosen: this.chosenMac, fallback: known?.mac };
    const registration = yield* register(mailbox, macs, log, known?.apiVersion);
    this.registration = registration;
    awaitStopped(device, clock, registration.rxQueues, registration.txQueues);
    countUnread(memory.rx);
    disarmAll(memory);
    checkGrant(settings, registration, device.address, log);
    placeQueues(memory, registration);
    yield;
    // Only now: what a driver before this one left in the rings was aimed at the same IOVAs.
    memory.arena.attach(device.current);
    this.statistics.rebase();
    this.monitor.restart();
    yield* this.filters.restore(mailbox, registration, log);
    yield* this.startQueues(requestMaxFrame(mailbox, settings.maxFrame));
    this.monitor.enabled = apiAtLeast(registration.apiVersion, '1.2')
      ? yield* linkEnabled(mailbox)
      : true;
    mailbox.registered();
    log.info(
      `${device.address}: MAC ${formatMac(registration.mac)}, mailbox API ${registration.apiVersion}, ${settings.rxQueues} rx and ${settings.txQueues} tx queues`,
    );
  }

  /** @returns the queues that run, with those among them that only now could start */
  startedQueues(): QueueMemory[] {
    const before = this.late;
    this.late = startLate(this.device, before);
    openGates(before.filter((queue) => !this.late.includes(queue)));
    return this.queues.filter((queue) => !this.late.includes(queue));
  }

  /** @param between steps to go before rx queues run */
  private *startQueues(between: Iterable<void> = []): Generator<void> {
    const { device, memory, settings, clock } = this;
    this.late = yield* startTx(device, clock, memory.tx);
    this.watch.restart();
    yield* between;
    writePacketTypes(device, settings.rxQueues);
    this.late.push(...(yield* startRx(device, clock, memory.rx)));
    for (const { kind, index } of this.late) {
      settings.log.warn(
        `${device.address}: ${kind} queue ${index} does not start: the PF has this VF's queues off, as while the host has its link disabled; it starts when they are on`,
      );
    }
  }

  private stopQueues(): void {
    const { rxQueues } = this.settings;
    const txQueues = txReach(this.memory);
    this.late = [];
    disableQueues(this.device, rxQueues, txQueues);
    // Nothing was started before the PF granted it, and what it does not grant may read as anything.
    const { rxQueues: rx, txQueues: tx } = this.registration ?? { rxQueues: 0, txQueues: 0 };
    awaitStopped(this.device, this.clock, Math.min(rx, rxQueues), Math.min(tx, txQueues));
  }

  /** Runs `work` to a running VF, or leaves it down, with whatever was started stopped again if that can be had. */
  private *guarded(work: Generator<void>): Generator<void> {
    this.state = 'down';
    try {
      yield* work;
      this.state = 'running';
      openGates(this.queues.filter((queue) => !this.late.includes(queue)));
    } catch (error) {
      if (this.attempt('stop queues', () => this.stopQueues())) disarmAll(this.memory);
      throw error;
    }
  }

  /** One step that must not keep the next from happening. */
  private attempt(what: string, step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.settings.log.warn(`${this.device.address}: ${what}: ${reason}`);
      return false;
    }
  }
}
