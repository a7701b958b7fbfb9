// The outer life of a command that runs for a while: start, a tick a second,
// an end by duration, signal, closed pipe or failure, and what exit status that makes.

/** How often the devices are looked at, so that a lost one ends the command within a second. */
const CHECK_MS = 250;

/** See the head of this file. */
export class Session {
  private readonly durationSeconds: number;
  private readonly intervalSeconds: number;
  private startMs = performance.now();
  private endMs = 0;
  private failure: Error | undefined;
  private finish: (() => void) | undefined;
  private finished = false;
  private afterwards = (): void => {};
  private readonly onSignal = (): void => this.stopAll();
  private readonly onPipe = (error: Error): void => {
    // The reader of our output went away: nobody is left to report to, but the devices are still closed in order.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') this.failure ??= error;
    this.stopAll();
  };

  /** @param options durationSeconds: 0 for no end; intervalSeconds: between two ticks, 0 for none, default 1 */
  constructor(options: { readonly durationSeconds: number; readonly intervalSeconds?: number }) {
    this.durationSeconds = options.durationSeconds;
    this.intervalSeconds = options.intervalSeconds ?? 1;
    process.on('SIGINT', this.onSignal);
    process.on('SIGTERM', this.onSignal);
    process.on('SIGHUP', this.onSignal);
    process.stdout.on('error', this.onPipe);
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
  whenHurried(action: () => void): void {
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
