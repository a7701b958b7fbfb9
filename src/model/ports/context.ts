// What a wire port gets from the model that it is plugged into, and what a port
// that plays something to its end shows beyond WirePort.

import type { ArenaViews } from '../../memory/layout.ts';
import type { Clock } from '../../support/clock.ts';
import type { FrameBatch } from '../frame.ts';
import type { Ingress, WirePort } from '../types.ts';
import type { Cables } from './cables.ts';
import type { LatencyTracks } from './latency.ts';
import type { PortLoops } from './loops.ts';

/** The model as a wire port sees it. */
export interface WireContext {
  /** Index of the port, 0..255. */
  readonly port: number;
  /** VFs of the port. */
  readonly vfs: number;
  readonly ingress: Ingress;
  /** What `claim` fills, and what `transmit` is called with. One a NIC. */
  readonly batch: FrameBatch;
  readonly clock: Clock;
  /** For whatever a port draws at random; the ports here draw nothing. */
  readonly seed: number;
  /** The heap as it is now; asked again at every step, since the arena may have grown. */
  views(): ArenaViews;
  /** The loops of generators and sinks over `views()`. One set a NIC. */
  frameLoops(): PortLoops;
  /** Takes zeroed heap memory for the life of the model. @returns its byte offset, a multiple of 64 */
  allocate(sizeBytes: number): number;
  /** Present MAC of a VF: 6 bytes; all zeros as long as it has none. Asked at every step. */
  vfMac(vf: number): Uint8Array;
  /** Says that something went wrong at run time, one line. */
  onError(message: string): void;
  /** Joins the two ends of each cable: one set a model. */
  readonly cables: Cables;
  /** Stamps of generators, for the sinks of all ports. One a NIC. */
  readonly latencies: LatencyTracks;
  /** Makes `tap:NAME`; absent where there are no TAP devices. */
  openTap?(name: string, context: WireContext): WirePort;
}

/** A port whose source can come to its end. */
export interface FinitePort extends WirePort {
  /** Nothing more will be offered. */
  readonly done: boolean;
}

/**
 * The VF that a frame to `mac` is counted for: the one that owns this unicast MAC, else 0.
 * @param bytes heap; the destination MAC starts at `offset`
 */
export function countedVf(context: WireContext, bytes: Uint8Array, offset: number): number {
  for (let vf = 1; vf < context.vfs; vf++) {
    const mac = context.vfMac(vf);
    let same = true;
    for (let i = 0; i < 6 && same; i++) same = mac[i] === bytes[offset + i];
    if (same) return vf;
  }
  return 0;
}
