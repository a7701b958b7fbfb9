// DEVICE_SET_IRQS: connects interrupts to eventfds, masks, triggers (vfio-user spec; struct
// vfio_irq_set of linux/vfio.h). Unlike the kernel's structure the message carries no eventfd
// numbers: the fds travel beside it, one an interrupt, or none at all to disconnect the range.

import { IRQ_ACTION, IRQ_DATA } from '../linux-vfio.ts';
import {
  COMMAND,
  checkFds,
  checkStruct,
  encodeCommand,
  encodeReply,
  HEADER_BYTES,
  payloadBytes,
  type Refusal,
  refuse,
} from './wire.ts';

const SET_BYTES = 20;

/** A DEVICE_SET_IRQS command on interrupts [start, start + count) of one index. */
export interface SetIrqsCommand {
  readonly index: number;
  readonly start: number;
  /** 0, with NONE and TRIGGER only: disable the whole index. */
  readonly count: number;
  /** One of IRQ_DATA. EVENTFD without fds disconnects the range. */
  readonly data: number;
  /** One of IRQ_ACTION. */
  readonly action: number;
  /** With BOOL: `count` bytes, 0 where nothing is to be done. Otherwise empty. A view of the message. */
  readonly bools: Uint8Array;
}

/** No booleans: for commands other than BOOL. */
export const NO_BOOLS = new Uint8Array(0);

/** Writes a DEVICE_SET_IRQS; eventfds are sent beside it. @returns message bytes, 36 + bools */
export function encodeSetIrqsCommand(out: DataView, id: number, set: SetIrqsCommand): number {
  const bytes = SET_BYTES + set.bools.length;
  out.setUint32(16, bytes, true);
  out.setUint32(20, set.data | set.action, true);
  out.setUint32(24, set.index, true);
  out.setUint32(28, set.start, true);
  out.setUint32(32, set.count, true);
  new Uint8Array(out.buffer, out.byteOffset + 36, set.bools.length).set(set.bools);
  return encodeCommand(out, id, COMMAND.DEVICE_SET_IRQS, HEADER_BYTES + bytes);
}

/**
 * Reads a DEVICE_SET_IRQS: flags, counts and fds agree, and the range lies inside the index.
 * @param irqCounts interrupts of each index
 */
export function decodeSetIrqsCommand(
  message: DataView,
  fdCount: number,
  irqCounts: readonly number[],
): SetIrqsCommand | Refusal {
  const bad = checkStruct(message, SET_BYTES);
  if (bad !== null) return bad;
  const flags = message.getUint32(20, true);
  const data = flags & 0x7;
  const action = flags & 0x38;
  if (!oneBit(data) || !oneBit(action) || flags !== (data | action)) {
    return refuse(`flags: expected one data and one action bit, got 0x${flags.toString(16)}`);
  }
  const index = message.getUint32(24, true);
  const start = message.getUint32(28, true);
  const count = message.getUint32(32, true);
  const limit = irqCounts[index];
  if (limit === undefined) {
    return refuse(`interrupt index: expected below ${irqCounts.length}, got ${index}`);
  }
  if (start + count > limit) {
    return refuse(`range: expected inside ${limit} interrupts, got ${start} + ${count}`);
  }
  if (count === 0 && (start !== 0 || flags !== (IRQ_DATA.NONE | IRQ_ACTION.TRIGGER))) {
    return refuse('count 0: expected start 0 and flags 0x21, which disable the index');
  }
  const rest = payloadBytes(message) - SET_BYTES;
  if (data === IRQ_DATA.BOOL && rest !== count) {
    return refuse(`booleans: expected ${count}, got ${rest}`);
  }
  if (fdCount !== 0) {
    const fds = checkFds(fdCount, data === IRQ_DATA.EVENTFD ? count : 0);
    if (fds !== null) return fds;
  }
  const bools =
    data === IRQ_DATA.BOOL
      ? new Uint8Array(message.buffer, message.byteOffset + 36, count)
      : NO_BOOLS;
  return { index, start, count, data, action, bools };
}

/** Writes the reply to a DEVICE_SET_IRQS. @returns message bytes, 16 */
export function encodeSetIrqsReply(out: DataView, id: number): number {
  return encodeReply(out, id, COMMAND.DEVICE_SET_IRQS);
}

/** One message: vectors [start, start + count), with as many fds, or none to disconnect. */
export interface VectorRun {
  readonly start: number;
  readonly count: number;
  readonly fds: readonly number[];
}

/**
 * The messages that take the vectors from `connected` to `wanted`; none for what is and stays disconnected. The
 * protocol has no fd of -1 as the kernel has: a message carries an fd for each of its vectors, or none and disconnects
 * them. So a full set is one message, and a set with holes one for each run.
 * @param wanted an fd or -1 for each vector
 * @param connected true for each vector that has an eventfd now
 * @param maxFds fds the server takes in one message; 0 is taken as 1, or nothing could ever be connected
 */
export function vectorRuns(
  wanted: readonly number[],
  connected: readonly boolean[],
  maxFds: number,
): VectorRun[] {
  const runs: VectorRun[] = [];
  const limit = Math.max(1, maxFds);
  for (let start = 0; start < wanted.length; ) {
    const connect = wanted[start] >= 0;
    let end = start + 1;
    while (end < wanted.length && wanted[end] >= 0 === connect) {
      if (connect && end - start === limit) break;
      end++;
    }
    const fds = connect ? wanted.slice(start, end) : [];
    if (connect || connected.slice(start, end).includes(true)) {
      runs.push({ start, count: end - start, fds });
    }
    start = end;
  }
  return runs;
}

function oneBit(value: number): boolean {
  return value !== 0 && (value & (value - 1)) === 0;
}
