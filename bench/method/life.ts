// How a bench lives and ends: one clear line and status 1 on failure, children and folders gone
// whatever ends it. Whoever starts or makes something registers how to get rid of it.

type Close = () => unknown;

const open: Close[] = [];

/** A failure whose message is all the user needs. */
export class BenchError extends Error {
  /** Exit status: 1 failed, 2 bad usage, 77 cannot be had here. */
  readonly status: number;

  constructor(message: string, status = 1) {
    super(message);
    this.status = status;
  }
}

/** Reads an option of the command line. @throws BenchError unless it is an integer from 1 to `high` */
export function integerOption(name: string, text: string, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= high) return value;
  throw new BenchError(`--${name}: expected an integer from 1 to ${high}, got '${text}'`, 2);
}

/** Registers `close`, to be called at the end unless it is cancelled. @returns what cancels it */
export function atEnd(close: Close): () => void {
  open.push(close);
  return () => {
    const i = open.indexOf(close);
    if (i >= 0) open.splice(i, 1);
  };
}

async function closeAll(): Promise<void> {
  for (let close = open.pop(); close !== undefined; close = open.pop()) {
    try {
      await close();
    } catch (error) {
      process.stderr.write(`bench: ${(error as Error).message}\n`);
    }
  }
}

/** Longest orderly end after a signal. */
const CLOSE_MS = 5000;

/** Runs a bench to its end and sets the exit status. @param name for its messages */
export async function runBench(name: string, main: () => Promise<void>): Promise<void> {
  let ending = false;
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => {
      if (ending) return;
      ending = true;
      setTimeout(() => process.exit(status), CLOSE_MS).unref();
      void closeAll().then(() => process.exit(status));
    });
  }
  try {
    await main();
  } catch (error) {
    // What a signal cut short has nothing to say.
    if (ending) await new Promise(() => {});
    const known = error instanceof BenchError;
    process.stderr.write(`${name}: ${known ? error.message : ((error as Error).stack ?? error)}\n`);
    process.exitCode = known ? error.status : 1;
  }
  if (!ending) await closeAll();
}
