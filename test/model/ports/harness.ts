// A heap, a clock set by hand and an ingress that keeps copies: what a port needs
// to be tested without a switch.

import type { ArenaViews } from '../../../src/memory/layout.ts';
import { LOOP_BATCH, makeFrameBatch } from '../../../src/model/frame.ts';
import { Cables, type WireContext } from '../../../src/model/ports/index.ts';
import { LatencyTracks } from '../../../src/model/ports/latency.ts';
import { makePortLoops } from '../../../src/model/ports/loops.ts';
import { OFFER, type PortCounters, type WirePort } from '../../../src/model/types.ts';

export interface Offered {
  readonly frame: Uint8Array;
  readonly closedLoop: boolean;
}

export interface Harness {
  readonly context: WireContext;
  readonly offered: Offered[];
  readonly errors: string[];
  /** Frames that the ingress still takes before it says AGAIN. */
  room: number;
  nowUs: number;
  readonly macs: Uint8Array[];
  /** Sends frames out of the chip into a port; each starts `skew` bytes behind a word boundary. */
  transmit(port: WirePort, frames: readonly Uint8Array[], vf?: number, skew?: number): void;
}

export const HEAP_BYTES = 4 << 20;

export function makeViews(sizeBytes = HEAP_BYTES): ArenaViews {
  const buffer = new SharedArrayBuffer(sizeBytes);
  return {
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    u8: new Uint8Array(buffer),
    f64: new Float64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}

export function makeHarness(
  options: { port?: number; vfs?: number; views?: ArenaViews; cables?: Cables; base?: number } = {},
): Harness {
  const views = options.views ?? makeViews();
  const port = options.port ?? 0;
  const vfs = options.vfs ?? 1;
  let next = options.base ?? 4096;
  const batch = makeFrameBatch();
  const frameLoops = makePortLoops(views, batch);
  const harness: Harness = {
    offered: [],
    errors: [],
    room: Number.POSITIVE_INFINITY,
    nowUs: 0,
    macs: Array.from({ length: vfs }, (_, vf) => Uint8Array.of(2, 9, 0xc0, 0, port, vf)),
    context: {
      port,
      vfs,
      seed: 1,
      cables: options.cables ?? new Cables(),
      clock: { nowUs: () => harness.nowUs, sleepUs: () => {} },
      batch,
      latencies: new LatencyTracks(),
      views: () => views,
      frameLoops: () => frameLoops,
      allocate: (sizeBytes) => {
        const offset = next;
        next += Math.ceil(sizeBytes / 64) * 64;
        return offset;
      },
      vfMac: (vf) => harness.macs[vf],
      onError: (message) => harness.errors.push(message),
      ingress: {
        offer: (offset, length, closedLoop) => {
          if (harness.room <= 0) return OFFER.LATER;
          harness.room--;
          harness.offered.push({ frame: views.u8.slice(offset, offset + length), closedLoop });
          return OFFER.TAKEN;
        },
        // Where a claim finds no plain queue; the NIC's tests have those that do.
        claim: () => 0,
        commit: () => {},
      },
    },
    transmit: (to, frames, vf = 0, skew = 0) => {
      let at = 3 << 20;
      for (let from = 0; from < frames.length; from += LOOP_BATCH) {
        const some = frames.slice(from, from + LOOP_BATCH);
        some.forEach((frame, i) => {
          batch.offsets[i] = at + skew;
          batch.lengths[i] = frame.length;
          views.u8.set(frame, at + skew);
          at += (frame.length + 67) & ~63;
        });
        to.transmit(batch.offsets, batch.lengths, some.length, vf);
      }
    },
  };
  return harness;
}

/** The frames offered so far, and forgets them. */
export function takeFrames(harness: Harness): Uint8Array[] {
  return harness.offered.splice(0).map((one) => one.frame);
}

export function countersOf(port: WirePort, vf = 0): PortCounters {
  const counters: PortCounters = {
    offered: 0,
    delivered: 0,
    missedNoDescriptor: 0,
    missedDisabled: 0,
    spoofed: 0,
    filtered: 0,
    iommuFaults: 0,
    sinkReceived: 0,
    sinkGaps: 0,
    sinkDuplicates: 0,
    sinkCorrupt: 0,
    skipped: 0,
    unwritten: 0,
  };
  port.addCounters(vf, counters);
  return counters;
}

/** The sink's figures: received, gaps, duplicates, corrupt. */
export function sinkOf(port: WirePort, vf = 0): number[] {
  const { sinkReceived, sinkGaps, sinkDuplicates, sinkCorrupt } = countersOf(port, vf);
  return [sinkReceived, sinkGaps, sinkDuplicates, sinkCorrupt];
}

/** Ones-complement sum over bytes, as RFC 1071 defines it: 0xffff where a checksum inside is right. */
export function onesSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}
