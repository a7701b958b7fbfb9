// The end of a command's output. Node.js writes to a pipe in the background, so that whether a line reached anybody is
// known only later: a disk that is full makes a finished command a failed one, and a reader that has stopped reading
// must not keep a command alive that was told to end.

/** How long what is still to be written may take once the command was told to end. */
const HURRY_MS = 400;

let inHurry = false;
let onHurry = (): void => {
  inHurry = true;
};
let failure: NodeJS.ErrnoException | undefined;

/** To be called first, since an error of standard output that nobody listens for ends the process with a stack trace. */
export function watchOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    failure ??= error;
  });
  // There is no place left to say this.
  process.stderr.on('error', () => {});
}

/** Gives up soon on readers that do not read: somebody has told the command to end. */
export function hurryOutput(): void {
  onHurry();
}

/**
 * Waits until all output is with its readers, for a short time only after `hurryOutput`, and says where standard
 * output could not be written. A reader that went away, as `head -1` does, is no failure.
 * @param status of the command so far
 * @returns the exit status: 1 where output was lost
 */
export async function finishOutput(status: number): Promise<number> {
  const { stdout, stderr } = process;
  await new Promise<void>((done) => {
    onHurry = () => void setTimeout(done, HURRY_MS).unref();
    if (inHurry) onHurry();
    void Promise.all([written(stdout), written(stderr)]).then(() => done());
  });
  let end = status;
  if (failure !== undefined && failure.code !== 'EPIPE' && status === 0) {
    // Loaded only here, since every command loads this file when it starts.
    const { VfioError } = await import('../../support/errors.ts');
    const error = new VfioError('write', -(failure.errno ?? 0), 'standard output');
    stderr.write(`ixy: ${error.message}\n`);
    end = 1;
  }
  // What still waits would keep the process alive.
  if (stdout.writableLength + stderr.writableLength > 0) process.exit(end);
  return end;
}

/** Resolves once everything that was written to a stream has left it, or cannot any more. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}
