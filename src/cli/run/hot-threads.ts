// The threads that a command's hot loops run in, and the word in shared memory
// that ends them: they spin, so no message reaches them.

import { lstatSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { processArena } from '../../memory/arena.ts';
import type { Session } from './session.ts';

/** A thread looks at its stop word every few microseconds; one that does not end by then is ended by force. */
const LATE_MS = 800;

/**
 * What a thread says of itself as a whole: it runs, it warns of something, it failed, or, by any other kind, it has
 * come to its end.
 */
export type ThreadMessage =
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: string };

/** What a thread may tell. */
export interface ThreadEvents {
  readonly onError: (error: Error) => void;
  readonly onMessage?: (message: never) => void;
}

/**
 * Goes to the root directory where the working directory has been removed: Node.js starts no thread there. Files with
 * relative paths are opened before threads are started.
 */
function leaveLostDirectory(): void {
  try {
    lstatSync(process.cwd());
  } catch {
    process.chdir('/');
  }
}

/** The threads of one command, which end together. */
export class HotThreads {
  /** Arena word: 0 while the threads are to run. */
  readonly stopWord = processArena().allocateControl(64) >>> 2;
  private readonly workers: Worker[] = [];
  private readonly gone: Promise<void>[] = [];

  /** @param workerData numbers, handles and the stop word */
  start(file: URL, workerData: object, { onError, onMessage }: ThreadEvents): Worker {
    leaveLostDirectory();
    const worker = new Worker(file, { workerData });
    worker.on('error', onError);
    if (onMessage !== undefined) worker.on('message', onMessage as (message: unknown) => void);
    // Made now: a thread that died by itself has no second exit to wait for.
    this.gone.push(new Promise((resolve) => worker.once('exit', () => resolve())));
    this.workers.push(worker);
    return worker;
  }

  /**
   * Starts a thread that says how it fares, and waits until it runs; the session's time counts from then on. The
   * session ends with the thread.
   * @param onEnd called before, where the thread ends as it should
   */
  run(file: URL, workerData: object, session: Session, onEnd = (): void => {}): Promise<void> {
    return new Promise((started) => {
      const onError = (error: Error): void => {
        session.fail(error);
        started();
      };
      const onMessage = (message: ThreadMessage): void => {
        if ('text' in message) process.stderr.write(`warning: ${message.text}\n`);
        else if ('message' in message) onError(new Error(message.message));
        else if (message.kind === 'started') {
          session.begin();
          started();
        } else {
          onEnd();
          session.end();
        }
      };
      this.start(file, workerData, { onError, onMessage });
    });
  }

  /** Sets the stop word. */
  tell(value: number): void {
    Atomics.store(processArena().views.i32, this.stopWord, value);
  }

  /** Ends the threads. Bounded and idempotent. */
  async stop(lateMs = LATE_MS): Promise<void> {
    this.tell(1);
    await this.ended(lateMs);
  }

  /** Waits for the threads to end. @param lateMs after which they are ended by force */
  async ended(lateMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, lateMs);
    });
    await Promise.race([Promise.all(this.gone), late]);
    clearTimeout(timer);
    await Promise.all(this.workers.map((worker) => worker.terminate()));
    this.workers.length = 0;
    this.gone.length = 0;
  }
}
