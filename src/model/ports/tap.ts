// The tap port: a Linux TAP interface as what a port is plugged into. Frames of the interface go
// to the switch, frames that leave the chip to the interface. An interface that is down or was
// moved to another network namespace is no error; one that is gone ends the port. linux/if_tun.h.

import { constants as files } from 'node:fs';
import { constants as os } from 'node:os';
import { MAX_FRAME_WITH_CRC, MIN_FRAME_WITHOUT_CRC } from '../../hw/descriptors.ts';
import { VfioError } from '../../support/errors.ts';
import { native } from '../../support/native.ts';
import type { PortCounters, WirePort } from '../types.ts';
import { countedVf, type WireContext } from './context.ts';

const TUN_DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x4004_54ca;
const IFF_TAP = 0x2;
const IFF_NO_PI = 0x1000;
/** struct ifreq: 16 bytes of name, then a union. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** Frames read at once, and room for each: the 82599's longest, and a byte that shows one that is longer. */
const BATCH = 64;
const SLOT_BYTES = MAX_FRAME_WITH_CRC + 64;

const { EPERM, ENOENT, EIO, EACCES, EBUSY, ENODEV, EINVAL } = os.errno;
/** Not among the names that Node.js knows. */
const EBADFD = 77;

/** The port of one TAP interface. Owns the fd; without IFF_PERSIST the interface goes with it. */
export class TapPort implements WirePort {
  readonly spec: string;
  /** Frames that the interface did not take (it is down, or its queue is full), and frames longer than a port takes. */
  dropped = 0;
  private readonly context: WireContext;
  private readonly name: string;
  private fd: number;
  private readonly offsets = new Int32Array(BATCH);
  private readonly lengths = new Int32Array(BATCH);
  private readonly offered: Float64Array;

  /** @param fd a TAP queue, non-blocking; this object's from here on */
  constructor(name: string, fd: number, context: WireContext) {
    this.spec = `tap:${name}`;
    this.name = name;
    this.fd = fd;
    this.context = context;
    this.offered = new Float64Array(context.vfs);
    const staging = context.allocate(BATCH * SLOT_BYTES);
    for (let i = 0; i < BATCH; i++) this.offsets[i] = staging + i * SLOT_BYTES;
  }

  /** False once the interface is gone. */
  get linkUp(): boolean {
    return this.fd >= 0;
  }

  step(budget: number): number {
    if (this.fd < 0) return 0;
    const { offsets, lengths } = this;
    const { u8 } = this.context.views();
    const n = Math.min(budget, BATCH);
    const got = native().readFrames(this.fd, u8, offsets, lengths, n, MAX_FRAME_WITH_CRC + 1);
    if (got < 0) this.judge(-got);
    for (let i = 0; i < got; i++) this.offer(u8, offsets[i], lengths[i]);
    return Math.max(0, got);
  }

  transmit(offsets: Int32Array, lengths: Int32Array, n: number, _vf: number): void {
    if (this.fd < 0) {
      this.dropped += n;
      return;
    }
    const { u8 } = this.context.views();
    const sent = native().writeFrames(this.fd, u8, offsets, lengths, n);
    if (sent < 0) {
      this.dropped += n;
      this.judge(-sent);
      return;
    }
    this.dropped += n - sent;
  }

  addCounters(vf: number, counters: PortCounters): void {
    counters.offered += this.offered[vf];
  }

  /** Gives the interface back. Idempotent. */
  close(): void {
    if (this.fd < 0) return;
    native().close(this.fd);
    this.fd = -1;
  }

  private offer(u8: Uint8Array, offset: number, length: number): void {
    if (length > MAX_FRAME_WITH_CRC) {
      this.dropped++;
      return;
    }
    if (length < MIN_FRAME_WITHOUT_CRC) u8.fill(0, offset + length, offset + MIN_FRAME_WITHOUT_CRC);
    const vf = countedVf(this.context, u8, offset);
    // Open loop, as a wire is: a VF that takes nothing must not hold up the others behind it.
    this.context.ingress.offer(offset, Math.max(length, MIN_FRAME_WITHOUT_CRC), false);
    this.offered[vf]++;
  }

  /** EIO means down, which passes; EBADFD that the interface was deleted. */
  private judge(errno: number): void {
    if (errno === EIO) return;
    const why = errno === EBADFD || errno === ENODEV ? 'is gone' : `failed with errno ${errno}`;
    this.close();
    this.context.onError(`TAP interface ${this.name} ${why}; the port stays without link`);
  }
}

/**
 * Opens or creates a TAP interface.
 * @param name 1 to 15 bytes
 * @throws VfioError: no permission, no TUN driver, the name belongs to another kind of interface or is in use
 */
export function openTap(name: string, context: WireContext): TapPort {
  const shim = native();
  const fd = shim.open(TUN_DEVICE, files.O_RDWR | files.O_NONBLOCK);
  if (fd < 0) throw new VfioError('open TAP', -fd, TUN_DEVICE, adviceFor(-fd, name));
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES - 1));
  new DataView(request.buffer).setUint16(NAME_BYTES, IFF_TAP | IFF_NO_PI, true);
  const result = shim.ioctl(fd, TUNSETIFF, request);
  if (result < 0) {
    shim.close(fd);
    throw new VfioError('open TAP', -result, name, adviceFor(-result, name));
  }
  return new TapPort(name, fd, context);
}

function adviceFor(errno: number, name: string): string {
  switch (errno) {
    case EPERM:
    case EACCES:
      return `needs CAP_NET_ADMIN, or an interface made for this user: ip tuntap add ${name} mode tap user $USER`;
    case ENOENT:
    case ENODEV:
      return 'this kernel has no TUN/TAP driver; load the module tun';
    case EBUSY:
      return 'another program uses the interface';
    case EINVAL:
      return 'an interface of this name exists and is no TAP interface, or has other flags (multi_queue, pi)';
    default:
      return '';
  }
}
