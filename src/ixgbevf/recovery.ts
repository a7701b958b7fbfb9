// How a VF lives through what its host does to it: port resets, a PF that goes down and comes back, a registration that is
// withdrawn, a function that is removed. It moves by look(), which a timer calls ten times a second and which holds its
// thread for a few milliseconds at most: a PF that is away is looked at, not waited for, and a restart that takes longer
// goes on at the next look. The steps of a restart are those of lifecycle.ts.

import { EventEmitter } from 'node:events';
import { ALL_ONES, VFSTATUS } from '../hw/registers.ts';
import { MailboxError, VfioError } from '../support/errors.ts';
import { ERRNO } from '../support/linux.ts';
import { DEVICE_EVENT, type VfioDevice } from '../vfio/device.ts';
import { disabledQueue } from './health.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { LinkState } from './link.ts';

/** What a VF that recovers by itself tells, by name. */
export interface VfEvents {
  /** The link as it is at the first look; then, whenever it went up or down or its speed changed. */
  link: [link: LinkState];
  /** The host took the VF's queues away; they move nothing until `restarted`. The reason, in a sentence. */
  reset: [reason: string];
  /** The VF runs as it did before, after so many milliseconds since `reset` or `removed`. */
  restarted: [tookMs: number];
  /** The device is gone and was given back; what is left to do is close(), unless it is awaited. Why, in a sentence. */
  removed: [reason: string];
  /** A restart failed in a way that only a person can mend, told once and tried on; or an error of the device. */
  error: [error: Error];
}

/** What is called at an event. */
export type Listener<Name extends keyof VfEvents> = (...told: VfEvents[Name]) => void;

/** Between two looks, while all is well and while something is to be done. */
const WATCH_MS = 100;
const WORK_MS = 20;
/** No wait of a restart goes on for longer than this after its look began, and no step is begun after half of it. */
const LOOK_US = 40_000;
/** A PF that was away may have lost a request: it is asked anew before a second is over. */
const SILENCE_US = 400_000;
/** Between two attempts where the PF does not answer, and where it refuses. */
const SILENT_US = 200_000;
const REFUSED_US = 1_000_000;
/** Between two attempts to open a device that was removed. */
const ABSENT_US = 250_000;
/** A function that reads as all ones for so long is not in a reset any more. */
const GONE_US = 500_000;

/** Looks after one VF. */
export class Recovery {
  /** How often the VF was restarted after a reset. */
  restarts = 0;
  // Private, so that the package's types need none of Node.js.
  private readonly events = new EventEmitter();
  private readonly life: Lifecycle;
  /** When the trouble was seen that is being mended; undefined while there is none. */
  private troubleUs: number | undefined;
  private steps: Generator<void> | undefined;
  private againUs = 0;
  /** A device that was opened again and is to take its place. */
  private returned: VfioDevice | undefined;
  /** Since when the function answers with all ones. */
  private goneUs: number | undefined;
  private link: LinkState | undefined;
  private lastFailure = '';
  /** Its user stopped it: it is left alone. */
  private stopped = false;
  private readonly untold: (() => void)[] = [];

  constructor(life: Lifecycle) {
    this.life = life;
  }

  on<Name extends keyof VfEvents>(name: Name, listener: Listener<Name>, once: boolean): void {
    if (once) this.events.once(name, listener);
    else this.events.on(name, listener);
  }

  off<Name extends keyof VfEvents>(name: Name, listener: Listener<Name>): void {
    this.events.off(name, listener);
  }

  /** Looks ten times a second from now on, as long as something else keeps the process alive. */
  start(): void {
    const again = (): void => {
      const { state, settings } = this.life;
      if (state === 'closed' || (state === 'removed' && settings.reopen === undefined)) return;
      try {
        this.look();
      } finally {
        setTimeout(again, this.troubleUs === undefined ? WATCH_MS : WORK_MS).unref();
      }
    };
    setTimeout(again, WATCH_MS).unref();
  }

  /** The VF was closed: a device that came back for it is, too, and nothing more is told. */
  close(): void {
    this.untold.length = 0;
    this.returned?.close();
    this.returned = undefined;
  }

  /** Looks at the VF and does what is due, for 50 ms at most. Throws nothing but what a listener throws. */
  look(): void {
    this.work();
    // One by one: where a listener throws, the next look tells the rest.
    for (let tell = this.untold.shift(); tell !== undefined; tell = this.untold.shift()) tell();
  }

  /**
   * The VF's user acts, and what was begun is void: half of it would undo what the user does.
   * @param stopped true: nothing is begun any more until the VF runs again
   */
  interrupt(stopped: boolean): void {
    this.steps = undefined;
    this.stopped = stopped;
  }

  private work(): void {
    const { life } = this;
    try {
      if (life.state === 'removed') this.awaitReturn();
      if (life.state === 'closed' || life.state === 'removed' || this.heardOfRemoval()) return;
      if (life.state === 'running') this.stopped = false;
      if (this.stopped) return;
      // Its user restarted it.
      if (life.state === 'running' && this.troubleUs !== undefined) this.recovered(this.troubleUs);
      if (this.troubleUs === undefined) this.watch();
      else this.mend(this.troubleUs);
    } catch (error) {
      this.failed(error as Error);
    }
  }

  private heardOfRemoval(): boolean {
    const events = this.life.device.takeEvents();
    const { address } = this.life.device;
    if ((events & DEVICE_EVENT.ERROR) !== 0) {
      const message = `${address}: the device reported a PCIe error that it does not recover from`;
      this.tellError(new Error(message));
      this.remove(message);
    } else if ((events & DEVICE_EVENT.REMOVAL) !== 0) {
      this.remove(`${address}: its host asks for the device back`);
    }
    return events !== 0;
  }

  /** Looks whether a device that was removed has come back. */
  private awaitReturn(): void {
    const { clock, settings } = this.life;
    if (this.returned !== undefined) {
      const device = this.returned;
      this.returned = undefined;
      this.life.replace(device);
      this.againUs = 0;
    } else if (settings.reopen !== undefined && clock.nowUs() >= this.againUs) {
      // Nothing is asked again before this has been answered.
      this.againUs = Number.POSITIVE_INFINITY;
      settings.reopen().then(
        (device) => {
          if (this.life.state === 'removed') this.returned = device;
          else device.close();
        },
        (error: Error) => {
          this.againUs = clock.nowUs() + ABSENT_US;
          // It is there, and stays shut until a person opens it.
          const { errno } = error as Partial<VfioError>;
          if (errno === ERRNO.EACCES || errno === ERRNO.EPERM) this.tellFailure(error);
        },
      );
    }
  }

  private watch(): void {
    const { monitor, mailbox, device } = this.life;
    const link = monitor.check();
    let reason = mailbox.lost;
    if (reason === '') reason = disabledQueue(device, this.life.startedQueues());
    this.tellLink(link);
    if (reason !== '') this.begin(reason);
  }

  private begin(reason: string): void {
    this.troubleUs = this.life.clock.nowUs();
    this.againUs = 0;
    this.steps = undefined;
    this.lastFailure = '';
    this.life.pause();
    this.tellLink({ up: false, speedMbps: 0, enabled: this.life.monitor.enabled });
    this.tell('reset', reason);
  }

  private mend(sinceUs: number): void {
    const { life } = this;
    const { clock } = life;
    const startUs = clock.nowUs();
    if (startUs < this.againUs) return;
    if (this.steps === undefined) {
      if (this.isGone(startUs) || life.mailbox.inReset) return;
      this.steps = life.restarting(SILENCE_US);
    }
    const { steps } = this;
    const done = clock.within(LOOK_US, () => {
      do if (steps.next().done === true) return true;
      while (clock.nowUs() - startUs < LOOK_US / 2);
      return false;
    });
    if (!done) return;
    this.steps = undefined;
    this.restarts++;
    this.recovered(sinceUs);
    this.watch();
  }

  private recovered(sinceUs: number): void {
    this.troubleUs = undefined;
    this.tell('restarted', (this.life.clock.nowUs() - sinceUs) / 1000);
  }

  /** True while the function answers with all ones, as in a reset of its host; for long, it was removed. */
  private isGone(nowUs: number): boolean {
    const { device } = this.life;
    if (device.read32(VFSTATUS.offset) !== ALL_ONES) {
      this.goneUs = undefined;
      return false;
    }
    this.goneUs ??= nowUs;
    if (nowUs - this.goneUs >= GONE_US) {
      this.remove(`${device.address}: it reads as all ones, as a device that was removed`);
    }
    return true;
  }

  private failed(error: Error): void {
    this.steps = undefined;
    const { clock, device, settings } = this.life;
    if (error instanceof VfioError) {
      // A backend that lost its device does not find it again.
      this.remove(error.message);
    } else if (this.troubleUs === undefined) {
      this.begin(error.message);
    } else if (error instanceof RangeError || isRefusal(error) || this.life.state === 'removed') {
      // What came back in the place of a removed device may be another one.
      this.againUs = clock.nowUs() + REFUSED_US;
      this.tellFailure(error);
    } else {
      // The PF does not answer yet, or a queue does not start. A port that was reset again is no reason to wait.
      const wait = error instanceof MailboxError && error.failure === 'reset' ? 0 : SILENT_US;
      this.againUs = clock.nowUs() + wait;
      settings.log.info(`${device.address}: ${error.message}; trying again`);
    }
  }

  private remove(reason: string): void {
    this.steps = undefined;
    this.goneUs = undefined;
    this.lastFailure = '';
    this.againUs = this.life.clock.nowUs() + ABSENT_US;
    if (this.life.state === 'removed') return;
    this.life.remove();
    this.troubleUs = this.life.clock.nowUs();
    this.tellLink({ up: false, speedMbps: 0, enabled: this.life.monitor.enabled });
    this.tell('removed', reason);
  }

  /** For the end of the look: a listener may throw, and may close the VF. */
  private tell<Name extends keyof VfEvents>(name: Name, ...told: VfEvents[Name]): void {
    this.untold.push(() => this.events.emit(name, ...told));
  }

  /** Tells what only a person can mend, once. */
  private tellFailure(error: Error): void {
    if (error.message !== this.lastFailure) this.tellError(error);
    this.lastFailure = error.message;
  }

  /** An `error` that nobody listens for would end the process. */
  private tellError(error: Error): void {
    if (this.events.listenerCount('error') === 0) this.life.settings.log.warn(error.message);
    else this.tell('error', error);
  }

  private tellLink(link: LinkState): void {
    const before = this.link;
    this.link = link;
    if (before?.up === link.up && before.speedMbps === link.speedMbps) return;
    this.tell('link', link);
  }
}

function isRefusal(error: Error): boolean {
  return error instanceof MailboxError && error.failure === 'nack';
}
