// Frames that one VF sends and another receives, for the steps that give the device memory. Each frame is told
// from every other by its bytes. The slow path throughout: a few frames at a time.

import { type PacketViews, packetViews } from '../../memory/packet-views.ts';
import type { Clock } from '../../support/clock.ts';
import { type RunningVf, waitFor } from './patient.ts';

/** For experiments inside one network (IEEE 802, clause 9). */
const ETHERTYPE = [0x88, 0xb5] as const;
const VLAN_ETHERTYPE = [0x81, 0x00] as const;
const MAC_BYTES = 6;
/** As many as are moved in one call. */
const BATCH = 128;

/** A frame as it arrived. */
export interface Received {
  readonly bytes: Uint8Array;
  /** RX_FLAGS. */
  readonly flags: number;
  /** Where the tag was stripped. */
  readonly vlan: number;
}

/** A frame of `length` bytes without CRC. @param vlan id of its tag; absent: no tag */
export function frameTo(
  to: RunningVf,
  from: RunningVf,
  length: number,
  serial: number,
  vlan?: number,
): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => (i * 7 + serial * 13) & 0xff);
  const tag = vlan === undefined ? [] : [...VLAN_ETHERTYPE, vlan >> 8, vlan & 0xff];
  frame.set([...to.vf.macBytes, ...from.vf.macBytes, ...tag, ...ETHERTYPE]);
  return frame;
}

/** The same frame without its tag. */
export function withoutTag(frame: Uint8Array): Uint8Array {
  return Uint8Array.from([
    ...frame.subarray(0, 2 * MAC_BYTES),
    ...frame.subarray(2 * MAC_BYTES + 4),
  ]);
}

/** Posts frames, at most 128. @returns how many the ring took */
export function send({ vf, mempool }: RunningVf, frames: readonly Uint8Array[]): number {
  const bufs = new Int32Array(BATCH);
  const views = packetViews(mempool);
  const n = mempool.takeBatch(bufs, 0, Math.min(frames.length, BATCH));
  for (let i = 0; i < n; i++) views.fill(bufs[i], frames[i]);
  const taken = vf.tx[0].batch(bufs, 0, n);
  mempool.giveBatch(bufs, taken, n - taken);
  return taken;
}

/** Takes what has arrived. @returns what `from` sent: a network has other frames too */
export function take({ vf, mempool }: RunningVf, from: RunningVf): Received[] {
  const bufs = new Int32Array(BATCH);
  const views = packetViews(mempool);
  const n = vf.rx[0].batch(bufs, 0, BATCH);
  const frames = Array.from(bufs.subarray(0, n), (buf) => copy(views, buf));
  mempool.giveBatch(bufs, 0, n);
  const source = from.vf.macBytes;
  return frames.filter(({ bytes }) => isSame(bytes.subarray(MAC_BYTES, 2 * MAC_BYTES), source));
}

function copy(views: PacketViews, buf: number): Received {
  return { bytes: views.frame(buf).slice(), flags: views.flags[buf], vlan: views.vlan[buf] };
}

/** Frames that arrived, and when the last of them did. */
export interface Arrived {
  readonly frames: readonly Received[];
  readonly us: number;
}

/** Receives until `count` frames of `from` are there or the time is up. */
export function collect(
  to: RunningVf,
  from: RunningVf,
  clock: Clock,
  count: number,
  boundUs: number,
): Arrived {
  const frames: Received[] = [];
  const { us } = waitFor(
    clock,
    boundUs,
    () => frames.push(...take(to, from)),
    (length) => length >= count,
  );
  return { frames, us };
}

/** Whether two frames are the same, byte by byte. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Waits until the device has taken every frame from the tx ring. @returns how long that took, and what is left */
export function drained(
  from: RunningVf,
  clock: Clock,
  boundUs: number,
): { us: number; left: number } {
  const { us, value } = waitFor(
    clock,
    boundUs,
    () => from.vf.tx[0].pending,
    (left) => left === 0,
  );
  return { us, left: value };
}
