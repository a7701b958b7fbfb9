// The device under examination, and what one step of the doctor leaves for the next: the VF as a device at
// first, later as the driver runs it, with a peer that sends to it. Owns all of it, and gives it back.

import { setImmediate } from 'node:timers/promises';
import type { VfOptions } from '../../ixgbevf/options.ts';
import { type IxgbeVf, openVf } from '../../ixgbevf/vf.ts';
import { processArena } from '../../memory/arena.ts';
import { createMempool, type Mempool } from '../../memory/mempool.ts';
import type { Clock } from '../../support/clock.ts';
import { DeviceError } from '../../support/errors.ts';
import type { VfioDevice } from '../../vfio/device.ts';
import type { Machine } from '../../vfio/kernel/sysfs.ts';

/** The machine as the doctor sees it. */
export interface Surroundings extends Machine {
  /** Where the processes are: "/proc". */
  readonly proc: string;
  /** What `ip -j -d link show NAME` prints; undefined where there is no such program or interface. */
  ipLink(name: string): string | undefined;
}

/** What is examined, and by what means. */
export interface Subject {
  /** As the user named it. */
  readonly address: string;
  /** The VF that frames go to and come from; undefined: none was named. */
  readonly peer: string | undefined;
  readonly clock: Clock;
  readonly surroundings: Surroundings;
  /** Asks the person who is there for something. */
  ask(what: string): void;
  /** True once the examination is to end. */
  over(): boolean;
  /** Takes a device. @throws VfioError */
  open(address: string): Promise<VfioDevice>;
}

/** Queues that a PF granted, as GET_QUEUES said it. */
export interface Grant {
  readonly rxQueues: number;
  readonly txQueues: number;
  /** Word 3: traffic classes, or not 0 where the host put the VF into a VLAN. */
  readonly classes: number;
}

/** Few, so that a ring is quick to fill and to overfill. */
export const RX_RING = 64;
export const TX_RING = 512;
/** As long as frames of an MTU of 1,500, with a tag. */
export const BUFFER_BYTES = 2048;

/** A VF that the driver runs, and the buffers that it has. */
export interface RunningVf {
  readonly vf: IxgbeVf;
  /** The device below it: registers can be read and written past the driver. */
  readonly device: VfioDevice;
  readonly mempool: Mempool;
}

/** A device under examination. */
export class Patient {
  readonly subject: Subject;
  /** Set by the mailbox step. */
  grant: Grant | undefined;
  private opened: VfioDevice | undefined;
  private readonly running = new Map<string, RunningVf>();

  constructor(subject: Subject) {
    this.subject = subject;
  }

  get clock(): Clock {
    return this.subject.clock;
  }

  /** The VF below its driver. @throws DeviceError before it was opened */
  get device(): VfioDevice {
    if (this.opened !== undefined) return this.opened;
    throw new DeviceError(this.subject.address, 'an open device', 'one that is not open', 0);
  }

  /** Opens the VF, without touching a register. @throws VfioError */
  async open(): Promise<void> {
    this.opened = await this.subject.open(this.subject.address);
  }

  /**
   * Has the driver run a VF; one that runs already is closed and opened anew.
   * @param count buffers of its mempool
   * @throws as openVf
   */
  async start(
    address: string,
    options: VfOptions = {},
    count = 2 * (RX_RING + TX_RING),
  ): Promise<RunningVf> {
    const { clock } = this;
    const own = address === this.subject.address;
    this.stop(address);
    const device = (own ? this.opened : undefined) ?? (await this.subject.open(address));
    // The driver owns it from here on, also where it fails.
    if (own) this.opened = undefined;
    const mempool = createMempool(processArena(), { count, bufferBytes: BUFFER_BYTES });
    try {
      const rings = { rxRingSize: RX_RING, txRingSize: TX_RING };
      const vf = await openVf(device, processArena(), { clock, mempool, ...rings, ...options });
      const running = { vf, device, mempool };
      this.running.set(address, running);
      return running;
    } catch (error) {
      mempool.free();
      throw error;
    }
  }

  /** The VF that the driver runs. @throws DeviceError where `start` was not called, or failed */
  get self(): RunningVf {
    return this.of(this.subject.address);
  }

  /** The other VF; undefined where none was named. @throws DeviceError where `start` was not called, or failed */
  get other(): RunningVf | undefined {
    return this.subject.peer === undefined ? undefined : this.of(this.subject.peer);
  }

  /** Gives everything back. Idempotent. */
  close(): void {
    for (const address of [...this.running.keys()]) this.stop(address);
    this.opened?.close();
    this.opened = undefined;
  }

  private of(address: string): RunningVf {
    const running = this.running.get(address);
    if (running !== undefined) return running;
    throw new DeviceError(address, 'a VF that the driver runs', 'none', 0, 'a step before failed');
  }

  private stop(address: string): void {
    const running = this.running.get(address);
    this.running.delete(address);
    if (running === undefined) return;
    running.vf.close();
    // A device that did not stop may still write to its buffers, and the driver has kept them then.
    if (running.mempool.available === running.mempool.count) running.mempool.free();
  }
}

/** How a wait ended. */
export interface Waited {
  /** False where the time was up first. */
  readonly done: boolean;
  readonly us: number;
  /** How often it looked, at least once. */
  readonly looks: number;
  /** What it saw last. */
  readonly value: number;
}

/** It looks this often without a pause, so that what takes microseconds is seen to. */
const BUSY_LOOKS = 50;
const PAUSE_US = 20;

/** Looks until `done` accepts what it sees, at most `boundUs`. Never throws by itself. */
export function waitFor(
  clock: Clock,
  boundUs: number,
  look: () => number,
  done: (value: number) => boolean,
): Waited {
  const startUs = clock.nowUs();
  for (let looks = 1; ; looks++) {
    const value = look();
    const us = clock.nowUs() - startUs;
    if (done(value)) return { done: true, us, looks, value };
    if (us >= boundUs) return { done: false, us, looks, value };
    if (looks > BUSY_LOOKS) clock.sleepUs(PAUSE_US);
  }
}

/** Between two looks of a wait that may be long. */
const REST_US = 10_000;

/** As `waitFor`, for what takes seconds: signals have their turn in between, and end it. */
export async function waitLong(
  { clock, subject }: Patient,
  boundUs: number,
  look: (us: number) => number,
  done: (value: number) => boolean,
): Promise<Waited> {
  const startUs = clock.nowUs();
  for (let looks = 1; ; looks++) {
    const us = clock.nowUs() - startUs;
    const value = look(us);
    if (done(value)) return { done: true, us, looks, value };
    if (us >= boundUs || subject.over()) return { done: false, us, looks, value };
    await setImmediate();
    clock.sleepUs(REST_US);
  }
}
