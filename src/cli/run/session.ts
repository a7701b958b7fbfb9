// The outer life of a command that runs for a while: start, a tick a second,
// an end by duration, signal, closed pipe or failure, and what exit status that makes.

import { hurryOutput } from './output.ts';

/** How often the devices are looked at, so that a lost one ends the command within a second. */
const CHECK_MS = 250;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How a session is to end, and how often it ticks. */
export interface SessionOptions {
  /** 0: no end. */
  readonly durationSeconds: number;
  /** Between two ticks, 0: none. Default 1. */
  readonly intervalSeconds?: number;
  /**
   * Ends when standard input does. Signals are then left to whoever holds the other end: terminals and service managers
   * send them to both, and a model would be gone before its VFs were closed.
   */
  readonly exitWithStdin?: boolean;
}

/** One run of a command, from its start to its exit status. */
export class Session {
  private readonly durationSeconds: number;
  private readonly intervalSeconds: number;
  private readonly exitWithStdin: boolean;
  private startMs = performance.now();
  private endMs = 0;
  private failure: Error | undefined;
  private finish: (() => void) | undefined;
  private finished = false;
  private afterwards = (): void => {};
  private readonly onSignal = (): void => {
    hurryOutput();
    this.stopAll();
  };

  constructor(options: SessionOptions) {
    this.durationSeconds = options.durationSeconds;
    this.intervalSeconds = options.intervalSeconds ?? 1;
    this.exitWithStdin = options.exitWithStdin ?? false;
    if (this.exitWithStdin) this.followStdin();
    // Nobody is left to report to, but the devices are still closed in order.
    process.stdout.on('error', () => this.stopAll());
  }

  /**
   * Signals end the session in order from now on. To be called once the devices are open: until then a signal ends the
   * process at once, as it does by default, since a request to a server that does not answer would hold up any handler,
   * and there is nothing yet to report or to put in order.
   */
  catchSignals(): void {
    for (const signal of SIGNALS) process.on(signal, this.exitWithStdin ? () => {} : this.onSignal);
  }

  /** Time starts to count. */
  begin(): void {
    this.startMs = performance.now();
  }

  /** Seconds since begin(), or over the whole run once it ended. */
  get seconds(): number {
    return ((this.finished ? this.endMs : performance.now()) - this.startMs) / 1000;
  }

  get roundedSeconds(): number {
    return Math.round(this.seconds * 1000) / 1000;
  }

  /** True once something ended the session. */
  get over(): boolean {
    return this.finished;
  }

  /** What goes on after the end, such as waiting for the last frames, is cut short by a signal through this. */
  onSignalAfterEnd(action: () => void): void {
    this.afterwards = action;
  }

  print(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  /** Ends the session with exit status 1. */
  fail(error: Error): void {
    this.failure ??= error;
    this.end();
  }

  end(): void {
    if (this.finished) return;
    this.finished = true;
    this.endMs = performance.now();
    this.finish?.();
  }

  /**
   * Waits for the end.
   * @param tick called once in an interval
   * @param check called more often; what it throws ends the session as a failure
   */
  async until(tick?: () => void, check?: () => void): Promise<void> {
    if (this.finished) return;
    const timers: NodeJS.Timeout[] = [];
    const repeat = (action: (() => void) | undefined, everyMs: number): void => {
      if (action === undefined || everyMs === 0) return;
      const guarded = (): void => {
        try {
          action();
        } catch (error) {
          this.fail(error as Error);
        }
      };
      timers.push(setInterval(guarded, everyMs));
    };
    repeat(tick, this.intervalSeconds * 1000);
    repeat(check, CHECK_MS);
    const end =
      this.durationSeconds > 0
        ? setTimeout(() => this.end(), this.durationSeconds * 1000)
        : undefined;
    await new Promise<void>((resolve) => {
      this.finish = resolve;
    });
    for (const timer of timers) clearInterval(timer);
    clearTimeout(end);
  }

  private followStdin(): void {
    for (const event of ['end', 'close', 'error']) {
      process.stdin.on(event, () => {
        hurryOutput();
        this.end();
      });
    }
    process.stdin.resume();
    // A pipe that stays open must not keep a process alive that ended for another reason.
    (process.stdin as Partial<{ unref(): void }>).unref?.();
  }

  private stopAll(): void {
    if (this.finished) this.afterwards();
    else this.end();
  }

  /** Says what failed, on stderr. @returns the exit status: 0, or 1 after a failure */
  status(): number {
    if (this.failure === undefined) return 0;
    process.stderr.write(`ixy: ${this.failure.message}\n`);
    return 1;
  }
}
