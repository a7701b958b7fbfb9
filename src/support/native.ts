// The native shim (native/shim) as TypeScript sees it: the functions, and the one place that
// loads them. Nothing here knows VFIO or the 82599. Rules that hold for every function:
// - it returns a number >= 0, or a negated errno (-11 is EAGAIN); EINTR was already retried;
// - a wrong argument type is a TypeError, a number or view outside its bounds a RangeError;
// - addresses are numbers (user space lies below 2**47); every fd it makes is close-on-exec.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { POLL } from './linux.ts';

/** Any view of memory: of an ArrayBuffer, a SharedArrayBuffer or a WebAssembly.Memory. */
export type MemoryView = ArrayBufferView<ArrayBufferLike>;

/** A running watch of one file descriptor; see `watchFd`. */
export interface FdWatcher {
  /** Stops it and waits for its thread: no callback comes after this returns. Idempotent. */
  cancel(): void;
  /** Lets it keep the process alive (the default), as `ref` of any Node.js handle. */
  ref(): void;
  /** Lets the process end while it still watches. */
  unref(): void;
}

/** The functions of the addon itself; `Native` is what others use. */
interface Shim {
  /** Address of a view's first byte. It moves with the memory of a plain ArrayBuffer: use views of shared memory. */
  addressOf(view: MemoryView): number;
  /** mmap(2) with MAP_FIXED: replaces what is mapped at `address`. `fd` -1 with MAP_ANONYMOUS. @returns 0 */
  mmapFixed(
    address: number,
    sizeBytes: number,
    prot: number,
    flags: number,
    fd: number,
    fdOffset: number,
  ): number;
  /** Puts private, zero, unreserved pages back over a range that mmapFixed replaced. @returns 0 */
  remapPlain(address: number, sizeBytes: number): number;
  /** madvise(2). @returns 0 */
  madvise(address: number, sizeBytes: number, advice: number): number;
  /** memfd_create(2), MFD_CLOEXEC added; `name` up to 249 bytes. @returns fd */
  memfdCreate(name: string, flags: number): number;
  /** ftruncate(2). @returns 0 */
  ftruncate(fd: number, sizeBytes: number): number;
  /** F_ADD_SEALS on a memfd made with MFD_ALLOW_SEALING. @returns 0 */
  addSeals(fd: number, seals: number): number;
  /** F_GET_SEALS. @returns bit mask of seals */
  seals(fd: number): number;

  /**
   * Makes a SIGBUS inside [address, address + sizeBytes) map a plain page (4 KiB; 2 MiB where huge pages lie) over
   * the faulting one, instead of ending the process. Both page-aligned; up to 64 ranges a process.
   * @param faultWords at least 2 words of shared memory: [0] counts faults, [1] the last one's 4 KiB page number
   *   from `address`. Held alive until unguardBus.
   * @param fill what every byte of that page is, default 0
   * @returns 0; -17 (EEXIST) over another guarded range, -22 unaligned, -28 no place left
   */
  guardBus(address: number, sizeBytes: number, faultWords: Int32Array, fill?: number): number;
  /** Ends guardBus of the range that starts at `address`, on the thread that began it. @returns 0, -2 unknown, -1 other thread's */
  unguardBus(address: number): number;

  /** open(2), mode 0600 where it creates. @returns fd */
  open(path: string, flags: number): number;
  /** close(2), once: never retried, since Linux frees the number in any case. @returns 0 */
  close(fd: number): number;
  /** Duplicates an fd. @returns the new fd */
  dup(fd: number): number;
  /** fstat(2) into out[0..3] = device, inode, size in bytes, mode. @returns 0 */
  fstat(fd: number, out: Float64Array): number;
  /** pread(2) into view[byteOffset, byteOffset + length). @returns bytes, 0 at the end of the file */
  pread(
    fd: number,
    view: MemoryView,
    byteOffset: number,
    length: number,
    fileOffset: number,
  ): number;
  /** pwrite(2) from view[byteOffset, byteOffset + length). @returns bytes */
  pwrite(
    fd: number,
    view: MemoryView,
    byteOffset: number,
    length: number,
    fileOffset: number,
  ): number;
  /** ioctl(2); a view passes its address, null passes 0. @returns the ioctl's own result */
  ioctl(fd: number, request: number, argument: MemoryView | number | null): number;

  /**
   * poll(2) over `n` (up to 64) triples [fd, events, revents]; revents is written. A negative fd is skipped.
   * A Worker calls it with at most 50 ms a turn, so that it can read its stop word.
   * @returns number of entries with revents, 0 at the timeout
   */
  poll(fdsEvents: Int32Array, n: number, timeoutMs: number): number;
  /** eventfd(2). @returns fd */
  eventfd(initial: number, flags: number): number;
  /** Adds 1. Never blocks. @returns 0, or -11 when the counter is full */
  eventfdSignal(fd: number): number;
  /** Reads and zeroes the counter. Never blocks. @returns the count, 0 when it was empty */
  eventfdDrain(fd: number): number;

  /** A listening, non-blocking UNIX stream socket, its file's mode 0600. @returns fd; -36 path over 107 bytes, -98 path exists */
  unixListen(path: string, backlog: number): number;
  /** Connects; the wait for room in the backlog is bounded (default 5,000 ms). @returns blocking fd; -110 at the timeout */
  unixConnect(path: string, timeoutMs?: number): number;
  /** Accepts one connection. @returns blocking fd; -11 when none waits */
  accept(fd: number): number;
  /** shutdown(2): `how` 0 read, 1 write, 2 both. @returns 0 */
  shutdown(fd: number, how: number): number;
  /** Sets or clears O_NONBLOCK, which all duplicates of the fd share. @returns 0 */
  setNonBlocking(fd: number, on: boolean): number;
  /** A connected pair of blocking UNIX stream sockets into out[0..1]. @returns 0 */
  socketpair(out: Int32Array): number;
  /** sendmsg(2) without SIGPIPE, passing fds[0..fdCount) (up to 253; needs a byte of data). @returns bytes, maybe fewer than `length` */
  sendMsg(
    fd: number,
    view: MemoryView,
    byteOffset: number,
    length: number,
    fds: Int32Array | null,
    fdCount: number,
  ): number;
  /**
   * recvmsg(2). fdsOut[0] becomes the number of fds that came, fdsOut[1..] the fds, now the caller's to close.
   * Where they do not fit (or fdsOut is null and some came) all are closed, fdsOut[0] is 0 and the result is -90
   * (EMSGSIZE); the data was consumed, so the stream is to be closed.
   * @returns bytes, 0 at the end of the stream
   */
  recvMsg(
    fd: number,
    view: MemoryView,
    byteOffset: number,
    length: number,
    fdsOut: Int32Array | null,
  ): number;
  /**
   * Sends one message and receives the next one: 16 bytes of header or more, whose u32 at byte 4 is the size of the
   * whole (vfio-user spec, "Header"). On blocking and non-blocking sockets alike; exactly one message is read.
   * After an error the stream is out of step and is to be closed; fds that came with it are closed already.
   * @param sendLength bytes of sendView to send, at least 16
   * @param recvFdsOut as in recvMsg
   * @returns bytes received; -110 at the deadline, -104 end of stream, -90 larger than recvView or more fds than
   *   recvFdsOut holds, -71 a size below 16, -32 the peer is gone
   */
  request(
    fd: number,
    sendView: MemoryView,
    sendLength: number,
    sendFds: Int32Array | null,
    sendFdCount: number,
    recvView: MemoryView,
    recvFdsOut: Int32Array | null,
    timeoutMs: number,
  ): number;

  /**
   * Reads up to `n` frames from a non-blocking packet fd, frame i to view[offsets[i]] (u32 bit pattern, bytes); writes lengths[i].
   * A frame longer than maxLength is cut to it by the kernel, so leave a byte of room to see that.
   * @returns frames read, 0 when none waits; an errno only when no frame moved
   */
  readFrames(
    fd: number,
    view: MemoryView,
    offsets: Int32Array,
    lengths: Int32Array,
    n: number,
    maxLength: number,
  ): number;
  /** Writes frames view[offsets[i], + lengths[i]) to a non-blocking packet fd. @returns frames written; an errno only when none was */
  writeFrames(
    fd: number,
    view: MemoryView,
    offsets: Int32Array,
    lengths: Int32Array,
    n: number,
  ): number;

  /** Writes CLOCK_MONOTONIC in microseconds to out[0]; nothing is allocated. */
  monotonicUs(out: Float64Array): void;

  /** Lets another runnable thread have this CPU, if one waits for it; returns at once otherwise. */
  yieldCpu(): void;
  /** gettid(2): the kernel's number of the calling thread, 1 up. */
  threadId(): number;
  /** Looks whether a thread of this process is there. @returns 0; -3 (ESRCH) where it has ended */
  probeThread(threadId: number): number;
  /** membarrier(2) without flags. @returns what the command gives; -38 (ENOSYS) or -1 (EPERM) where there is none */
  membarrier(command: number): number;
}

/** What the shim offers the rest of the library. */
export interface Native extends Shim {
  /**
   * Calls `callback` on this thread's event loop while `fd` has one of `events` (poll.h bits; default POLLIN = 1;
   * hang-up and error always count). Level-triggered: it comes again after it returned, until the cause is gone or
   * the watch is cancelled. An exception in it is an uncaught one. Cancel before closing the fd.
   * @throws Error when it cannot start (fd not open, no thread)
   */
  watchFd(fd: number, callback: (revents: number) => void, events?: number): FdWatcher;
}

interface Addon extends Shim {
  watchStart(fd: number, callback: (revents: number) => void, events: number): number;
  watchCancel(id: number): number;
  watchRef(id: number, on: boolean): number;
}

const shimFile = fileURLToPath(new URL('../../dist/native/ixy-shim.node', import.meta.url));
let loaded: Native | undefined;

/**
 * The native shim, loaded at the first call on each thread.
 * @throws Error when it was not built, or was built for another machine
 */
export function native(): Native {
  loaded ??= bind(load());
  return loaded;
}

function load(): Addon {
  try {
    return createRequire(import.meta.url)(shimFile) as Addon;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`native shim ${shimFile} did not load: run \`npm run build\` (${why})`, {
      cause,
    });
  }
}

function bind(addon: Addon): Native {
  return {
    ...addon,
    watchFd(fd, callback, events = POLL.IN) {
      const id = addon.watchStart(fd, callback, events);
      if (id < 0) throw new Error(`watch fd ${fd}: errno ${-id}`);
      return {
        cancel: () => void addon.watchCancel(id),
        ref: () => void addon.watchRef(id, true),
        unref: () => void addon.watchRef(id, false),
      };
    },
  };
}
