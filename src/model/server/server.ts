// The vfio-user server of a model: a socket DIR/pPvV.sock for each VF, all of them served by one
// poll. It moves only by `serve`, has no timers, and never waits for a client: whoever is slow,
// wrong or gone harms nobody else. vfio-user spec (QEMU's docs/interop/vfio-user.rst).

import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Arena } from '../../memory/arena.ts';
import { VfioError } from '../../support/errors.ts';
import { type Log, silentLog } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import type { ModelHost, VfSlot } from '../host/host.ts';
import { ClientFiles } from './client-files.ts';
import { ControlSocket } from './control.ts';
import { POLL_WORDS, PollList } from './poll-list.ts';
import { type ServedVf, type ServerCounters, VfEndpoint } from './vf-endpoint.ts';

/** Entries that one native().poll takes. */
const POLL_ENTRIES = 64;

const DIRECTORY_ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'expected an existing parent directory; make it first',
  EACCES: 'this user may not write to its parent directory; use another one',
};

/** How a server is made. */
export interface ModelServerOptions {
  readonly arena: Arena;
  readonly vfs: readonly ServedVf[];
  /** Directory of the sockets; made, with mode 0700, where it does not exist and its parent does, and then removed at the end. */
  readonly directory: string;
  readonly log?: Log;
}

/** The vfio-user server of all VFs of a model. Owns sockets, connections, and the clients' memory in the arena. */
export class ModelServer {
  /** Socket paths, in the order of the VFs. */
  readonly paths: readonly string[];
  readonly counters: ServerCounters = { messages: 0, refused: 0, unsolicited: 0, dropped: 0 };
  private readonly endpoints: VfEndpoint[] = [];
  private readonly files: ClientFiles;
  private readonly log: Log;
  private readonly polls = new Int32Array(POLL_ENTRIES * POLL_WORDS);
  private readonly wanted = new PollList();
  private readonly ready = new Set<number>();
  /** The directory, where this object made it. */
  private readonly madeDirectory: string | undefined;
  private readonly directory: string;
  private host: ModelHost | undefined;
  private control: ControlSocket | undefined;
  private closed = false;

  /** @throws VfioError where a socket cannot be made; then none is left */
  constructor(options: ModelServerOptions) {
    const { arena, vfs, directory, log = silentLog } = options;
    this.log = log;
    this.directory = directory;
    this.madeDirectory = makeDirectory(directory) ? directory : undefined;
    this.files = new ClientFiles(arena);
    try {
      for (const served of vfs) {
        const path = join(directory, `p${served.target.port}v${served.target.vf}.sock`);
        const { files, counters } = this;
        this.endpoints.push(new VfEndpoint(served, path, files, counters, log));
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.paths = this.endpoints.map(({ path }) => path);
  }

  /** The VFs, by port. */
  get slots(): readonly (readonly VfSlot[])[] {
    const slots: VfSlot[][] = [];
    for (const endpoint of this.endpoints) {
      const { port } = endpoint.target;
      slots[port] = [...(slots[port] ?? []), endpoint];
    }
    return slots;
  }

  /** Lets whoever owns the directory administer the host from now on. @throws VfioError where the socket cannot be made */
  administer(host: ModelHost): void {
    this.host = host;
    this.control = new ControlSocket(join(this.directory, 'control.sock'), host, this.log);
  }

  /** VFs that have a client. */
  get clients(): number {
    return this.endpoints.filter((endpoint) => endpoint.taken).length;
  }

  /** Connections, with and without a VF. */
  get connections(): number {
    return this.endpoints.reduce((sum, endpoint) => sum + endpoint.connections, 0);
  }

  /** Client files mapped now. */
  get mappedFiles(): number {
    return this.files.count;
  }

  /**
   * Handles everything that has come in.
   * @param timeoutMs how long to wait where nothing has, 0..50
   * @returns messages and connections handled
   * @throws VfioError where poll itself fails
   */
  serve(timeoutMs: number): number {
    this.host?.step();
    const faulted = this.files.faulted();
    if (faulted.length > 0) {
      for (const endpoint of this.endpoints) endpoint.dropUsersOf(faulted);
    }
    // No iterator, no new list: an idle look at the sockets leaves no garbage behind.
    const { endpoints, wanted, ready } = this;
    wanted.clear();
    if (ready.size > 0) ready.clear();
    for (let i = 0; i < endpoints.length; i++) endpoints[i].addPolls(wanted);
    this.control?.addPolls(wanted);
    this.poll(timeoutMs);
    if (ready.size === 0) return 0;
    let handled = 0;
    for (const endpoint of this.endpoints) handled += endpoint.serve(ready);
    // Who closed its VF just now has given it back before the administrator looks.
    this.host?.step();
    return handled + (this.control?.serve(ready) ?? 0);
  }

  /** Hangs up on everybody, removes the sockets, unmaps the clients' memory. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const endpoint of this.endpoints) endpoint.close();
    this.control?.close();
    this.files.close();
    if (this.madeDirectory !== undefined) removeEmpty(this.madeDirectory);
  }

  /** Puts the fds of `wanted` that are ready into `ready`. Where poll takes not all at once only the last turn waits. */
  private poll(timeoutMs: number): void {
    const { entries } = this.wanted;
    for (let from = 0; from < entries; from += POLL_ENTRIES) {
      const n = Math.min(POLL_ENTRIES, entries - from);
      const mayWait = from + n === entries && this.ready.size === 0;
      // Those polled before are not seen while this waits: keep that short.
      const limit = from === 0 ? timeoutMs : Math.min(timeoutMs, 1);
      this.pollOnce(from, n, mayWait ? limit : 0);
    }
  }

  private pollOnce(from: number, n: number, timeoutMs: number): void {
    const { polls, wanted, ready } = this;
    const { words } = wanted;
    for (let i = 0; i < n * POLL_WORDS; i++) polls[i] = words[from * POLL_WORDS + i];
    const result = native().poll(polls, n, timeoutMs);
    if (result < 0) throw new VfioError('poll', -result, 'sockets');
    for (let i = 0; result > 0 && i < n; i++) {
      if (polls[i * POLL_WORDS + 2] !== 0) ready.add(polls[i * POLL_WORDS]);
    }
  }
}

/**
 * Makes one level only: Node.js 20 never returns from a recursive mkdir below /proc.
 * @returns false where it was there
 */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new VfioError(
      'make socket directory',
      Math.abs(errno),
      path,
      DIRECTORY_ADVICE[code ?? ''],
    );
  }
}

/** Somebody else may have put something there, or removed it: then it is left alone. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {}
}
