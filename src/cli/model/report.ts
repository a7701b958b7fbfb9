// The JSON object with which a model says how it is doing: `ixy model`, and the one that a command starts for itself.

import type { NicCounters } from '../../model/nic.ts';
import { type LatencyCounts, type LatencyRow, latencyRow } from '../../model/ports/latency.ts';

/** How the model itself is doing. */
export interface ModelLoad {
  /** Share, 0 to 1, of the time in which there was nothing to move: of the last interval; in the last report, from first to last work. */
  readonly idle: number;
  /** One row a generator with latency=N, since the start. */
  readonly latency: readonly LatencyCounts[];
}

/** See the head of this file. */
export interface ModelReport {
  readonly seconds: number;
  /** Always empty: the model has no devices of its own; the key is there because every command has it. */
  readonly devices: readonly [];
  readonly ports: readonly NicCounters[];
  readonly idle: number;
  readonly latency: readonly LatencyRow[];
}

/** @param seconds since the start, to three places */
export function modelReport(
  seconds: number,
  ports: readonly NicCounters[],
  load: ModelLoad,
): ModelReport {
  const idle = Math.round(load.idle * 1000) / 1000;
  return { seconds, devices: [], ports, idle, latency: load.latency.map(latencyRow) };
}
